/* nnc build --kernels FILE -o DIR: the exported functions of a file, each (and its gradient) a C
 * function and entries in PTX, for programs of others. */
#include "nnc/build.h"

/* A function with values for its names. */
struct instance {
    const char *name, *fn; /* in C, in the file */
    nnc_pairs define;      /* its own, then those of -D */
    size_t own;
    struct front *front; /* shared by all without --instance */
    const struct front_export *x;
    bool integer; /* it has no gradient */
};
struct kernels {
    struct build *b;
    VEC(struct instance) instance;
    VEC(struct pack_export) fn;
    VEC(struct front *) fronts;
    uint32_t gradients;
};

static int usage(const char *fmt, ...) NNC_PRINTF(1, 2);
static int usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("nnc build --kernels: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_USAGE;
}

static int check_levels(const struct build *b)
{
    for (uint32_t i = 1; i < b->levels; i++)
        if (b->target[i]->kind == b->target[i - 1]->kind)
            return usage("one level for a CPU and one for a GPU: %s and %s want a build each, told "
                         "apart by --prefix",
                         b->target[i - 1]->name, b->target[i]->name);
    return 0;
}

/* ---- instances ---- */

/* The next of `a=1,s=[2,3]`: commas within brackets or quotes belong to a value. */
static char *next_pair(struct arena *mem, const char **list)
{
    const char *start = *list, *c = start;
    int depth = 0;
    bool quoted = false;
    for (; *c && (*c != ',' || depth || quoted); c++) {
        quoted ^= *c == '"';
        depth += *c == '[' || *c == '(';
        depth -= *c == ']' || *c == ')';
    }
    *list = c + (*c == ',');
    return arena_strndup(mem, start, (size_t)(c - start));
}

/* [NAME=]FN[:k=v,…] */
static int read_instance(struct kernels *k, const struct nnc_pair *p)
{
    struct arena *mem = k->b->mem;
    const char *text = p->name ? arena_printf(mem, "%s=%s", p->name, p->value) : p->value;
    size_t head = strcspn(text, ":");
    char *fn = arena_strndup(mem, text, head), *eq = strchr(fn, '=');
    struct instance x = {.name = fn, .fn = eq ? eq + 1 : fn};
    if (eq)
        *eq = 0;
    const char *list = text + head + (text[head] == ':');
    while (*list) {
        char *pair = next_pair(mem, &list), *value = strchr(pair, '=');
        if (!value || value == pair || !value[1]) {
            vec_free(&x.define);
            return usage("--instance %s: NAME=VALUE is wanted, not `%s`", text, pair);
        }
        *value = 0;
        vec_push(&x.define, ((struct nnc_pair){pair, value + 1}));
    }
    x.own = x.define.n;
    for (uint32_t i = 0; i < k->b->o.define.n; i++)
        vec_push(&x.define, k->b->o.define.p[i]);
    vec_push(&k->instance, x);
    return *x.name && *x.fn ? 0 : usage("--instance %s: [NAME=]FUNCTION:k=v,… is wanted", text);
}

static struct front *open_front(struct kernels *k, const nnc_pairs *define)
{
    struct nnc_options o = k->b->o;
    o.define = *define;
    struct front *f = nnc_front(k->b->diag, &o);
    if (f)
        vec_push(&k->fronts, f);
    return f;
}

static int exports_none(const struct kernels *k)
{
    fprintf(stderr, "nnc build: %s exports no function: write `export fn`\n", k->b->o.args.p[0]);
    return EXIT_REFUSED;
}

static int find_export(const struct kernels *k, struct instance *i)
{
    const char *names[64];
    uint32_t n;
    const struct front_export *x = front_exports(i->front, &n);
    if (!n)
        return exports_none(k);
    for (uint32_t e = 0; e < n; e++) {
        if (!strcmp(x[e].name, i->fn)) {
            i->x = &x[e];
            return 0;
        }
        if (e < COUNT(names))
            names[e] = x[e].name;
    }
    const char *near = nearest_name(i->fn, names, n < COUNT(names) ? n : COUNT(names));
    fprintf(stderr, "nnc build: %s exports no `%s`%s%s%s\n", k->b->o.args.p[0], i->fn,
            near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    return EXIT_REFUSED;
}

/* Those of --instance, or every exported function. */
static int read_instances(struct kernels *k)
{
    const struct nnc_options *o = &k->b->o;
    int bad = 0;
    for (uint32_t i = 0; !bad && i < o->instance.n; i++)
        bad = read_instance(k, &o->instance.p[i]);
    for (uint32_t i = 0; !bad && i < k->instance.n; i++) {
        struct instance *x = &k->instance.p[i];
        x->front = open_front(k, &x->define);
        bad = x->front ? find_export(k, x) : EXIT_REFUSED;
    }
    if (bad || o->instance.n)
        return bad;
    struct front *f = open_front(k, &o->define);
    uint32_t n;
    if (!f)
        return EXIT_REFUSED;
    const struct front_export *x = front_exports(f, &n);
    for (uint32_t i = 0; i < n; i++)
        vec_push(&k->instance,
                 ((struct instance){.name = x[i].name, .fn = x[i].name, .front = f, .x = &x[i]}));
    return n ? 0 : exports_none(k);
}

/* ---- names in C ---- */

/* What the C library has, and kernels may call: a function of this name would be called instead. */
static bool is_of_c(const char *name)
{
    static const char *const of_c[] = {
        "acos",   "asin",   "atan",   "atan2",     "cbrt",   "ceil",   "cos",    "cosh",
        "erf",    "erfc",   "exp",    "exp2",      "expm1",  "fabs",   "floor",  "fma",
        "fmax",   "fmin",   "fmod",   "hypot",     "log",    "log10",  "log1p",  "log2",
        "pow",    "rint",   "round",  "roundeven", "sin",    "sinh",   "sqrt",   "tan",
        "tanh",   "trunc",  "abs",    "abort",     "calloc", "exit",   "free",   "main",
        "malloc", "memcmp", "memcpy", "memmove",   "memset", "printf", "realloc"};
    size_t n = strlen(name);
    for (size_t i = 0; i < COUNT(of_c); i++) {
        size_t m = strlen(of_c[i]);
        if (!strncmp(name, of_c[i], m) && (n == m || (n == m + 1 && name[m] == 'f')))
            return true;
    }
    return false;
}

static int check_names(const struct kernels *k, const struct pack_kernels *p)
{
    pack_names names = {0};
    const char *twice = NULL;
    pack_kernels_names(p, k->b->mem, &names);
    for (uint32_t i = 0; i < names.n && !twice; i++)
        for (uint32_t j = 0; j < i && !twice; j++)
            if (!strcmp(names.p[i], names.p[j]))
                twice = names.p[i];
    vec_free(&names);
    for (uint32_t i = 0; i < p->n; i++)
        if (is_of_c(p->fn[i].name))
            return usage("%s is a function of the C library: give it another name with --instance "
                         "NAME=%s or --prefix",
                         p->fn[i].name, p->fn[i].name);
    return twice ? usage("two things would be called %s: give one another name with --instance "
                         "NAME=FUNCTION:…",
                         twice)
                 : 0;
}

/* A parameter's name that none before has. */
static const char *parameter(struct arena *mem, const char *name, const struct pack_value *v,
                             uint32_t n)
{
    static const char *const taken[] = {"scratch",  "stage",       "first",       "last",
                                        "shared",   "own",         "gpu",         "stream",
                                        "fault",    "status",      "arg",         "CUresult",
                                        "CUstream", "CUdeviceptr", "CUDA_SUCCESS"};
    const char *s = pack_identifier(mem, name);
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < n; i++)
            again |= !strcmp(v[i].name, s);
        for (size_t i = 0; i < COUNT(taken); i++)
            again |= !strcmp(taken[i], s);
        if (again)
            s = arena_printf(mem, "%s_", s);
    }
    return s;
}

/* ---- compiling ---- */

static void add_value(struct arena *mem, struct pack_value *v, uint32_t n, const char *of,
                      const struct ir_node *x)
{
    v[n] = (struct pack_value){parameter(mem, of, v, n), of, x->dtype, ir_rank(x), {0}};
    for (uint32_t i = 0; i < v[n].rank; i++)
        v[n].dim[i] = ir_axes(x)[i].n;
}

/* What the function takes and gives, from its graph before the passes: they drop what nothing
 * reads. */
static void describe(struct kernels *k, const struct instance *i, const struct ir_graph *g,
                     bool gradient)
{
    struct arena *mem = k->b->mem;
    struct pack_value *v = ARENA_ARRAY(mem, struct pack_value, g->nodes.n + g->outputs.n);
    struct pack_export x = {.name = arena_printf(mem, "%s", g->name),
                            .graph = arena_printf(mem, "%s", g->name),
                            .doc = gradient ? NULL : i->x->doc,
                            .value = v};
    if (gradient)
        x.about = arena_printf(mem,
                               "The derivatives d_… of a number by the inputs of %s, from those by "
                               "its results,\nwhich it computes again.",
                               i->name);
    for (ir_id n = 1; n < g->nodes.n; n++)
        if (ir_at(g, n)->op == IR_input)
            add_value(mem, v, x.inputs++, ir_at(g, n)->name, ir_at(g, n));
    x.values = x.inputs;
    for (uint32_t n = 0; n < g->outputs.n; n++)
        add_value(mem, v, x.values++, arena_printf(mem, "%s", g->outputs.p[n].name),
                  ir_at(g, g->outputs.p[n].node));
    vec_push(&k->fn, x);
}

static int graph(struct kernels *k, struct nnc_compiled *c, struct instance *i, bool gradient)
{
    const char *name = gradient ? arena_printf(k->b->mem, "%s_grad", i->name) : i->name;
    struct ir_graph *g = front_build_export(i->front, c->m, i->x, name, i->own, gradient);
    bool none = !g && !diag_errors(k->b->diag); /* no gradient */
    diag_print(k->b->diag, stderr);
    i->integer |= none;
    if (!g)
        return none ? 0 : EXIT_REFUSED;
    k->gradients += gradient;
    if (c == &k->b->c[0])
        describe(k, i, g, gradient);
    nnc_compile_graph(c, g);
    return 0;
}

static int compile_level(struct kernels *k, uint32_t l)
{
    struct build *b = k->b;
    int bad = 0;
    if (!nnc_compile_begin(&b->c[l], b->diag, &b->o, b->target[l], b->prefix))
        return EXIT_USAGE;
    for (uint32_t i = 0; !bad && i < k->instance.n; i++) {
        bad = graph(k, &b->c[l], &k->instance.p[i], false);
        if (!bad && b->o.with_gradient && !k->instance.p[i].integer)
            bad = graph(k, &b->c[l], &k->instance.p[i], true);
    }
    if (!bad && b->o.with_gradient && !k->gradients)
        bad = EXIT_REFUSED;
    if (!bad)
        b->c[l].image = program_image(b->c[l].program);
    return bad;
}

static int make_ptx(struct build *b, const struct pack_kernels *p, struct nnc_compiled *c)
{
    char *message = NULL;
    struct back_lines lines = program_lines(c->program);
    bool ok = back_emit_entries(c->target, p->gpu->kernel, p->gpu->kernels, pack_entries(p, b->mem),
                                &lines, &c->ptx, &message);
    if (!ok)
        fprintf(stderr, "nnc build: %s\n", message ? message : "LLVM failed");
    free(message);
    return ok ? 0 : EXIT_MACHINE;
}

static int write_kernels(struct kernels *k)
{
    struct build *b = k->b;
    struct pack_level level[2];
    const char *file = b->o.args.p[0], *slash = strrchr(file, '/');
    struct pack_kernels p = {.prefix = b->prefix,
                             .source = slash ? slash + 1 : file,
                             .version = NNC_VERSION,
                             .n = k->fn.n,
                             .fn = k->fn.p,
                             .base = b->base};
    for (uint32_t i = 0; i < b->levels; i++) {
        bool gpu = b->target[i]->kind == TARGET_GPU;
        level[i] = (struct pack_level){
            .target = b->target[i], .image = b->c[i].image, .code = gpu ? &b->c[i].ptx : NULL};
        level[i].kernel = program_kernels(b->c[i].program, &level[i].kernels);
        *(gpu ? &p.gpu : &p.cpu) = &level[i];
    }
    pack_kernels_prepare(&p);
    int bad = check_names(k, &p);
    for (uint32_t i = 0; !bad && i < b->levels; i++)
        if (level[i].code)
            bad = make_ptx(b, &p, &b->c[i]);
    return bad ? bad : build_write_kernels(b, &p);
}

static int run(struct kernels *k)
{
    struct build *b = k->b;
    int bad = build_read_targets(b);
    if (!bad)
        bad = check_levels(b);
    if (!bad)
        bad = build_read_parts(b);
    if (!bad)
        bad = build_find_linker(b);
    if (!bad)
        bad = read_instances(k);
    for (uint32_t i = 0; i < k->instance.n; i++) {
        const char *name = k->instance.p[i].name;
        k->instance.p[i].name = pack_identifier(
            b->mem, b->o.prefix ? arena_printf(b->mem, "%s_%s", b->o.prefix, name) : name);
    }
    for (uint32_t i = 0; !bad && i < b->levels; i++)
        bad = compile_level(k, i);
    return bad ? bad : write_kernels(k);
}

int build_kernels(struct build *b)
{
    struct kernels k = {.b = b};
    int bad = run(&k);
    for (uint32_t i = 0; i < k.instance.n; i++)
        vec_free(&k.instance.p[i].define);
    for (uint32_t i = 0; i < k.fronts.n; i++)
        front_close(k.fronts.p[i]);
    vec_free(&k.instance);
    vec_free(&k.fronts);
    vec_free(&k.fn);
    return bad;
}
