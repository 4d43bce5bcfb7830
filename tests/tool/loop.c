/* Checks a kernel in text form: it is sound, its text reads back, and the interpreter in both
 * orders of chunks and machine code of the host's level and of plain x86-64 give the same bits, for
 * the kernel as it stands, simplified, and unrolled. A first line `# equal: y z` asks for the same
 * numbers in arguments y and z after the run, `# fault: WORDS` for the interpreter's refusal, in
 * these words. Inputs are made up from the arguments' names: floats are mostly small, `any…` holds
 * all kinds of bits; integers are in [0, 4), `wide…` of any size; what the kernel writes begins as
 * small numbers too. */
#include "back/back.h"
#include "cpu/pool.h"
#include "ptxas.h"
#include "simrun.h"
#include "tool.h"
#include <inttypes.h>
#include <math.h>

struct memory { /* the arguments, and how the run ended */
    void **buf;
    int32_t fault_code;
    int64_t fault_value;
};

static uint64_t random_bits(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 32 | *state << 32;
}

static union lo_num made_up(const struct lo_buffer *b, uint64_t *state)
{
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1,
                                     -1,  0.5,  1.5,      2.5,       1e30};
    uint64_t u = random_bits(state);
    enum nn_dtype t = b->type.dtype;
    if (t == NN_bool)
        return lo_num_from_i(t, u & 1);
    if (nn_is_int(t))
        return lo_num_from_i(t, strncmp(b->name, "wide", 4) ? (int64_t)(u % 4) : (int64_t)u);
    if (strncmp(b->name, "any", 3))
        return lo_num_from_f(t, (double)(u % 4096) / 512 - 4);
    if (u % 3 == 0)
        return lo_num_from_f(t, special[u / 3 % COUNT(special)]);
    if (u % 3 == 1)
        return lo_num_from_f(t, (double)(int64_t)(u >> 20) / 1024 - 1e9);
    union lo_num v = {0};
    memcpy(&v, &u, nn_dtype_size(t));
    return fpclassify(lo_num_f(t, v)) == FP_SUBNORMAL ? (union lo_num){0} : v;
}

static struct memory open_memory(const struct lo_kernel *k)
{
    struct memory m = {.buf = xcalloc(k->buffers.n, sizeof *m.buf)};
    uint64_t state = 1;
    for (uint32_t i = 1; i < k->buffers.n && k->buffers.p[i].space == LO_ARG; i++) {
        const struct lo_buffer *b = &k->buffers.p[i];
        size_t size = nn_dtype_size(b->type.dtype);
        m.buf[i - 1] = aligned_alloc(64, ((size_t)b->count * size + 127) / 64 * 64);
        CHECK(m.buf[i - 1], "no memory");
        for (int64_t e = 0; e < b->count; e++) {
            union lo_num v = made_up(b, &state);
            memcpy((char *)m.buf[i - 1] + (size_t)e * size, &v, size);
        }
    }
    return m;
}

static void close_memory(const struct lo_kernel *k, struct memory *m)
{
    for (uint32_t i = 0; i < k->buffers.n; i++)
        free(m->buf[i]);
    free(m->buf);
}

static bool same_number(enum nn_dtype t, const char *x, const char *y, size_t size)
{
    union lo_num a = {0}, b = {0};
    memcpy(&a, x, size);
    memcpy(&b, y, size);
    return !memcmp(x, y, size) ||
           (nn_is_float(t) && isnan(lo_num_f(t, a)) && isnan(lo_num_f(t, b)));
}

static bool same_memory(const struct lo_kernel *k, const struct memory *x, const struct memory *y,
                        const char *what)
{
    if (x->fault_code != y->fault_code) {
        tool_complain("%s: fault %d, wanted %d\n", what, y->fault_code, x->fault_code);
        return false;
    }
    for (uint32_t i = 1; i < k->buffers.n && k->buffers.p[i].space == LO_ARG && !x->fault_code;
         i++) {
        const struct lo_buffer *b = &k->buffers.p[i];
        size_t size = nn_dtype_size(b->type.dtype);
        for (int64_t e = 0; e < b->count; e++) {
            const char *p = (char *)x->buf[i - 1] + (size_t)e * size;
            const char *q = (char *)y->buf[i - 1] + (size_t)e * size;
            uint64_t u = 0, v = 0;
            memcpy(&u, p, size);
            memcpy(&v, q, size);
            if (same_number(b->type.dtype, p, q, size))
                continue;
            tool_complain("%s: %s[%" PRId64 "] has the bits %#" PRIx64 ", wanted %#" PRIx64 "\n",
                          what, b->name, e, v, u);
            return false;
        }
    }
    return true;
}

static bool interpret(const struct lo_kernel *k, bool descending, struct memory *m,
                      const char *what)
{
    struct lo_run run = {.buf = m->buf, .descending = descending};
    bool ok = lo_interpret(k, &run);
    if (!ok)
        tool_complain("%s: %s\n", what, run.message);
    free(run.message);
    m->fault_code = run.fault_code;
    m->fault_value = run.fault_value;
    return ok;
}

static struct lo_kernel *read_text(const char *name, const char *text, size_t n)
{
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, name, text, n));
    diag_print(d, stdout);
    diag_free(d);
    return k;
}

static struct text print(const struct lo_kernel *k)
{
    struct text t = {0};
    lo_print(k, &t);
    return t;
}

static struct lo_kernel *copy(const struct lo_kernel *k)
{
    struct text t = print(k);
    struct lo_kernel *c = read_text("the printed kernel", t.p, t.n);
    struct text again = {0};
    if (c)
        lo_print(c, &again);
    if (!c || strcmp(t.p, again.p) || !lo_equal(k, c))
        tool_complain("the text does not read back:\n%s", t.p);
    text_free(&t);
    text_free(&again);
    return c;
}

static bool machine_code(const struct target *t, const struct lo_kernel *k, struct memory *m)
{
    char *message = NULL;
    struct back_jit *j = back_jit_new(t, &message);
    nn_kernel *fn = NULL;
    struct lo_kernel *const one[] = {copy(k)};
    if (!j || !back_jit_add(j, one, 1, &fn, &message)) {
        tool_complain("%s\n", message);
        free(message);
        lo_kernel_free(one[0]);
        back_jit_free(j);
        return false;
    }
    struct nn_fault fault = {0};
    void *scratch = aligned_alloc(64, back_scratch(k) / 64 * 64 + 128);
    struct nn_args args = {.buf = m->buf, .scratch = scratch, .fault = &fault};
    uint64_t mode = nn_denormals_flush();
    for (uint32_t i = 0; i < k->phases.n && !fault.code; i++)
        fn(&args, (int32_t)i, 0, k->phases.p[i].chunks);
    nn_denormals_restore(mode);
    m->fault_code = fault.code;
    m->fault_value = fault.value;
    free(scratch);
    lo_kernel_free(one[0]);
    back_jit_free(j);
    return true;
}

/* ---- a GPU's ---- */

static bool may_differ(const struct target *t, const struct lo_kernel *k)
{ /* hardware's approximations, and sums of tensor cores in an order of their own */
    (void)t;
    for (uint32_t i = 1; i < k->insns.n; i++) {
        const struct lo_insn *in = &k->insns.p[i];
        if (in->kind == LO_APPROX || (in->kind == LO_OP && ir_op_class(in->op) == IRC_FLOAT))
            return true;
    }
    return false;
}

/* Close: of numbers of a size with the largest. */
static bool near_memory(const struct lo_kernel *k, const struct memory *x, const struct memory *y,
                        const char *what)
{
    for (uint32_t i = 1; i < k->buffers.n && k->buffers.p[i].space == LO_ARG && !x->fault_code;
         i++) {
        const struct lo_buffer *b = &k->buffers.p[i];
        size_t size = nn_dtype_size(b->type.dtype);
        double largest = 0;
        for (int64_t e = 0; e < b->count && nn_is_float(b->type.dtype); e++) {
            union lo_num v = {0};
            memcpy(&v, (char *)x->buf[i - 1] + (size_t)e * size, size);
            double d = fabs(lo_num_f(b->type.dtype, v));
            largest = isfinite(d) && d > largest ? d : largest;
        }
        for (int64_t e = 0; e < b->count && nn_is_float(b->type.dtype); e++) {
            union lo_num v = {0}, w = {0};
            memcpy(&v, (char *)x->buf[i - 1] + (size_t)e * size, size);
            memcpy(&w, (char *)y->buf[i - 1] + (size_t)e * size, size);
            double p = lo_num_f(b->type.dtype, v), q = lo_num_f(b->type.dtype, w);
            double bound = b->type.dtype == NN_f16 ? 2e-3 : b->type.dtype == NN_bf16 ? 1e-2 : 1e-5;
            if (p == q || (isnan(p) && isnan(q)) || fabs(p - q) <= bound * largest)
                continue;
            tool_complain("%s: %s[%" PRId64 "] is %.9g, wanted %.9g\n", what, b->name, e, q, p);
            return false;
        }
    }
    return true;
}

/* PTX of the kernel for each target: ptxas takes it, the software GPU gives what the interpreter
 * gave. */
static void check_ptx(const struct target *t, const struct lo_kernel *form,
                      const struct memory *want)
{
    struct lo_kernel *k = copy(form);
    struct text ptx = {0};
    char *message = NULL;
    const char *symbol;
    bool taken = false;
    if (!k)
        return;
    back_symbols(&k, 1, &symbol);
    if (!back_emit(t, &k, 1, BACK_ASM, &ptx, &message)) {
        if (!strstr(message, "no such tensor cores") && !strstr(message, "knows no sm_"))
            tool_complain("%s: %s\n", t->name, message);
    } else {
        char *said = ptxas_run(t->name, ptx.p, &taken);
        if (said && !taken)
            tool_complain("%s: ptxas: %s\n", t->name, said);
        free(said);
        struct simrun r;
        struct nn_fault fault;
        struct memory m = open_memory(form);
        if (!simrun_open(&r, t, &ptx) && strstr(r.words, "f32x2")) { /* of Blackwell, by LLVM 22 */
            printf("%s: %s", t->name, r.words);
        } else if (!r.m || !simrun_kernel(&r, form, symbol, m.buf, &fault)) {
            tool_complain("%s: the software GPU: %s\n", t->name, r.words);
        } else {
            m.fault_code = fault.code;
            if (may_differ(t, form))
                near_memory(form, want, &m, t->name);
            else
                same_memory(form, want, &m, t->name);
        }
        simrun_close(&r);
        close_memory(form, &m);
    }
    free(message);
    text_free(&ptx);
    lo_kernel_free(k);
}

/* ---- one file ---- */

/* The kernel's forms: as it stands, then each transformation upon the last. */
static const struct {
    const char *name;
    void (*make)(struct lo_kernel *k);
} forms[] = {{"as it stands", NULL}, {"simplified", lo_simplify}, {"unrolled", lo_unroll}};

static bool check_form(const struct target *t, const struct lo_kernel *form, struct memory *want,
                       const char *name)
{
    struct lo_kernel *k = copy(form);
    struct memory m[2] = {open_memory(form), open_memory(form)};
    bool ok = k != NULL;
    if (ok) {
        if (t->kind == TARGET_GPU)
            lo_expand_maths_gpu(k);
        else
            lo_expand_maths(k, t->fma);
        char *wrong = lo_verify(k);
        if (wrong)
            tool_complain("%s: %s\n", name, wrong);
        ok = !wrong;
        free(wrong);
    }
    ok = ok && interpret(k, false, &m[0], name);
    if (ok && !want->buf)
        *want = m[0], m[0] = open_memory(form);
    else
        ok = ok && same_memory(form, want, &m[0], name);
    close_memory(form, &m[0]);
    m[0] = open_memory(form);
    ok = ok && interpret(k, true, &m[0], name) &&
         (want->fault_code || same_memory(form, want, &m[0], name));
    if (ok && t->kind == TARGET_CPU)
        ok = machine_code(t, form, &m[1]) && same_memory(form, want, &m[1], name);
    close_memory(form, &m[0]);
    close_memory(form, &m[1]);
    lo_kernel_free(k);
    return ok;
}

/* The words of a first line `# KEY words`; NULL: it is none. Ends at the line's end. */
static char *first_line(const char *text, const char *key)
{
    size_t n = strlen(key);
    if (strncmp(text, key, n))
        return NULL;
    size_t len = strcspn(text + n, "\n");
    char *words = xcalloc(len + 1, 1);
    memcpy(words, text + n, len);
    return words;
}

static int argument(const struct lo_kernel *k, const char *name)
{
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (!strcmp(k->buffers.p[i].name, name) && k->buffers.p[i].space == LO_ARG)
            return (int)i;
    tool_complain("no argument %s\n", name);
    return 0;
}

/* `words`: the names of two arguments that must hold the same. */
static void check_equal(const struct lo_kernel *k, const struct memory *m, char *words)
{
    char *second = words;
    int x = argument(k, strsep(&second, " ")), y = second ? argument(k, second) : 0;
    if (!x || !y || !m->buf || m->fault_code) {
        tool_complain("nothing to compare\n");
        return;
    }
    enum nn_dtype t = k->buffers.p[x].type.dtype;
    size_t size = nn_dtype_size(t);
    for (int64_t e = 0; e < k->buffers.p[x].count; e++)
        if (!same_number(t, (char *)m->buf[x - 1] + (size_t)e * size,
                         (char *)m->buf[y - 1] + (size_t)e * size, size)) {
            tool_complain("%s[%" PRId64 "] and %s[%" PRId64 "] differ\n", k->buffers.p[x].name, e,
                          k->buffers.p[y].name, e);
            return;
        }
}

static void check_fault(const struct lo_kernel *k, const char *words)
{
    struct memory m = open_memory(k);
    struct lo_run run = {.buf = m.buf};
    bool ok = lo_interpret(k, &run);
    if (ok || !strstr(run.message, words))
        tool_complain("%s, wanted: %s\n", ok ? "no fault" : run.message, words);
    free(run.message);
    close_memory(k, &m);
}

static void check_target(const struct target *t, struct lo_kernel *k, const char *text)
{
    struct memory want = {0};
    char name[80];
    bool ok = true;
    for (uint32_t i = 0; i < COUNT(forms) && ok; i++) {
        if (forms[i].make)
            forms[i].make(k);
        snprintf(name, sizeof name, "%s, %s", t->name, forms[i].name);
        ok = check_form(t, k, &want, name);
    }
    for (uint32_t i = 0; ok && want.buf && i < target_count && t->kind == TARGET_GPU; i++)
        if (target_table[i].kind == TARGET_GPU)
            check_ptx(&target_table[i], k, &want);
    char *words = first_line(text, "# equal: ");
    if (words && ok)
        check_equal(k, &want, words);
    free(words);
    if (want.buf)
        close_memory(k, &want);
}

/* A kernel of the file for each target that can run it. */
static bool check_file(const char *name, const char *text, size_t n)
{
    static const char *const targets[] = {"host", "x86-64", "sm_80"};
    char *fault = first_line(text, "# fault: ");
    for (uint32_t i = 0; i < COUNT(targets); i++) {
        const struct target *t = target_find(targets[i]);
        struct lo_kernel *k = read_text(name, text, n);
        if (!k)
            return false;
        bool gpu = t && t->kind == TARGET_GPU;
        bool runs = t && gpu == lo_is_gpu(k) && (gpu || !strcmp(t->triple, target_host()->triple));
        if (runs && fault)
            check_fault(k, fault);
        else if (runs)
            check_target(t, k, text);
        lo_kernel_free(k);
    }
    free(fault);
    return true;
}

int mode_loop(int argc, char **argv)
{
    size_t n;
    char *text = argc == 2 ? file_read(argv[1], 1 << 24, &n) : NULL;
    if (argc != 2)
        return -1;
    if (!text) {
        perror(argv[1]);
        return 1;
    }
    if (!check_file(argv[1], text, n)) {
        free(text);
        return 1;
    }
    free(text);
    char *wrong = tool_complaints();
    fputs(wrong, stdout);
    int status = *wrong != 0;
    free(wrong);
    return status;
}

int mode_ptx(int argc, char **argv)
{
    size_t n;
    char *text = argc == 3 ? file_read(argv[2], 1 << 24, &n) : NULL, *message = NULL;
    const struct target *t = argc == 3 ? target_find(argv[1]) : NULL;
    struct lo_kernel *k = text && t ? read_text(argv[2], text, n) : NULL;
    struct text out = {0};
    free(text);
    if (!k)
        return argc == 3 ? 1 : -1;
    lo_simplify(k);
    bool ok = back_emit(t, &k, 1, BACK_ASM, &out, &message);
    puts(ok ? out.p : message);
    free(message);
    text_free(&out);
    lo_kernel_free(k);
    return !ok;
}
