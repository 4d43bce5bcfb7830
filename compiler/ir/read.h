/* The reader's own: its state, characters (read_lex.c), indices (read_index.c). Functions that
 * return bool or a pointer have reported where they give false or NULL. */
#ifndef NNC_IR_READ_H
#define NNC_IR_READ_H

#include "ir/ir.h"

#define MAX_FACTOR ((int64_t)1 << 40) /* of an index's parts */
#define POISON UINT32_MAX             /* a label whose line was in error */

struct label {
    const char *name; /* interned */
    ir_id id;
};

struct reader {
    struct diag *d;
    uint32_t file;
    const char *text;
    uint32_t size, at, end; /* the cursor; the line's end (a comment is beyond it) */
    uint32_t comment, eol;  /* where the comment starts; the line end proper */
    struct ir_module *m;
    struct ir_graph *g;   /* NULL outside a graph */
    struct label *labels; /* a hash table; its size is a power of two */
    uint32_t nlabels, label_room;
    bool silent; /* the line names a poisoned node */
    /* of the node being read */
    uint32_t nd;
    struct ir_axis axis[IR_MAX_AXES];
    int64_t dim[IR_MAX_AXES];
};

/* ---- read_lex.c ---- */
/* Reports at [lo, cursor), unless the line is silent; false. */
bool read_fail(struct reader *r, uint32_t lo, const char *fmt, ...) NNC_PRINTF(3, 4);
bool read_letter(char c);
bool read_digit(char c);
void read_skip(struct reader *r);                  /* blanks */
char read_peek(struct reader *r);                  /* 0 at the line's end */
bool read_accept(struct reader *r, const char *s); /* false where it is not there: no report */
bool read_expect(struct reader *r, const char *s);
bool read_ahead(struct reader *r, const char *s);   /* that very word is next */
bool read_keyword(struct reader *r, const char *s); /* and is taken */
/* Letters, digits, points: a word that may be a name with points, a number, a keyword. */
uint32_t read_word_length(struct reader *r);
bool read_word(struct reader *r, char *buf, size_t room, const char *what);
bool read_name(struct reader *r, const char **out, const char *what); /* bare or quoted; interned */
bool read_integer(struct reader *r, int64_t *v, const char *what);
bool read_natural(struct reader *r, int64_t *v, int64_t limit, const char *what); /* 0 to limit */
bool read_real(struct reader *r, double *v, const char *what);
void read_label_set(struct reader *r, const char *s, ir_id id);
ir_id read_label_get(const struct reader *r, const char *s); /* 0: not defined */
bool read_label(struct reader *r, const char **s);           /* %name */
bool read_node_use(struct reader *r, ir_id *id);             /* one that is defined already */
bool read_dtype(struct reader *r, enum nn_dtype *t);
/* `n 128, 28` up to the closing bracket. */
bool read_axes(struct reader *r, const char *close, uint32_t *n, struct ir_axis *ax);

/* ---- read_index.c ---- */
/* `[i, 2*j where i + j in 7 else -inf] strict`, after its opening bracket. */
bool read_access(struct reader *r, uint32_t rank, const struct ir_axis *ax, struct ir_access *a);
/* An operand without brackets: its axes are the domain's last ones, an axis of 1 is read at 0. */
bool read_plain_access(struct reader *r, uint32_t lo, uint32_t rank, const struct ir_axis *ax,
                       struct ir_access *a);

#endif
