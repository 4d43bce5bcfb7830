/* ptx: the tree of a PTX text, as grammar/ptx.y builds it. Nothing is resolved: names are strings,
 * modifiers words. Everything lies in one arena and goes with it. */
#ifndef SIM_PTX_H
#define SIM_PTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ptx_chunk;
struct ptx_arena {
    struct ptx_chunk *last;
    size_t left, held, limit; /* bytes left in the last chunk, held in all, most that may be held */
};
void *ptx_alloc(struct ptx_arena *a, size_t bytes); /* zeroed; NULL beyond the limit */
void ptx_arena_free(struct ptx_arena *a);

/* Messages with lines, collected in a caller's buffer. ptx_error gives false: `return
 * ptx_error(…);`. */
struct ptx_log {
    char *text;
    size_t size, used;
    int errors;
    bool unsupported; /* an error is of a sound feature that is not simulated */
};
#define PTX_MAX_ERRORS 20
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bool ptx_error(struct ptx_log *log, int line, const char *fmt, ...);

enum ptx_operand_kind {
    PTX_NAME,    /* name, a special register's part in `part` (".x"), `value` added */
    PTX_ELEMENT, /* name[value] */
    PTX_INT,     /* value */
    PTX_F32,     /* value: the bits */
    PTX_F64,     /* value: the bits (also a decimal number's) */
    PTX_SINK,    /* _ */
    PTX_VECTOR,  /* { items } */
    PTX_MEM,     /* [ items[0] + value, items[1] … ] */
    PTX_PAIR,    /* items[0] | items[1] */
    PTX_LIST,    /* ( items ): of a call */
};
struct ptx_operand {
    enum ptx_operand_kind kind;
    bool negated; /* `!` */
    bool minus;   /* `-` before a name */
    int line;
    const char *name, *part;
    int64_t value;
    struct ptx_operand *items, *next;
    int count; /* of items */
};

struct ptx_word {
    const char *text;
    struct ptx_word *next;
};

enum ptx_space { PTX_NO_SPACE, PTX_REG, PTX_GLOBAL, PTX_SHARED, PTX_LOCAL, PTX_CONST, PTX_PARAM };
/* An initialiser: a number, an address (name + value), or a list. */
struct ptx_init {
    const char *name;
    int64_t value;
    bool real; /* value is the bits of a double that a decimal number gave */
    bool list, generic;
    uint8_t mask_shift; /* 0xFF00(sym): byte 1 of the address, one byte */
    bool masked;
    struct ptx_init *items, *next;
};
/* One declared name: a register, a variable or a parameter. */
struct ptx_decl {
    enum ptx_space space;
    const char *type; /* "b32" */
    int vector;       /* 1, 2, 4 */
    uint32_t align;   /* 0: natural */
    bool is_extern, visible, weak, pointer;
    const char *name;
    int64_t range;    /* %r<range>: names %r0 …; 0: one name */
    int64_t elements; /* of an array, 1 without; 0: unsized */
    bool array;
    struct ptx_init *init;
    int line;
    struct ptx_decl *next;
};

enum ptx_stmt_kind {
    PTX_INSTRUCTION,
    PTX_LABEL,   /* name */
    PTX_OPEN,    /* { */
    PTX_CLOSE,   /* } */
    PTX_DECL,    /* decls */
    PTX_LOC,     /* file, source line */
    PTX_TARGETS, /* name: .branchtargets words */
    PTX_PROTO,   /* name: .callprototype decls (results), params */
};
struct ptx_stmt {
    enum ptx_stmt_kind kind;
    int line;
    const char *name; /* the opcode, too */
    const char *guard;
    bool guard_negated;
    struct ptx_word *words; /* modifiers, targets */
    struct ptx_operand *operands;
    int count; /* of operands */
    struct ptx_decl *decls, *params;
    int file, source_line;
    struct ptx_stmt *next;
};

struct ptx_function {
    const char *name;
    bool entry, is_extern, visible, weak, defined;
    int line, end_line;
    struct ptx_decl *results, *params;
    struct ptx_stmt *body;
    int max_ntid[3], req_ntid[3]; /* 0: not stated */
    int max_registers;
    int cluster[3], max_cluster; /* 0: not stated */
    bool explicit_cluster, blocks_are_clusters;
    struct ptx_function *next;
};

struct ptx_file {
    int number;
    const char *name;
    struct ptx_file *next;
};

struct ptx_module {
    int version; /* 80: 8.0 */
    int target;  /* 90 */
    char family; /* 'a' */
    int address_bits;
    bool debug;
    struct ptx_decl *vars;
    struct ptx_function *functions;
    struct ptx_file *files;
};

/* What the grammar's actions work on. */
struct ptx_parser {
    struct ptx_arena *mem;
    struct ptx_log *log;
    struct ptx_module *module;
    void *scanner;
    int line;
    bool out_of_memory;
    struct ptx_decl **vars_end;
    struct ptx_function **functions_end;
    struct ptx_function *current; /* whose head is read */
};

/* NULL: errors are in the log. */
struct ptx_module *ptx_read(struct ptx_arena *a, const char *text, size_t bytes,
                            struct ptx_log *log);

/* ---- the builders of the grammar's actions (ptx.c); `a` lists are linked in order ---- */
struct ptx_operands {
    struct ptx_operand *first, *last;
    int count;
};
struct ptx_words {
    struct ptx_word *first, *last;
};
struct ptx_stmts {
    struct ptx_stmt *first, *last;
};
struct ptx_decls {
    struct ptx_decl *first, *last;
};
struct ptx_inits {
    struct ptx_init *first, *last;
};
struct ptx_ints {
    int64_t v[3];
    int count;
};
char *ptx_text(struct ptx_parser *p, const char *s, size_t n);
struct ptx_operand *ptx_operand(struct ptx_parser *p, enum ptx_operand_kind k, int line);
struct ptx_operand *ptx_name(struct ptx_parser *p, const char *name, const char *part, int64_t add,
                             int line);
struct ptx_operand *ptx_number(struct ptx_parser *p, enum ptx_operand_kind k, int64_t v, int line);
struct ptx_operand *ptx_group(struct ptx_parser *p, enum ptx_operand_kind k,
                              struct ptx_operands items, int line);
struct ptx_operands ptx_operands_add(struct ptx_operands l, struct ptx_operand *o);
struct ptx_words ptx_words_add(struct ptx_parser *p, struct ptx_words l, const char *text);
struct ptx_stmts ptx_stmts_join(struct ptx_stmts a, struct ptx_stmts b);
struct ptx_stmts ptx_stmt(struct ptx_parser *p, enum ptx_stmt_kind k, const char *name, int line);
struct ptx_stmts ptx_instruction(struct ptx_parser *p, const char *name, struct ptx_words mods,
                                 struct ptx_operands ops, int line);
struct ptx_stmts ptx_loc(struct ptx_parser *p, int64_t file, int64_t source_line, int line);
struct ptx_decls ptx_decls_join(struct ptx_decls a, struct ptx_decls b);
struct ptx_decl *ptx_decl(struct ptx_parser *p, const char *name, int line);
void ptx_dims(struct ptx_parser *p, struct ptx_decl *d, int64_t dim, bool sized);
/* One word of what stands before a declared name: an entry of the declaration that is under way. */
struct ptx_quals {
    struct ptx_decl as;
    bool reg_seen;
};
void ptx_qual_word(struct ptx_parser *p, struct ptx_decl *q, const char *word, int line);
struct ptx_decls ptx_apply_quals(struct ptx_decl q, struct ptx_decls l);
struct ptx_init *ptx_init(struct ptx_parser *p, int64_t v);
struct ptx_inits ptx_inits_add(struct ptx_inits l, struct ptx_init *i);
void ptx_add_vars(struct ptx_parser *p, struct ptx_decls l);
void ptx_function_begin(struct ptx_parser *p, struct ptx_decl q, bool entry,
                        struct ptx_decls results, const char *name, int line);
void ptx_function_directive(struct ptx_parser *p, const char *word, struct ptx_ints v, int line);
void ptx_function_end(struct ptx_parser *p, bool defined, struct ptx_stmts body, int line);
void ptx_target(struct ptx_parser *p, const char *name, int line);
void ptx_add_file(struct ptx_parser *p, int64_t number, const char *name);
uint8_t ptx_mask_shift(int64_t mask); /* which byte a mask of one selects, in bits */
void ptx_syntax(struct ptx_parser *p, int line, const char *text);

#endif
