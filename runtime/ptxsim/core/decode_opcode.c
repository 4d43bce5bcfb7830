/* decode_opcode: which function decodes an instruction, and what PTX has beside. */
#include "decode.h"
#include <string.h>

struct opcode {
    const char *name;
    decode_fn *fn;
};
static const struct opcode opcodes[] = {
#define ARITH(n) {n, decode_arith},
    ARITH("add") ARITH("sub") ARITH("mul") ARITH("mad") ARITH("fma") ARITH("div") ARITH("rem")
        ARITH("min") ARITH("max") ARITH("abs") ARITH("neg") ARITH("sad") ARITH("cnot") ARITH("shl")
            ARITH("shr") ARITH("shf") ARITH("bfe") ARITH("bfi") ARITH("bfind") ARITH("popc")
                ARITH("clz") ARITH("brev") ARITH("fns") ARITH("bmsk") ARITH("szext") ARITH("prmt")
                    ARITH("dp4a") ARITH("dp2a") ARITH("selp") ARITH("addc") ARITH("subc")
                        ARITH("madc") ARITH("mul24") ARITH("mad24") ARITH("rcp") ARITH("sqrt")
                            ARITH("rsqrt") ARITH("ex2") ARITH("lg2") ARITH("sin") ARITH("cos")
                                ARITH("tanh") ARITH("vabsdiff4") ARITH("copysign") ARITH("testp")
#undef ARITH
                                    {"and", decode_pred_logic},
    {"or", decode_pred_logic},
    {"xor", decode_pred_logic},
    {"not", decode_pred_logic},
    {"setp", decode_setp},
    {"set", decode_set},
    {"lop3", decode_lop3},
    {"slct", decode_slct},
    {"mov", decode_mov},
    {"cvt", decode_cvt},
    {"cvta", decode_cvta},
    {"isspacep", decode_isspacep},
    {"ld", decode_ld},
    {"ldu", decode_ld},
    {"st", decode_st},
    {"atom", decode_atom},
    {"red", decode_red},
    {"membar", decode_fence},
    {"fence", decode_fence},
    {"prefetch", decode_prefetch},
    {"prefetchu", decode_prefetch},
    {"applypriority", decode_prefetch},
    {"bra", decode_bra},
    {"brx", decode_brx},
    {"call", decode_call},
    {"ret", decode_ret},
    {"exit", decode_exit},
    {"trap", decode_trap},
    {"brkpt", decode_trap},
    {"bar", decode_bar},
    {"barrier", decode_bar},
    {"shfl", decode_shfl},
    {"vote", decode_vote},
    {"match", decode_match},
    {"redux", decode_redux},
    {"activemask", decode_activemask},
    {"elect", decode_elect},
    {"nanosleep", decode_nanosleep},
    {"pmevent", decode_nothing},
    {"griddepcontrol", decode_griddep},
    {"setmaxnreg", decode_nothing},
    {"cp", decode_cp},
    {"mma", decode_mma},
    {"ldmatrix", decode_ldmatrix},
    {"stmatrix", decode_stmatrix},
    {"movmatrix", decode_movmatrix},
    {"wmma", decode_wmma},
    {"mbarrier", decode_mbarrier},
    {"wgmma", decode_wgmma},
    {"mapa", decode_mapa},
    {"getctarank", decode_getctarank},
    {"createpolicy", decode_createpolicy},
    {"tensormap", decode_tensormap},
};

/* The rest of what PTX has. */
static const char *const not_simulated[] = {
    "tex",       "tld4",
    "txq",       "suld",
    "sust",      "sured",
    "suq",       "istypep",
    "alloca",    "vadd",
    "vsub",      "vmin",
    "vmax",      "vabsdiff",
    "vshl",      "vshr",
    "vmad",      "vset",
    "vadd2",     "vsub2",
    "vavrg2",    "vmin2",
    "vmax2",     "vabsdiff2",
    "vset2",     "vadd4",
    "vsub4",     "vavrg4",
    "vmin4",     "vmax4",
    "vset4",     "tcgen05",
    "multimem",  "clusterlaunchcontrol",
    "stacksave", "stackrestore",
    "discard",
};

static bool words_of(struct decoder *d, struct ptx_stmt *s, struct ins *x)
{
    for (struct ptx_word *w = s->words; w; w = w->next) {
        if (x->words == MAX_WORDS)
            return FAIL(d, "`%s` has too many modifiers", s->name);
        x->word[x->words++] = w->text;
    }
    for (struct ptx_operand *o = s->operands; o; o = o->next) {
        if (x->ops == MAX_OPERANDS)
            return FAIL(d, "`%s` has too many operands", s->name);
        x->op[x->ops++] = o;
    }
    return true;
}

static void decode_instruction(struct decoder *d, struct ins *x)
{
    struct ptx_stmt *s = x->s;
    for (size_t i = 0; i < sizeof not_simulated / sizeof not_simulated[0]; i++)
        if (!strcmp(not_simulated[i], s->name)) {
            dec_unsupported(d, NULL);
            return;
        }
    if (!words_of(d, s, x))
        return;
    for (size_t i = 0; i < sizeof opcodes / sizeof opcodes[0]; i++)
        if (!strcmp(opcodes[i].name, s->name)) {
            uint32_t first = d->count;
            if (opcodes[i].fn(d, x) && !dec_words_done(d, x))
                return;
            for (uint32_t k = first; k < d->count; k++)
                dec_guard_of(d, x, &d->code[k]);
            return;
        }
    FAIL(d, "unknown instruction `%s`", s->name);
}

void dec_instruction(struct decoder *d, struct ptx_stmt *s)
{
    struct ins x = {.s = s, .name = s->name};
    d->ins = &x;
    decode_instruction(d, &x);
    d->ins = NULL;
}
