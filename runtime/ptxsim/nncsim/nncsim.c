/* nncsim: `nncsim run FILE.ptx --entry K --grid X,Y,Z --block X,Y,Z …` runs one kernel on the
 * software GPU, prints its time and counters, and exits with 1 and a report where the kernel does
 * something wrong. */
#include "nncsim.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ARGS 256
#define MAX_OUTS 64
#define LOG_BYTES 16384

struct options {
    const char *file, *entry, *chip;
    struct sim_launch launch;
    uint64_t seed;
    int workers;
    bool json, uninitialised;
    const char *args;
    struct {
        unsigned arg;
        const char *path;
    } out[MAX_OUTS];
    int outs;
    unsigned print[MAX_OUTS];
    int prints;
};

static const char usage_text[] =
    "usage: nncsim run FILE.ptx [options]\n"
    "       nncsim chips\n"
    "  --entry NAME        the kernel (not needed if there is one)\n"
    "  --grid X[,Y[,Z]]    blocks, 1 if not given\n"
    "  --block X[,Y[,Z]]   threads of a block, 1 if not given\n"
    "  --cluster X[,Y[,Z]] blocks of a cluster, as the kernel says if not given\n"
    "  --shared BYTES      dynamic shared memory\n"
    "  --args LIST         the parameters, separated by commas: type:count is a buffer with "
    "numbers\n"
    "                      from the seed, @file.npy one from a file, type=value a number;\n"
    "                      types: i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64\n"
    "  --out N=FILE.npy    write buffer N (the first parameter is 0) after the run; may be "
    "repeated\n"
    "  --print N           print buffer N's elements instead of the counters; may be repeated\n"
    "  --chip NAME         the chip, sm_90a if not given\n"
    "  --seed N            of the buffers' numbers\n"
    "  --limit N           thread instructions after which the kernel counts as hanging\n"
    "  --workers N         threads, the machine's cores if not given\n"
    "  --cooperative       blocks may wait for each other: all are under way at once\n"
    "  --unchecked         no race and no uninitialised checks\n"
    "  --uninitialised     buffers type:count hold nothing that was written\n"
    "  --json              counters as JSON\n";

static bool asks_help(const char *word)
{
    return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

static int usage(const char *fmt, const char *word)
{
    fprintf(stderr, "nncsim: ");
    fprintf(stderr, fmt, word);
    fprintf(stderr, "\nnncsim run --help tells the options\n");
    return 2;
}

static bool number(const char *text, uint64_t most, uint64_t *v)
{
    char *end;
    errno = 0;
    *v = strtoull(text, &end, 0);
    return end != text && !*end && !errno && *text != '-' && *v <= most;
}

static bool triple(const char *text, uint32_t v[3])
{
    for (int i = 0; i < 3; i++)
        v[i] = 1;
    for (int i = 0; i < 3; i++) {
        char *end;
        unsigned long long n = strtoull(text, &end, 10);
        if (end == text || *text == '-' || !n || n > 0xFFFFFFFFull)
            return false;
        v[i] = (uint32_t)n;
        if (!*end)
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    return false;
}

static bool out_word(struct options *o, const char *word)
{
    char *end;
    unsigned long n = strtoul(word, &end, 10);
    if (o->outs == MAX_OUTS || end == word || *end != '=' || !end[1] || n >= MAX_ARGS)
        return false;
    o->out[o->outs].arg = (unsigned)n;
    o->out[o->outs++].path = end + 1;
    return true;
}

static bool option(struct options *o, const char *name, const char *value)
{
    uint64_t n;
    if (!strcmp(name, "--entry")) {
        o->entry = value;
        return true;
    }
    if (!strcmp(name, "--args")) {
        o->args = value;
        return true;
    }
    if (!strcmp(name, "--chip")) {
        o->chip = value;
        return true;
    }
    if (!strcmp(name, "--grid"))
        return triple(value, o->launch.grid);
    if (!strcmp(name, "--block"))
        return triple(value, o->launch.block);
    if (!strcmp(name, "--cluster"))
        return triple(value, o->launch.cluster);
    if (!strcmp(name, "--out"))
        return out_word(o, value);
    if (!strcmp(name, "--print") && number(value, MAX_ARGS - 1, &n) && o->prints < MAX_OUTS) {
        o->print[o->prints++] = (unsigned)n;
        return true;
    }
    if (!strcmp(name, "--seed"))
        return number(value, UINT64_MAX, &o->seed);
    if (!strcmp(name, "--limit"))
        return number(value, UINT64_MAX, &o->launch.limit);
    if (!strcmp(name, "--shared") && number(value, 1 << 20, &n)) {
        o->launch.shared = (uint32_t)n;
        return true;
    }
    if (!strcmp(name, "--workers") && number(value, 64, &n)) {
        o->workers = (int)n;
        return true;
    }
    return false;
}

static void print_text(const char *text, size_t bytes) { fwrite(text, 1, bytes, stdout); }

static int parse(struct options *o, int argc, char **argv)
{
    static const char *const known[] = {"--entry",  "--args",    "--chip",  "--grid",
                                        "--block",  "--out",     "--seed",  "--limit",
                                        "--shared", "--workers", "--print", "--cluster"};
    *o = (struct options){.chip = "sm_90a",
                          .launch = {.grid = {1, 1, 1}, .block = {1, 1, 1}, .print = print_text},
                          .seed = 1};
    for (int i = 2; i < argc; i++) {
        const char *w = argv[i];
        bool takes = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            takes = takes || !strcmp(known[k], w);
        if (!strcmp(w, "--json"))
            o->json = true;
        else if (!strcmp(w, "--unchecked"))
            o->launch.unchecked = true;
        else if (!strcmp(w, "--cooperative"))
            o->launch.cooperative = true;
        else if (!strcmp(w, "--uninitialised"))
            o->uninitialised = true;
        else if (takes && i + 1 == argc)
            return usage("%s needs a value", w);
        else if (takes && !option(o, w, argv[++i]))
            return usage("%s is wrong here", argv[i]);
        else if (!takes && *w == '-')
            return usage("unknown option %s", w);
        else if (!takes && o->file)
            return usage("a second file %s", w);
        else if (!takes)
            o->file = w;
    }
    return o->file ? 0 : usage("no PTX file%s", "");
}

static char *read_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t n = 0, cap = 0;
    if (!f)
        return NULL;
    for (;;) {
        if (cap - n < 65536) {
            char *more = realloc(text, cap = cap ? 2 * cap : 1 << 17);
            if (!more)
                break;
            text = more;
        }
        size_t k = fread(text + n, 1, cap - n, f);
        n += k;
        if (!k)
            break;
    }
    fclose(f);
    *bytes = n;
    return text;
}

/* ---- arguments ---- */
struct state {
    struct options o;
    struct sim_device *device;
    struct sim_module *module;
    struct sim_kernel *kernel;
    struct ns_arg arg[MAX_ARGS];
    unsigned args;
    uint8_t params[32768];
};

static int split_args(struct state *s, char *text)
{
    char why[512];
    for (char *w = text; w && *w;) {
        char *next = strchr(w, ',');
        if (next)
            *next++ = 0;
        if (s->args == MAX_ARGS)
            return usage("too many arguments%s", "");
        struct ns_arg *a = &s->arg[s->args++];
        if (!ns_parse_arg(a, w, s->o.seed + s->args, why, sizeof why))
            return usage("%s", why);
        w = next;
    }
    return 0;
}

static int place_args(struct state *s)
{
    const struct sim_kernel_facts *f = sim_kernel_facts(s->kernel);
    if (s->args != f->param_count) {
        fprintf(stderr, "nncsim: %s has %u parameters, --args gives %u\n", f->name, f->param_count,
                s->args);
        return 2;
    }
    for (unsigned i = 0; i < s->args; i++) {
        struct ns_arg *a = &s->arg[i];
        uint32_t have = a->buffer ? 8 : ns_size(a->type);
        if (have != f->param[i].bytes) {
            fprintf(stderr, "nncsim: parameter %u of %s has %u bytes, the argument %u\n", i,
                    f->name, f->param[i].bytes, have);
            return 2;
        }
        const void *from = a->scalar;
        if (a->buffer) {
            uint64_t bytes = a->count * ns_size(a->type);
            if (sim_alloc(s->device, bytes, i, &a->at) ||
                ((a->file || !s->o.uninitialised) && sim_write(s->device, a->at, a->data, bytes))) {
                fprintf(stderr, "nncsim: device memory does not hold parameter %u\n", i);
                return 2;
            }
            from = &a->at;
        }
        memcpy(s->params + f->param[i].offset, from, have);
    }
    s->o.launch.params = s->params;
    return 0;
}

static bool is_buffer(const struct state *s, unsigned n)
{
    if (n < s->args && s->arg[n].buffer)
        return true;
    fprintf(stderr, "nncsim: parameter %u is no buffer\n", n);
    return false;
}

/* Before the run, which may take long: the buffers are there, the files can be written. */
static int check_outs(const struct state *s)
{
    for (int i = 0; i < s->o.prints; i++)
        if (!is_buffer(s, s->o.print[i]))
            return 2;
    for (int i = 0; i < s->o.outs; i++) {
        const char *path = s->o.out[i].path;
        if (!is_buffer(s, s->o.out[i].arg))
            return 2;
        bool there = !access(path, F_OK);
        FILE *f = fopen(path, "ab");
        if (!f) {
            fprintf(stderr, "nncsim: cannot write %s: %s\n", path, strerror(errno));
            return 2;
        }
        fclose(f);
        if (!there)
            remove(path);
    }
    return 0;
}

static int write_outs(struct state *s)
{
    for (int i = 0; i < s->o.outs; i++) {
        struct ns_arg *a = &s->arg[s->o.out[i].arg];
        sim_read(s->device, a->data, a->at, a->count * ns_size(a->type));
        if (!ns_write_npy(a, s->o.out[i].path)) {
            fprintf(stderr, "nncsim: cannot write %s\n", s->o.out[i].path);
            return 2;
        }
    }
    return 0;
}

static void print_buffers(struct state *s)
{
    for (int i = 0; i < s->o.prints; i++) {
        struct ns_arg *a = &s->arg[s->o.print[i]];
        sim_read(s->device, a->data, a->at, a->count * ns_size(a->type));
        printf("%u:", s->o.print[i]);
        for (uint64_t k = 0; k < a->count; k++)
            ns_print(a, k);
        printf("\n");
    }
}

/* ---- results ---- */
static void print_counters(const struct sim_counters *c, bool json)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"instructions", c->instructions},
        {"warp_instructions", c->warp_instructions},
        {"alu", c->alu},
        {"fma", c->fma},
        {"special", c->special},
        {"control", c->control},
        {"memory", c->memory},
        {"mma", c->mma},
        {"global_load_bytes", c->global_load_bytes},
        {"global_store_bytes", c->global_store_bytes},
        {"global_load_sectors", c->global_load_sectors},
        {"global_store_sectors", c->global_store_sectors},
        {"unique_load_bytes", c->unique_load_bytes},
        {"unique_store_bytes", c->unique_store_bytes},
        {"shared_accesses", c->shared_accesses},
        {"shared_conflicts", c->shared_conflicts},
        {"atomics", c->atomics},
        {"barriers", c->barriers},
        {"shuffles", c->shuffles},
        {"async_copies", c->async_copies},
        {"divergent_branches", c->divergent_branches},
    };
    if (json)
        printf("{\"seconds\": %.6f", c->seconds);
    else
        printf("%-21s %.6f\n", "seconds", c->seconds);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf(json ? ", \"%s\": %llu" : "%-21s %llu\n", rows[i].name,
               (unsigned long long)rows[i].value);
    if (json)
        printf("}\n");
}

static int run(struct state *s)
{
    struct sim_counters c = {0};
    struct sim_fault fault = {0};
    s->o.launch.shared_allowed = sim_device_chip(s->device)->shared_optin;
    enum sim_status st = sim_run(s->device, s->kernel, &s->o.launch, &c, &fault);
    if (st == SIM_FAULT) {
        fprintf(stderr, "nncsim: %s\n", fault.text);
        return 1;
    }
    if (st) {
        if (st == SIM_BAD_LAUNCH)
            fprintf(stderr, "nncsim: the sizes of the launch are not possible: %s\n", fault.text);
        else
            fprintf(stderr, "nncsim: out of memory\n");
        return 2;
    }
    if (!s->o.prints || s->o.json)
        print_counters(&c, s->o.json);
    print_buffers(s);
    return write_outs(s);
}

static int load(struct state *s)
{
    size_t bytes;
    const struct sim_chip *chip = sim_chip_find(s->o.chip);
    if (!chip)
        return usage("unknown chip %s; nncsim chips lists them", s->o.chip);
    char *text = read_file(s->o.file, &bytes), *log = malloc(LOG_BYTES);
    if (!text || !log || !(s->device = sim_device_new(chip, 0, s->o.workers))) {
        fprintf(stderr, "nncsim: cannot read %s\n", s->o.file);
        free(text);
        free(log);
        return 2;
    }
    enum sim_status st = sim_module_load(s->device, text, bytes, &s->module, log, LOG_BYTES);
    if (st)
        fprintf(stderr, "nncsim: %s is not loaded\n%s", s->o.file, log);
    free(text);
    free(log);
    if (st)
        return 1;
    if (!s->o.entry && sim_module_kernels(s->module) == 1)
        s->kernel = sim_module_kernel_at(s->module, 0);
    else if (!s->o.entry || sim_module_kernel(s->module, s->o.entry, &s->kernel))
        return usage(s->o.entry ? "no kernel %s in the file"
                                : "--entry is needed: there is not just one kernel%s",
                     s->o.entry ? s->o.entry : "");
    const struct sim_kernel_facts *f = sim_kernel_facts(s->kernel);
    if (f->refused)
        fprintf(stderr, "nncsim: kernel %s is not run: %s\n", f->name, f->refused);
    return f->refused ? 1 : 0;
}

static int chips(void)
{
    for (size_t i = 0; i < sim_chip_count; i++) {
        const struct sim_chip *c = &sim_chips[i];
        printf("%-8s %4u SMs, %3llu GB, %6u bytes of shared memory a block\n", c->name, c->sms,
               (unsigned long long)(c->memory >> 30), c->shared_optin);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "chips"))
        return chips();
    if (argc >= 2 && (asks_help(argv[1]) || (argc >= 3 && asks_help(argv[2])))) {
        fputs(usage_text, stdout);
        return 0;
    }
    if (argc < 2 || strcmp(argv[1], "run"))
        return usage("the command is run%s", "");
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return 2;
    int r = parse(&s->o, argc, argv);
    char *words = !r && s->o.args ? strdup(s->o.args) : NULL;
    if (!r && words)
        r = split_args(s, words);
    if (!r)
        r = load(s);
    if (!r)
        r = place_args(s);
    if (!r)
        r = check_outs(s);
    if (!r)
        r = run(s);
    for (unsigned i = 0; i < s->args; i++)
        free(s->arg[i].data);
    sim_module_unload(s->module);
    sim_device_free(s->device);
    free(words);
    free(s);
    return r;
}
