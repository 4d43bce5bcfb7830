/* tree: what the grammar builds and elaboration reads. Everything lives in one arena and is never
 * freed or edited apart from it; names are interned (equal names are equal pointers); every part
 * has its byte range. The tree is the text's own shape: nothing is resolved, no default filled in.
 *
 * Sections: tree.c (builders, list growth), lex.c (ends of statements, brackets), parse.c
 * (front_parse), place.c (which statement may stand where), tree_print.c (text form, `nnc emit
 * ast`). */
#ifndef NNC_FRONT_TREE_H
#define NNC_FRONT_TREE_H

#include "base/base.h"

struct tree_expr;
struct tree_type;
struct tree_stmt;

/* A name and where it stands. */
struct tree_name {
    const char *s;
    struct loc at;
};

/* Lists: arrays in the arena; `cap` is the builder's. */
struct tree_names {
    struct tree_name *p;
    uint32_t n, cap;
};
struct tree_exprs {
    struct tree_expr **p;
    uint32_t n, cap;
};
struct tree_items {
    struct tree_item *p;
    uint32_t n, cap;
};
struct tree_indices {
    struct tree_index *p;
    uint32_t n, cap;
};
struct tree_params {
    struct tree_param *p;
    uint32_t n, cap;
};
struct tree_block {
    struct tree_stmt **p;
    uint32_t n, cap;
    struct loc at; /* from { to } */
};
struct tree_fields {
    struct tree_field *p;
    uint32_t n, cap;
};
struct tree_splits {
    struct tree_split *p;
    uint32_t n, cap;
};

/* One place of a call's arguments, a list, a subscript, the dims of a type, a setting's selector.
 */
enum tree_item_kind {
    TREE_ITEM_VALUE,    /* value */
    TREE_ITEM_NAMED,    /* name = value      in calls, train's models, settings */
    TREE_ITEM_SPREAD,   /* ...value          in calls, lists, subscripts, dims */
    TREE_ITEM_SLICE,    /* lo:hi:step        in subscripts; each may be NULL */
    TREE_ITEM_ELLIPSIS, /* ...               in subscripts */
};
struct tree_item {
    enum tree_item_kind kind;
    struct loc at;
    struct tree_name name;            /* NAMED */
    struct tree_expr *value;          /* VALUE NAMED SPREAD */
    struct tree_expr *lo, *hi, *step; /* SLICE */
};

/* An index of `[…: value]` or `sum(…: value)`: i, i < limit, ...name */
struct tree_index {
    struct loc at;
    const char *name;
    bool pack;
    struct tree_expr *limit; /* NULL: inferred */
};

enum tree_op {
    /* unary */
    TREE_NEG,
    TREE_NOT,
    /* binary, loosest first */
    TREE_PIPE,
    TREE_OR,
    TREE_AND,
    TREE_EQ,
    TREE_NE,
    TREE_LT,
    TREE_LE,
    TREE_GT,
    TREE_GE,
    TREE_RANGE, /* lo..hi, hi excluded */
    TREE_ADD,
    TREE_SUB,
    TREE_MUL,
    TREE_DIV,
    TREE_IDIV,
    TREE_MOD,
    TREE_MATMUL,
    TREE_POW,
    TREE_OP_COUNT
};
const char *tree_op_text(enum tree_op op); /* "|>", "or", "//" */

enum tree_expr_kind {
    TREE_NAME,      /* name */
    TREE_INT,       /* i */
    TREE_FLOAT,     /* f */
    TREE_STRING,    /* string: escapes resolved, no NUL inside */
    TREE_BOOL,      /* i */
    TREE_LIST,      /* list: [items] */
    TREE_TUPLE,     /* tuple: (a, b), and a, b right of `=` or `return`; at least two */
    TREE_EACH,      /* each: [value for name in over] */
    TREE_TENSOR,    /* index: [indices: value]; fn is NULL */
    TREE_REDUCE,    /* index: fn(indices: value) */
    TREE_CALL,      /* call: fn(items) */
    TREE_SUBSCRIPT, /* call: fn[items] */
    TREE_FIELD,     /* field: of.name */
    TREE_UNARY,     /* unary */
    TREE_BINARY,    /* binary */
    TREE_SCAN,      /* scan name in over { body }; only right of `=`, or alone as a statement */
};
struct tree_expr {
    enum tree_expr_kind kind;
    uint32_t depth; /* height of the tree here, 1 for a leaf; at most TREE_MAX_DEPTH */
    struct loc at;  /* without enclosing parentheses of its own */
    union {
        const char *name;
        int64_t i;
        double f;
        const char *string;
        struct tree_items list;
        struct tree_exprs tuple;
        struct {
            struct tree_expr *value, *over;
            struct tree_name name;
        } each;
        struct {
            struct tree_expr *fn; /* REDUCE: a NAME; TENSOR: NULL */
            struct tree_indices indices;
            struct tree_expr *value;
        } index;
        struct {
            struct tree_expr *fn;
            struct tree_items items;
        } call;
        struct {
            struct tree_expr *of;
            struct tree_name name;
        } field;
        struct {
            enum tree_op op;
            struct tree_expr *x;
        } unary;
        struct {
            enum tree_op op;
            struct loc op_at;
            struct tree_expr *l, *r;
        } binary;
        struct {
            struct tree_name name;
            struct tree_expr *over;
            struct tree_block *body;
        } scan;
    };
};
/* Bounds the recursion of whoever walks an expression, and of blocks in blocks. */
#define TREE_MAX_DEPTH 400

enum tree_type_kind {
    TREE_TYPE_NAMED, /* named: int, fn, layer, f32, T[...s, k] */
    TREE_TYPE_LIST,  /* list: [int] */
    TREE_TYPE_TUPLE, /* tuple: (mu: f32[n], f32[n]) */
};
struct tree_type {
    enum tree_type_kind kind;
    struct loc at;
    union {
        struct {
            const char *name;
            bool shaped; /* `[` stood there, perhaps empty; else a scalar or a configuration's type
                          */
            struct tree_items dims; /* VALUE, or SPREAD of a NAME */
        } named;
        struct tree_type *list;
        struct {
            uint32_t n, cap;
            struct tree_type **type;
            struct tree_name *name; /* each; s is NULL where none was given */
        } tuple;
    };
};

/* One name of a signature. */
struct tree_param {
    struct tree_name name;
    struct tree_type *type;  /* NULL: none written */
    struct tree_expr *value; /* the default, or NULL */
    struct loc at;
};

enum tree_stmt_kind {
    TREE_BIND,       /* bind: a = v; a, b = v; a: type = v; scan … alone (no target) */
    TREE_SET,        /* set: loss[D] = v, optimizer["*.bias", rank < 2] = v */
    TREE_METRIC,     /* var: metric name = value */
    TREE_PARAM,      /* var: param name: type = value */
    TREE_STATE,      /* var: state name: type = value; type may be NULL */
    TREE_RETURN,     /* value */
    TREE_YIELD,      /* value */
    TREE_IF,         /* branch: if test { then } else { other }; `else if` is a block of one */
    TREE_FOR,        /* loop: for name in over { body } */
    TREE_CHECKPOINT, /* body */
};
struct tree_stmt {
    enum tree_stmt_kind kind;
    uint32_t depth;
    struct loc at;
    const char *doc; /* the `##` lines right above it, or NULL */
    union {
        struct {
            struct tree_names targets; /* `optimizer = …` is a bind of the name "optimizer" */
            struct tree_type *type;    /* of a single target, or NULL */
            struct tree_expr *value;   /* TUPLE where several were written */
        } bind;
        struct {
            struct tree_name name;
            struct tree_items items; /* VALUE, NAMED */
            struct tree_expr *value;
        } set;
        struct {
            struct tree_name name;
            struct tree_type *type;
            struct tree_expr *value;
        } var;
        struct tree_expr *value;
        struct {
            struct tree_expr *test;
            struct tree_block *then, *other; /* other: NULL if there is no else */
        } branch;
        struct {
            struct tree_name name;
            struct tree_expr *over;
            struct tree_block *body;
        } loop;
        struct tree_block *body;
    };
};

/* A line of a dataset: image: u8[28, 28] from idx("…"); within test, image from idx("…") */
struct tree_field {
    struct tree_name name;
    struct tree_type *type; /* NULL within a split */
    struct tree_expr *source;
    struct loc at;
    const char *doc;
};
/* test { … }, valid { … }, test = 0.1. The name is any word; elaboration knows `test` and `valid`.
 */
struct tree_split {
    struct tree_name name;
    struct tree_expr *share;   /* or NULL */
    struct tree_fields fields; /* if share is NULL */
    struct loc at;
};

enum tree_decl_kind {
    TREE_USE,       /* use */
    TREE_CONST,     /* value */
    TREE_FN,        /* fn */
    TREE_LAYER,     /* fn */
    TREE_MODEL,     /* fn */
    TREE_OPTIMIZER, /* fn */
    TREE_DATASET,   /* dataset */
    TREE_TRAIN,     /* train */
};
struct tree_function {
    bool exported;
    bool has_config; /* two groups were written; one alone is `input` */
    struct tree_params config, input;
    struct loc input_at;      /* the group with its parentheses */
    struct tree_type *result; /* NULL: inferred */
    struct tree_block *body;  /* or NULL: */
    struct tree_expr *value;  /* = value */
    bool has_gradient;
    struct loc gradient_at;
    struct tree_names gradient_names; /* gradient (g) = … */
    struct tree_expr *gradient;
    struct tree_block *gradient_body; /* the one or the other */
};
struct tree_decl {
    enum tree_decl_kind kind;
    struct loc at;         /* all of it */
    struct tree_name name; /* of use: the alias, s NULL if none; of train: s NULL */
    const char *doc;       /* the `##` lines right above it, without `##`, or NULL */
    union {
        struct tree_names use; /* nets.vit: two parts */
        struct tree_expr *value;
        struct tree_function fn;
        struct {
            struct tree_fields fields;
            struct tree_splits splits;
        } dataset;
        struct {
            struct tree_items models; /* VALUE MLP, GPT(layers = 6); NAMED old = Net(64) */
            struct tree_names datasets;
            struct tree_block *body;
        } train;
    };
};

/* Every comment, in order, for the formatter and `nnc doc`. `doc`: it starts with `##`. */
struct tree_comment {
    struct loc at; /* from # to the line's end */
    bool doc, own_line;
};

struct tree_file {
    uint32_t file; /* number in diag */
    struct {
        struct tree_decl **p;
        uint32_t n, cap;
    } decls;
    struct {
        struct tree_comment *p;
        uint32_t n, cap;
    } comments;
};

/* ---- parse.c ----
 * Parses source file `file` of `d`. Mistakes are reported, several in one run; NULL if there was
 * one. Names are interned in `names`, the tree lives in `mem`. */
#define TREE_MAX_SOURCE (4u << 20) /* bytes of one source file */
struct tree_file *front_parse(struct diag *d, uint32_t file, struct intern *names,
                              struct arena *mem);

/* ---- tree_print.c ---- Readable, one declaration or statement a line, every operator in
 * parentheses. */
void tree_print(const struct tree_file *t, struct text *out);
void tree_print_expr(const struct tree_expr *e, struct text *out);
void tree_print_type(const struct tree_type *t, struct text *out);

#endif
