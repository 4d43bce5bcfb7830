/* decode: what the files decode*.c share: the function under way, its symbols, operands and words.
 */
#ifndef SIM_DECODE_H
#define SIM_DECODE_H

#include "code.h"

enum symbol_kind {
    SYM_REGISTER,
    SYM_RANGE,
    SYM_VARIABLE,
    SYM_LABEL,
    SYM_FUNCTION,
    SYM_TARGETS,
    SYM_PROTO
};
struct symbol {
    enum symbol_kind kind;
    const char *name;
    size_t length;
    uint32_t depth;
    bool dead;
    int line;
    uint8_t size; /* of a register: 0 predicate, 2, 4, 8 bytes */
    bool allocated, is_float;
    uint32_t at;   /* row of a register; index of a label */
    uint32_t span; /* of a register, plus 1 */
    int64_t range; /* of SYM_RANGE */
    enum ptx_space space;
    uint64_t address; /* of a variable in its space; offset of a parameter */
    uint64_t bytes;
    uint32_t element;           /* bytes of one, of a variable */
    bool entry_param, argument; /* of a kernel; of a device function */
    struct sim_function *function;
    struct ptx_stmt *stmt; /* targets, prototype */
    struct symbol *next;   /* in the hash */
};
#define SYMBOL_BUCKETS 4096

struct label_use {
    uint32_t inst;
    const char *name;
    uint32_t depth;
    int line;
    int64_t ext; /* position in ext, or -1: the instruction's imm */
};

/* First and last instruction that mentions a register. */
struct span {
    uint32_t first, last;
    uint8_t size;
};

struct decoder {
    struct sim_module *m;
    struct ptx_arena *mem;
    struct ptx_log *log;
    struct sim_rows rows;
    const struct sim_row **row_hash;
    uint32_t row_hash_size;
    struct symbol *bucket[SYMBOL_BUCKETS];
    struct symbol **stack; /* of the function, for scopes */
    uint32_t stacked, stack_cap;
    uint32_t depth;
    /* the function under way */
    struct sim_function *f;
    struct ptx_function *tree;
    struct sim_inst *code;
    struct sim_line *lines;
    uint32_t count, cap;
    uint32_t *ext;
    uint32_t ext_count, ext_cap;
    struct sim_preset *preset;
    uint32_t preset_count, preset_cap;
    uint32_t *preset_hash; /* index + 1 */
    uint32_t preset_hash_size;
    struct sim_call *call;
    uint32_t call_count, call_cap;
    uint32_t window, pred_at; /* next free row; next free predicate, 0: none open */
    uint32_t local, shared;
    struct span *span;
    uint32_t spans, span_cap;
    uint32_t shared_align;
    int line;
    struct sim_line here;
    const struct ins *ins; /* the instruction under way; NULL: a declaration */
    bool out_of_memory;
};

/* An instruction while it is decoded: its words, each to be used once. */
#define MAX_WORDS 16
#define MAX_OPERANDS 16
struct ins {
    struct ptx_stmt *s;
    const char *name;
    const char *word[MAX_WORDS];
    bool used[MAX_WORDS];
    int words;
    struct ptx_operand *op[MAX_OPERANDS];
    int ops;
};
struct type {
    char letter;   /* b s u f; h: f16, g: bf16, t: tf32; p: predicate */
    uint8_t size;  /* bytes */
    uint8_t lanes; /* 2: x2 */
    const char *text;
};

/* ---- decode.c ---- */
/* The text is no PTX: the module is not loaded. */
#define FAIL(d, ...) ptx_error((d)->log, (d)->line, __VA_ARGS__)
/* Sound PTX that is not simulated: the function under way is refused, the rest of the module is
 * not. `what`: NULL: the instruction as a whole. False. */
bool dec_unsupported(struct decoder *d, const char *what);
struct symbol *dec_symbol_find(struct decoder *d, const char *name);
uint32_t dec_row_alloc(struct decoder *d, uint8_t size); /* 0: a predicate */
uint32_t dec_constant(struct decoder *d, uint8_t size, uint64_t value);
uint32_t dec_preset(struct decoder *d, enum sim_preset_kind k, uint8_t size, uint64_t value,
                    uint8_t bytes, bool sign);
uint32_t dec_ext_add(struct decoder *d, const uint32_t *v, uint32_t n);
struct sim_inst *dec_emit(struct decoder *d, sim_handler *fn, enum sim_kind kind,
                          enum sim_class cls);
const struct sim_row *dec_row_find(struct decoder *d, const char *key);

void dec_span(struct decoder *d, struct symbol *s); /* the register is mentioned here */

/* ---- decode_opcode.c ---- */
void dec_instruction(struct decoder *d, struct ptx_stmt *s);

/* ---- registers.c ---- */
uint32_t dec_registers(const struct decoder *d);

/* ---- decode_cas.c: once the function is decoded ---- */
void dec_atomics(struct decoder *d);
/* In code for debuggers (nvcc -G) values go through memory: with a compare and swap in the module
 * every plain load counts as one for it. */
void dec_guesses_of_debug(struct sim_module *m);

/* ---- decode_operand.c ---- */
bool dec_has(struct ins *x, const char *word); /* and uses it */
const char *dec_has_any(struct ins *x,
                        const char *words); /* the first of these, separated by spaces */
bool dec_type_of(const char *word, struct type *t);
bool dec_take_type(struct ins *x, struct type *t); /* the first unused word that is a type */
bool dec_words_done(struct decoder *d, struct ins *x);
/* The words are not of one form that is known: a word that PTX does not have is an error, else the
 * form is not simulated. False. */
bool dec_unknown_form(struct decoder *d, struct ins *x);
bool dec_operands_are(struct decoder *d, struct ins *x, int least, int most);
/* letter: h w l (16, 32, 64 bits), H F D the same as floats, p a predicate, x any width. */
bool dec_source(struct decoder *d, struct ptx_operand *o, char letter, uint32_t *at);
bool dec_target(struct decoder *d, struct ptx_operand *o, char letter, uint32_t *at);
bool dec_pred_source(struct decoder *d, struct ptx_operand *o, uint32_t *at, bool *negated);
int dec_register_size(struct decoder *d, struct ptx_operand *o); /* -1: no register */
char dec_letter_of(uint8_t size);
bool dec_guard_of(struct decoder *d, struct ins *x, struct sim_inst *i);
/* [register + offset] or [symbol + offset]: i->a, i->imm, and in i->sub the address's width 4 or 8.
 * *sym: the variable, where it is one. */
bool dec_address(struct decoder *d, struct ptx_operand *o, struct sim_inst *i, struct symbol **sym);
bool dec_space_of(struct ins *x, enum ptx_space *s); /* also shared::cta and the like */
bool dec_integer_of(struct decoder *d, struct ptx_operand *o, int64_t lo, int64_t hi, int64_t *v);
uint64_t dec_symbol_address(const struct symbol *s); /* generic */

/* ---- decode_move.c ---- */
bool dec_half_as_float(struct decoder *d, struct ptx_operand *o, bool bfloat, uint32_t *at);

/* ---- decode_alu.c, decode_move.c, decode_memory.c, decode_flow.c, decode_tensor.c ---- */
typedef bool decode_fn(struct decoder *d, struct ins *x);
decode_fn decode_arith, decode_setp, decode_set, decode_lop3, decode_slct, decode_pred_logic,
    decode_mov, decode_cvt, decode_cvta, decode_isspacep, decode_ld, decode_st, decode_atom,
    decode_red, decode_fence, decode_nothing, decode_bra, decode_brx, decode_call, decode_ret,
    decode_exit, decode_trap, decode_bar, decode_shfl, decode_vote, decode_match, decode_redux,
    decode_activemask, decode_cp, decode_mma, decode_ldmatrix, decode_stmatrix, decode_wmma,
    decode_mbarrier, decode_wgmma, decode_nanosleep, decode_elect, decode_prefetch,
    decode_movmatrix, decode_griddep, decode_mapa, decode_getctarank, decode_createpolicy,
    decode_tensormap, decode_half_set;

#endif
