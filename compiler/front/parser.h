/* What grammar/nn.l, grammar/nn.y, lex.c, parse.c and tree.c share and nobody else sees.
 *
 * The way of a text: nn_scan (flex) makes words of bytes, nn_lex (lex.c) puts in the ends of
 * statements and balances brackets, nn_parse (bison) calls one builder of tree.c an action. */
#ifndef NNC_FRONT_PARSER_H
#define NNC_FRONT_PARSER_H

#include "front/tree.h"

enum {
    PARSE_MAX_OPEN = 200,    /* brackets in brackets */
    PARSE_MAX_NAMED = 256,   /* parameters, named arguments, indices of one list */
    PARSE_MAX_DECLS = 10000, /* of one file */
    PARSE_MAX_NAME = 128,    /* bytes of a name */
    PARSE_MAX_ERRORS = 20,   /* of one file, then it gives up */
};

struct nn_parser;

struct nn_entries { /* the inside of a dataset */
    struct tree_fields fields;
    struct tree_splits splits;
};

/* What a token or a nonterminal is worth: the tags of the grammar's %token and %type. */
union nn_value {
    struct tree_name name;
    int64_t i;
    double f;
    const char *string;
    enum tree_op op;
    enum tree_decl_kind word;
    struct tree_names names;
    struct tree_expr *expr;
    struct tree_exprs exprs;
    struct tree_item item;
    struct tree_items items;
    struct tree_type *type;
    struct tree_param param;
    struct tree_params params;
    struct tree_stmt *stmt;
    struct tree_block block;
    struct tree_block *body;
    struct tree_fields fields;
    struct nn_entries entries;
    struct tree_function *fn;
    struct tree_decl *decl;
};

struct nn_token {
    int kind;
    union nn_value value;
    struct loc at;
    bool line_start; /* the first of its line */
    bool made;       /* put in by lex.c to close a bracket: a mistake there has been reported */
};

struct nn_open { /* an open bracket */
    int kind;
    struct loc at;
    uint32_t indent;   /* column of the first word of its line, from 0 */
    struct loc misfit; /* of `{`: the first `}` within that closed a block indented otherwise */
};

struct nn_parser {
    struct diag *diag;
    struct intern *names;
    struct arena *mem;
    struct tree_file *tree;
    const char *text;
    uint32_t file, size, errors;
    bool too_deep, give_up;

    /* grammar/nn.l */
    void *scanner;
    uint32_t offset; /* bytes read */
    bool fresh_line; /* nothing but blanks on this line so far */

    /* lex.c */
    struct nn_token queue[2 * PARSE_MAX_OPEN + 4]; /* ready to go out */
    uint32_t queue_head, queue_tail;
    struct nn_open open[PARSE_MAX_OPEN];
    uint32_t open_count;
    uint32_t indent;                      /* column of the first word of this line */
    int last;                             /* kind of the token queued last; 0 at the start */
    uint32_t last_hi;                     /* its end */
    bool recovering;                      /* from a mistake until nn_resync */
    uint32_t recover_braces;              /* `{` that were open at the mistake */
    struct nn_token now, before, earlier; /* the last three that the parser got */
};

/* ---- grammar/nn.l ---- */
bool nn_scan_open(struct nn_parser *p);
void nn_scan_close(struct nn_parser *p);
struct nn_token nn_scan_token(struct nn_parser *p);

/* ---- lex.c ---- */
int nn_lex(union nn_value *value, struct loc *at, struct nn_parser *p);
void nn_recover(struct nn_parser *p); /* a mistake was met: be lenient until nn_resync */
void nn_resync(struct nn_parser *p);

/* ---- parse.c ---- */
void nn_mistake(struct nn_parser *p, struct loc at, const char *fmt, ...) NNC_PRINTF(3, 4);
void nn_note(struct nn_parser *p, struct loc at, const char *fmt, ...)
    NNC_PRINTF(3, 4); /* belongs to the last mistake */
void nn_unexpected(struct nn_parser *p, const int *expected, int n);           /* the token `now` */
void nn_error(const struct loc *at, struct nn_parser *p, const char *message); /* bison's own */

/* ---- place.c: what the grammar lets through and the language does not ---- */
void nn_check_places(struct nn_parser *p, const struct tree_decl *d);

/* ---- tree.c: builders; `at` is the whole construct ---- */
#define TREE_PUSH(p, list, ...)                                                                    \
    do {                                                                                           \
        if ((list)->n == (list)->cap)                                                              \
            (list)->p = tree_grow((p), (list)->p, &(list)->cap, sizeof *(list)->p);                \
        (list)->p[(list)->n++] = (__VA_ARGS__);                                                    \
    } while (0)
void *tree_grow(struct nn_parser *p, const void *old, uint32_t *cap, size_t size);

struct tree_expr *tree_name_expr(struct nn_parser *p, struct tree_name name);
struct tree_expr *tree_int(struct nn_parser *p, enum tree_expr_kind kind, int64_t i, struct loc at);
struct tree_expr *tree_float(struct nn_parser *p, double f, struct loc at);
struct tree_expr *tree_string(struct nn_parser *p, const char *s, struct loc at);
struct tree_expr *tree_unary(struct nn_parser *p, enum tree_op op, struct tree_expr *x,
                             struct loc at);
struct tree_expr *tree_binary(struct nn_parser *p, enum tree_op op, struct tree_expr *l,
                              struct tree_expr *r, struct loc at, struct loc op_at);
struct tree_expr *tree_list(struct nn_parser *p, const struct tree_items *items, struct loc at);
/* One expression is itself, several are a tuple. */
struct tree_expr *tree_tuple(struct nn_parser *p, struct tree_exprs parts, struct loc at);
struct tree_expr *tree_tuple_of(struct nn_parser *p, struct tree_expr *first,
                                struct tree_exprs rest, struct loc at);
struct tree_expr *tree_each(struct nn_parser *p, struct tree_expr *value, struct tree_name name,
                            struct tree_expr *over, struct loc at);
/* fn(items: value), or [items: value] where fn is NULL. */
struct tree_expr *tree_index(struct nn_parser *p, struct tree_expr *fn, struct tree_items items,
                             struct tree_expr *value, struct loc at);
struct tree_expr *tree_call(struct nn_parser *p, enum tree_expr_kind kind, struct tree_expr *fn,
                            const struct tree_items *items, struct loc at);
struct tree_expr *tree_member(struct nn_parser *p, struct tree_expr *of, struct tree_name name,
                              struct loc at);
struct tree_expr *tree_scan(struct nn_parser *p, struct tree_name name, struct tree_expr *over,
                            struct tree_block *body, struct loc at);

struct tree_item tree_value_item(struct tree_expr *value, struct loc at);
struct tree_item tree_spread_item(struct tree_expr *value, struct loc at);
struct tree_item tree_named_item(struct tree_name name, struct tree_expr *value, struct loc at);
struct tree_item tree_slice(struct tree_expr *lo, struct tree_expr *hi, struct tree_expr *step,
                            struct loc at);

struct tree_type *tree_type_named(struct nn_parser *p, const char *name,
                                  const struct tree_items *dims, struct loc at);
struct tree_type *tree_type_list(struct nn_parser *p, struct tree_type *of, struct loc at);
struct tree_type *tree_type_tuple(struct nn_parser *p, struct tree_params members, struct loc at);

struct tree_name tree_word(struct nn_parser *p, const char *word, struct loc at);
struct tree_stmt *tree_bind(struct nn_parser *p, struct tree_names targets, struct tree_type *type,
                            struct tree_expr *value, struct loc at);
struct tree_stmt *tree_bind_one(struct nn_parser *p, struct tree_name target,
                                struct tree_type *type, struct tree_expr *value, struct loc at);
struct tree_stmt *tree_set(struct nn_parser *p, struct tree_name name, struct tree_items items,
                           struct tree_expr *value, struct loc at);
struct tree_stmt *tree_var(struct nn_parser *p, enum tree_stmt_kind kind, struct tree_name name,
                           struct tree_type *type, struct tree_expr *value, struct loc at);
struct tree_stmt *tree_give(struct nn_parser *p, enum tree_stmt_kind kind, struct tree_expr *value,
                            struct loc at);
struct tree_stmt *tree_if(struct nn_parser *p, struct tree_expr *test, struct tree_block *then,
                          struct tree_block *other, struct loc at);
/* `else if …`: a block of one statement. at: from `else`. */
struct tree_block *tree_else_if(struct nn_parser *p, struct tree_expr *test,
                                struct tree_block *then, struct tree_block *other, struct loc if_at,
                                struct loc at);
struct tree_stmt *tree_for(struct nn_parser *p, struct tree_name name, struct tree_expr *over,
                           struct tree_block *body, struct loc at);
struct tree_stmt *tree_checkpoint(struct nn_parser *p, struct tree_block *body, struct loc at);
void tree_block_add(struct nn_parser *p, struct tree_block *b, struct tree_stmt *s);
struct tree_block *tree_block_new(struct nn_parser *p, struct tree_block b, struct loc at);

struct tree_field tree_field(struct nn_parser *p, struct tree_name name, struct tree_type *type,
                             struct tree_expr *source, struct loc from, struct loc to);
struct tree_split tree_split(struct tree_name name, struct tree_expr *share,
                             struct tree_fields fields, struct loc from, struct loc to);

struct tree_function *tree_signature(struct nn_parser *p, const struct tree_params *config,
                                     const struct tree_params *input, struct loc input_at);
struct tree_function *tree_body(struct nn_parser *p, struct tree_block *body,
                                struct tree_expr *value);
struct tree_function *tree_gradient(struct nn_parser *p, struct tree_names names,
                                    struct tree_block *body, struct tree_expr *value,
                                    struct loc at);
struct tree_decl *tree_head(struct nn_parser *p, enum tree_decl_kind kind, struct tree_name name,
                            struct loc at);
struct tree_decl *tree_function(struct nn_parser *p, struct tree_decl *head,
                                const struct tree_function *signature, struct tree_type *result,
                                const struct tree_function *body,
                                const struct tree_function *gradient, struct loc at);
struct tree_decl *tree_export(struct nn_parser *p, struct tree_decl *function, struct loc at);
struct tree_decl *tree_use(struct nn_parser *p, struct tree_names path, struct tree_name alias,
                           struct loc at);
struct tree_decl *tree_const(struct nn_parser *p, struct tree_name name, struct tree_expr *value,
                             struct loc at);
struct tree_decl *tree_dataset(struct nn_parser *p, struct tree_name name, struct nn_entries e,
                               struct loc at);
struct tree_decl *tree_train(struct nn_parser *p, struct tree_items models,
                             struct tree_names datasets, struct tree_block *body, struct loc at);
void tree_add(struct nn_parser *p, struct tree_decl *d);

#endif
