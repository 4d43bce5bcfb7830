/* The text form. Values are numbered in the order of the text, a loop's variable is named by its
 * depth
 * (%i, %j, …), the chunk number %c: so the text depends on nothing but the kernel's meaning and
 * names. */
#include "loop/private.h"
#include <inttypes.h>

const char *const lo_bit_names[LO_BIT_COUNT] = {
    [LO_AND] = "bitand",  [LO_OR] = "bitor",        [LO_XOR] = "xor",
    [LO_SHL] = "shl",     [LO_SHR] = "shr",         [LO_SAR] = "sar",
    [LO_MULHI] = "mulhi", [LO_BITCAST] = "bitcast", [LO_ROUND_INT] = "roundint",
    [LO_TF32] = "tf32",
};
const char *const lo_space_names[LO_REG + 1] = {
    [LO_ARG] = "arg",       [LO_SCRATCH] = "scratch", [LO_LOCAL] = "local",
    [LO_SHARED] = "shared", [LO_REG] = "reg",
};
const char *const lo_loop_names[LO_UNROLL + 1] = {[LO_SERIAL] = "serial", [LO_UNROLL] = "unroll"};
const char *const lo_mma_names[LO_MMA_COUNT] = {
    [LO_MMA_M16N8K8_TF32] = "m16n8k8.tf32",
    [LO_MMA_M16N8K16_BF16] = "m16n8k16.bf16",
    [LO_MMA_M16N8K16_F16] = "m16n8k16.f16",
    [LO_MMA_M16N8K8_F16] = "m16n8k8.f16",
};
const char *const lo_approx_names[LO_APPROX_COUNT] = {
    [LO_EX2] = "ex2",   [LO_LG2] = "lg2", [LO_RSQRT] = "rsqrt", [LO_RCP] = "rcp",
    [LO_TANH] = "tanh", [LO_SIN] = "sin", [LO_COS] = "cos",
};

struct printer {
    const struct lo_kernel *k;
    struct text *out;
    char (*name)[16]; /* of each instruction's value; "" if the text does not define it */
    uint32_t *rank;   /* of each value by the place of its definition */
    uint32_t next;    /* the last number given */
    uint32_t ranks;   /* the last rank given */
};

/* ---- numbering ---- */

static void name_block(struct printer *p, uint32_t block, uint32_t depth)
{
    const struct lo_block *b = &p->k->blocks.p[block];
    for (uint32_t i = 0; i < b->insn.n; i++) {
        lo_id id = b->insn.p[i];
        const struct lo_insn *in = &p->k->insns.p[id];
        bool loop = in->kind == LO_FOR;
        p->rank[id] = ++p->ranks;
        if (loop && depth < 6)
            snprintf(p->name[id], sizeof *p->name, "%%%c", "ijklmn"[depth]);
        else if (loop)
            snprintf(p->name[id], sizeof *p->name, "%%i%u", depth);
        else if (lo_has_value(in->kind))
            snprintf(p->name[id], sizeof *p->name, "%%%u", ++p->next);
        if (loop || in->kind == LO_IF)
            name_block(p, in->body, depth + loop);
        if (in->kind == LO_IF && in->other)
            name_block(p, in->other, depth);
    }
}

static void name_phases(struct printer *p)
{
    for (uint32_t i = 0; i < p->k->phases.n; i++) {
        lo_id chunk = p->k->phases.p[i].chunk;
        snprintf(p->name[chunk], sizeof *p->name, "%%c");
        p->rank[chunk] = ++p->ranks;
        lo_id thread = p->k->phases.p[i].thread;
        if (thread) {
            snprintf(p->name[thread], sizeof *p->name, "%%t");
            p->rank[thread] = ++p->ranks;
        }
        name_block(p, p->k->phases.p[i].body, 0);
    }
}

/* `raw`: by the instructions' own numbers, marked, for messages about a broken kernel. */
static struct printer open_printer(const struct lo_kernel *k, bool raw, struct text *out)
{
    struct printer p = {.k = k, .out = out};
    p.name = xcalloc(k->insns.n, sizeof *p.name);
    p.rank = xcalloc(k->insns.n, sizeof *p.rank);
    for (uint32_t i = 0; raw && i < k->insns.n; i++) {
        snprintf(p.name[i], sizeof *p.name, "%%#%u", i);
        p.rank[i] = i;
    }
    if (!raw)
        name_phases(&p);
    return p;
}

static void close_printer(struct printer *p)
{
    free(p->name);
    free(p->rank);
}

/* ---- parts of a line ---- */

static void print_type(struct printer *p, struct lo_type t)
{
    text_printf(p->out, "%s", t.dtype < NN_DTYPE_COUNT ? nn_dtype_name(t.dtype) : "?");
    if (t.lanes != 1)
        text_printf(p->out, "x%u", t.lanes);
}

static void print_value(struct printer *p, lo_id id)
{
    text_printf(p->out, "%s", !id ? "%none" : id < p->k->insns.n ? p->name[id] : "%?");
}

/* The parts in the order in which the text defines their values. */
static uint32_t next_part(const struct printer *p, struct lo_lin l, uint32_t rank)
{
    uint32_t best = l.n;
    for (uint32_t i = 0; i < l.n; i++) {
        uint32_t r = l.part[i].v < p->k->insns.n ? p->rank[l.part[i].v] : 0;
        if (r >= rank && (best == l.n || r < p->rank[l.part[best].v]))
            best = i;
    }
    return best;
}

static void print_part(struct printer *p, struct lo_part part, bool first)
{
    int64_t c = part.c;
    text_printf(p->out, first ? c == -1 ? "-" : "" : c < 0 ? " - " : " + ");
    print_value(p, part.v);
    if (c != 1 && c != -1)
        text_printf(p->out, first ? "*%" PRId64 : "*%" PRIu64,
                    first || c > 0 ? (uint64_t)c : 0 - (uint64_t)c);
}

static void print_lin(struct printer *p, struct lo_lin l)
{
    for (uint32_t i = 0, rank = 0; i < l.n; i++) {
        uint32_t part = next_part(p, l, rank);
        if (part == l.n)
            break;
        rank = p->rank[l.part[part].v] + 1;
        print_part(p, l.part[part], !i);
    }
    if (!l.n)
        text_printf(p->out, "%" PRId64, l.c0);
    else if (l.c0)
        text_printf(p->out, " %c %" PRIu64, l.c0 < 0 ? '-' : '+',
                    l.c0 < 0 ? 0 - (uint64_t)l.c0 : (uint64_t)l.c0);
}

static void print_float(struct printer *p, enum nn_dtype t, double v)
{
    char s[40];
    for (int digits = 6; t != NN_f64 && digits < 10 && isfinite(v); digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtof(s, NULL) == (float)v) {
            text_printf(p->out, "%s", s);
            return;
        }
    }
    text_double(p->out, v);
}

static void print_at(struct printer *p, uint32_t buf, struct lo_lin at, lo_id index)
{
    bool known = buf && buf < p->k->buffers.n;
    text_printf(p->out, " %s[", known ? p->k->buffers.p[buf].name : "?");
    print_lin(p, at);
    if (index) {
        text_printf(p->out, ", ");
        print_value(p, index);
    }
    text_printf(p->out, "]");
}

static void print_place(struct printer *p, const struct lo_insn *in, lo_id index)
{
    print_at(p, in->buf, in->lin, index);
}

static void print_mask(struct printer *p, lo_id mask, lo_id fill)
{
    if (mask) {
        text_printf(p->out, " mask ");
        print_value(p, mask);
    }
    if (fill) {
        text_printf(p->out, " else ");
        print_value(p, fill);
    }
}

static void print_operands(struct printer *p, const char *name, const struct lo_insn *in)
{
    text_printf(p->out, "%s", name);
    for (int i = 0; i < 3; i++)
        if (in->in[i]) {
            text_printf(p->out, " ");
            print_value(p, in->in[i]);
        }
}

/* ---- one kind after the other ---- */

static void print_control(struct printer *p, const struct lo_insn *in, lo_id id)
{
    switch ((enum lo_kind)in->kind) {
    case LO_FOR:
        text_printf(p->out, "for ");
        print_value(p, id);
        text_printf(p->out, " = ");
        print_lin(p, in->lin);
        text_printf(p->out, " .. ");
        print_lin(p, in->hi);
        if (in->step != 1)
            text_printf(p->out, " step %" PRId64, in->step);
        if (in->op != LO_SERIAL)
            text_printf(p->out, " %s", in->op <= LO_UNROLL ? lo_loop_names[in->op] : "?");
        return;
    case LO_IF: print_operands(p, "if", in); return;
    case LO_TRAP:
        text_printf(p->out, "trap ");
        print_value(p, in->in[0]);
        text_printf(p->out, " code %" PRId64 " value ", in->i);
        print_value(p, in->in[1]);
        return;
    case LO_BARRIER: text_printf(p->out, "barrier"); return;
    case LO_COMMIT: text_printf(p->out, "commit"); return;
    case LO_WAIT: text_printf(p->out, "wait %" PRId64, in->i); return;
    case LO_COPY:
        text_printf(p->out, "copy");
        print_place(p, in, 0);
        print_at(p, in->from, in->hi, 0);
        text_printf(p->out, " bytes %" PRId64, in->i);
        print_mask(p, in->in[0], 0);
        return;
    case LO_SET:
        text_printf(p->out, "set");
        print_place(p, in, 0);
        text_printf(p->out, " ");
        print_value(p, in->in[0]);
        return;
    case LO_STORE:
        text_printf(p->out, in->in[2] ? "scatter" : "store");
        print_place(p, in, in->in[2]);
        text_printf(p->out, " ");
        print_value(p, in->in[0]);
        print_mask(p, in->in[1], 0);
        return;
    case LO_CONST:
    case LO_OP:
    case LO_FMA:
    case LO_BIT:
    case LO_SPLAT:
    case LO_LANES:
    case LO_LIN:
    case LO_LOAD:
    case LO_GET:
    case LO_ACROSS:
    case LO_RANDOM:
    case LO_EXTRACT:
    case LO_TRADE:
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX:
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX:
    case LO_KIND_COUNT: break;
    }
    text_printf(p->out, "?");
}

static const char *name_of(const char *const *names, uint32_t count, uint32_t i)
{
    return i < count ? names[i] : "?";
}

static void print_gpu(struct printer *p, const struct lo_insn *in)
{
    const char *half = in->op < NN_DTYPE_COUNT ? nn_dtype_name(in->op) : "?";
    switch ((enum lo_kind)in->kind) {
    case LO_SHUFFLE:
        print_operands(p, in->op == LO_SHFL_XOR ? "shuffle xor" : "shuffle idx", in);
        if (in->op == LO_SHFL_XOR)
            text_printf(p->out, " %" PRId64, in->i);
        return;
    case LO_MMA:
        text_printf(p->out, "mma %s", name_of(lo_mma_names, LO_MMA_COUNT, in->op));
        print_operands(p, "", in);
        return;
    case LO_LDMATRIX:
        text_printf(p->out, in->op ? "ldmatrix trans" : "ldmatrix");
        print_place(p, in, 0);
        return;
    case LO_PACK:
        text_printf(p->out, "pack %s", half);
        print_operands(p, "", in);
        return;
    case LO_UNPACK:
        text_printf(p->out, "unpack %s", half);
        print_operands(p, "", in);
        text_printf(p->out, " half %" PRId64, in->i);
        return;
    case LO_APPROX:
        text_printf(p->out, "approx %s", name_of(lo_approx_names, LO_APPROX_COUNT, in->op));
        print_operands(p, "", in);
        return;
    case LO_CONST:
    case LO_OP:
    case LO_FMA:
    case LO_BIT:
    case LO_SPLAT:
    case LO_LANES:
    case LO_LIN:
    case LO_LOAD:
    case LO_STORE:
    case LO_GET:
    case LO_SET:
    case LO_FOR:
    case LO_IF:
    case LO_ACROSS:
    case LO_RANDOM:
    case LO_TRAP:
    case LO_EXTRACT:
    case LO_TRADE:
    case LO_BARRIER:
    case LO_COPY:
    case LO_COMMIT:
    case LO_WAIT:
    case LO_KIND_COUNT: break;
    }
    text_printf(p->out, "?");
}

static void print_value_insn(struct printer *p, const struct lo_insn *in)
{
    switch ((enum lo_kind)in->kind) {
    case LO_CONST:
        text_printf(p->out, "const ");
        if (nn_is_float(in->type.dtype))
            print_float(p, in->type.dtype, in->f);
        else
            text_printf(p->out, "%" PRId64, in->i);
        return;
    case LO_OP: print_operands(p, in->op < IR_OP_COUNT ? ir_op_name(in->op) : "?", in); return;
    case LO_FMA: print_operands(p, "fma", in); return;
    case LO_BIT: print_operands(p, in->op < LO_BIT_COUNT ? lo_bit_names[in->op] : "?", in); return;
    case LO_SPLAT: print_operands(p, "splat", in); return;
    case LO_LANES:
    case LO_LIN:
        text_printf(p->out, in->kind == LO_LIN ? "lin " : "lanes ");
        print_lin(p, in->lin);
        return;
    case LO_LOAD:
        text_printf(p->out, in->in[2] ? "gather" : "load");
        print_place(p, in, in->in[2]);
        print_mask(p, in->in[0], in->in[1]);
        return;
    case LO_GET:
        text_printf(p->out, "get");
        print_place(p, in, 0);
        return;
    case LO_ACROSS:
        text_printf(p->out, "across %s", in->op < IRM_COUNT ? ir_monoid_name(in->op) : "?");
        print_operands(p, "", in);
        return;
    case LO_RANDOM:
        text_printf(p->out, "random ");
        print_value(p, in->in[0]);
        text_printf(p->out, " ");
        print_value(p, in->in[1]);
        text_printf(p->out, " stream %" PRIu64 " word %u at ", (uint64_t)in->i, in->op);
        print_value(p, in->in[2]);
        return;
    case LO_TRADE:
        print_operands(p, in->op ? "trade high" : "trade low", in);
        text_printf(p->out, " block %" PRId64, in->i);
        return;
    case LO_EXTRACT:
        text_printf(p->out, "extract ");
        print_value(p, in->in[0]);
        text_printf(p->out, "[%" PRId64 "]", in->i);
        return;
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX:
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX: print_gpu(p, in); return;
    case LO_FOR:
    case LO_IF:
    case LO_STORE:
    case LO_SET:
    case LO_TRAP:
    case LO_BARRIER:
    case LO_COPY:
    case LO_COMMIT:
    case LO_WAIT:
    case LO_KIND_COUNT: break;
    }
    text_printf(p->out, "?");
}

static void print_line(struct printer *p, lo_id id)
{
    const struct lo_insn *in = &p->k->insns.p[id];
    if (in->kind != LO_FOR && lo_has_value(in->kind)) {
        print_value(p, id);
        text_printf(p->out, " = ");
        print_value_insn(p, in);
        text_printf(p->out, " : ");
        print_type(p, in->type);
    } else {
        print_control(p, in, id);
    }
    if (in->origin)
        text_printf(p->out, " @%u", in->origin);
}

static void print_block(struct printer *p, uint32_t block, int indent)
{
    const struct lo_block *b = &p->k->blocks.p[block];
    for (uint32_t i = 0; i < b->insn.n; i++) {
        const struct lo_insn *in = &p->k->insns.p[b->insn.p[i]];
        text_printf(p->out, "%*s", indent, "");
        print_line(p, b->insn.p[i]);
        if (in->kind == LO_FOR || in->kind == LO_IF) {
            text_printf(p->out, " {\n");
            print_block(p, in->body, indent + 2);
            if (in->kind == LO_IF && in->other) {
                text_printf(p->out, "%*s} else {\n", indent, "");
                print_block(p, in->other, indent + 2);
            }
            text_printf(p->out, "%*s}", indent, "");
        }
        text_printf(p->out, "\n");
    }
}

static void print_buffers(struct printer *p)
{
    uint32_t i = 1;
    text_printf(p->out, "kernel %s(", p->k->name);
    for (; i < p->k->buffers.n && p->k->buffers.p[i].space == LO_ARG; i++) {
        const struct lo_buffer *b = &p->k->buffers.p[i];
        text_printf(p->out, "%s%s ", i > 1 ? ", " : "", b->name);
        print_type(p, b->type);
        text_printf(p->out, "[%" PRId64 "]", b->count);
    }
    text_printf(p->out, ")\n");
    for (; i < p->k->buffers.n; i++) {
        const struct lo_buffer *b = &p->k->buffers.p[i];
        text_printf(p->out, "%s %s ", lo_space_names[b->space], b->name);
        print_type(p, b->type);
        text_printf(p->out, "[%" PRId64 "]\n", b->count);
    }
    if (p->k->flops != 0 || p->k->bytes != 0) {
        text_printf(p->out, "work flops ");
        text_double(p->out, p->k->flops);
        text_printf(p->out, " bytes ");
        text_double(p->out, p->k->bytes);
        text_printf(p->out, "\n");
    }
}

void lo_print(const struct lo_kernel *k, struct text *out)
{
    struct printer p = open_printer(k, false, out);
    print_buffers(&p);
    for (uint32_t i = 0; i < k->phases.n; i++) {
        text_printf(out, "phase %" PRId64 " %%c ", k->phases.p[i].chunks);
        if (k->phases.p[i].threads)
            text_printf(out, "threads %d %%t ", k->phases.p[i].threads);
        text_printf(out, "{\n");
        print_block(&p, k->phases.p[i].body, 2);
        text_printf(out, "}\n");
    }
    close_printer(&p);
}

void lo_print_insn(const struct lo_kernel *k, lo_id id, bool raw, struct text *out)
{
    struct printer p = open_printer(k, raw, out);
    print_line(&p, id);
    close_printer(&p);
}
