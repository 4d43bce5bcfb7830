/* The functions of a library, in the header's order. Each is a name for a call of the runtime's
 * public functions (nnrt.h) with the model, the caller's arguments, and lists of pointers made from
 * them. */
#include "exec/exec.h"
#include "pack/pack.h"

#include <ctype.h>

struct api {
    const struct pack_model *m;
    struct arena *mem;
    pack_functions *out;
};

/* ---- names ---- */

/* Names that an argument or a member cannot have, each between spaces: keywords of C and C++ and
 * our own; what prototypes name as a type; what compilers and the headers of C define as macros. */
static const char reserved[] =
    " auto bool break case char class const continue default delete do double else enum "
    "export extern false float for friend goto if inline int long mutable namespace new "
    "operator private public register restrict return short signed sizeof static struct "
    "switch template this throw true try typedef typename union unsigned using virtual void "
    "volatile while and or not xor ctx count asm catch explicit "
    "alignas alignof and_eq bitand bitor char16_t char32_t char8_t co_await co_return "
    "co_yield compl concept const_cast consteval constexpr constinit decltype dynamic_cast "
    "noexcept not_eq nullptr or_eq protected reinterpret_cast requires static_assert "
    "static_cast thread_local typeid typeof typeof_unqual wchar_t xor_eq "
    "int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t size_t linux unix "
    "i386 NULL EOF BUFSIZ FILENAME_MAX FOPEN_MAX L_tmpnam SEEK_CUR SEEK_END SEEK_SET TMP_MAX "
    "stdin stdout stderr errno EDOM EILSEQ ERANGE EXIT_FAILURE EXIT_SUCCESS RAND_MAX "
    "MB_CUR_MAX MB_LEN_MAX INFINITY NAN HUGE_VAL HUGE_VALF HUGE_VALL MATH_ERRNO "
    "MATH_ERREXCEPT math_errhandling FP_INFINITE FP_NAN FP_NORMAL FP_SUBNORMAL FP_ZERO "
    "FP_ILOGB0 FP_ILOGBNAN DOMAIN SING OVERFLOW UNDERFLOW PLOSS TLOSS MAXFLOAT M_E M_LOG2E "
    "M_LOG10E M_LN2 M_LN10 M_PI M_PI_2 M_PI_4 M_1_PI M_2_PI M_2_SQRTPI M_SQRT2 M_SQRT1_2 "
    "CHAR_BIT CHAR_MAX CHAR_MIN SCHAR_MAX SCHAR_MIN UCHAR_MAX SHRT_MAX SHRT_MIN USHRT_MAX "
    "INT_MAX INT_MIN UINT_MAX LONG_MAX LONG_MIN ULONG_MAX LLONG_MAX LLONG_MIN ULLONG_MAX "
    "SIZE_MAX PTRDIFF_MAX PTRDIFF_MIN INTMAX_MAX INTPTR_MAX UINTPTR_MAX WCHAR_MAX "
    "CLOCKS_PER_SEC TIME_UTC LC_ALL LC_COLLATE LC_CTYPE LC_MONETARY LC_NUMERIC LC_TIME "
    "SIG_DFL SIG_ERR SIG_IGN SIGABRT SIGFPE SIGILL SIGINT SIGSEGV SIGTERM I complex "
    "imaginary noreturn FLT_EPSILON FLT_MAX FLT_MIN FLT_DIG FLT_RADIX FLT_ROUNDS DBL_EPSILON "
    "DBL_MAX DBL_MIN DBL_DIG DECIMAL_DIG ";

const char *pack_identifier(struct arena *mem, const char *name)
{
    char *s = arena_printf(mem, "%s%s", isdigit((unsigned char)*name) ? "_" : "", name);
    for (char *c = s; *c; c++)
        *c = isalnum((unsigned char)*c) ? *c : '_';
    return strstr(reserved, arena_printf(mem, " %s ", s)) ? arena_printf(mem, "%s_", s) : s;
}

const char *pack_ctype(enum nn_dtype t)
{
    static const char *const name[] = {
#define X(n, ctype, bytes) #ctype,
        NN_DTYPES(X)
#undef X
    };
    return name[t];
}

const struct nn_graph_rec *pack_graph(const struct nn_image *i, const char *name)
{
    for (uint32_t g = 0; g < i->graph_count; g++)
        if (!strcmp(nn_image_text(i, nn_image_graphs(i)[g].name), name))
            return &nn_image_graphs(i)[g];
    return NULL;
}

bool pack_is_loss(const char *output) { return !strncmp(output, "loss", 4); }

/* ---- building one function ---- */

static struct pack_function *add(struct api *a, const char *suffix, const char *callee,
                                 const char *doc)
{
    struct pack_function f = {.suffix = suffix,
                              .doc = doc,
                              .callee = callee,
                              .result = "enum nn_status",
                              .letter = 'i',
                              .letters = "",
                              .params = ""};
    vec_push(a->out, f);
    return &vec_last(a->out);
}

static void argument(struct pack_function *f, struct back_arg arg)
{
    CHECK(f->args < COUNT(f->arg), "pack: %s has too many arguments", f->suffix);
    f->arg[f->args++] = arg;
}

static void declare(struct api *a, struct pack_function *f, char letter, const char *text)
{
    f->params = arena_printf(a->mem, "%s%s%s", f->params, *f->params ? ", " : "", text);
    f->letters = arena_printf(a->mem, "%s%c", f->letters, letter);
}

/* A parameter that is passed on. */
static void pass(struct api *a, struct pack_function *f, char letter, const char *text)
{
    argument(f, (struct back_arg){.kind = BACK_PARAM, .at = (int64_t)strlen(f->letters)});
    declare(a, f, letter, text);
}

static void context(struct api *a, struct pack_function *f, const char *qualifier)
{
    pass(a, f, 'p', arena_printf(a->mem, "%sstruct %s *ctx", qualifier, a->m->prefix));
}

static void pack_begin(struct pack_function *f)
{
    argument(f, (struct back_arg){.kind = BACK_PACK, .at = (int64_t)strlen(f->letters)});
}

static void packed(struct api *a, struct pack_function *f, char letter, const char *text)
{
    f->arg[f->args - 1].n++;
    declare(a, f, letter, text);
}

static void pack_values(struct api *a, struct pack_function *f, const struct nn_image *i,
                        uint32_t at, uint32_t n, const char *qualifier)
{
    const struct nn_value_rec *v = nn_image_at(i, at);
    pack_begin(f);
    for (uint32_t k = 0; k < n; k++)
        packed(a, f, 'p',
               arena_printf(a->mem, "%s%s *%s", qualifier, pack_ctype((enum nn_dtype)v[k].dtype),
                            pack_identifier(a->mem, nn_image_text(i, v[k].name))));
}

/* ---- the functions ---- */

static void opening(struct api *a)
{
    struct pack_function *f =
        add(a, "open", "nn_context_open",
            "Opens a context; `options` NULL: the defaults. On failure *ctx is NULL.");
    argument(f, (struct back_arg){.kind = BACK_SYMBOL});
    pass(a, f, 'p', "const struct nn_options *options");
    pass(a, f, 'p', arena_printf(a->mem, "struct %s **ctx", a->m->prefix));
    f = add(a, "close", "nn_context_close", "NULL is fine.");
    f->result = "void";
    f->letter = 'v';
    context(a, f, "");
    f = add(
        a, "error", "nn_context_error",
        "The text of the context's last failure; for NULL, of this thread's last failed opening,\n"
        "or call without a context.");
    f->result = "const char *";
    f->letter = 'p';
    context(a, f, "const ");
    f = add(a, "device", "nn_context_device", "The level that was chosen: x86-64-v3.");
    f->result = "const char *";
    f->letter = 'p';
    context(a, f, "const ");
}

static void training(struct api *a, const struct nn_image *i)
{
    const struct nn_graph_rec *step = pack_graph(i, "step"), *eval = pack_graph(i, "eval");
    if (!step)
        return;
    struct pack_function *f = add(a, "init", "nn_context_init",
                                  "New first values, drawn from `seed`; opening did it with the "
                                  "model file's.");
    context(a, f, "");
    pass(a, f, 'l', "int64_t seed");

    f = add(a, "train_step", "nn_context_step",
            "One step on one batch. Where the place of a loss is NULL nothing waits for it.");
    context(a, f, "");
    pack_values(a, f, i, step->inputs_at, step->input_count, "const ");
    pack_begin(f);
    const struct nn_value_rec *v = nn_image_at(i, step->outputs_at);
    for (uint32_t k = 0; k < step->output_count; k++)
        if (pack_is_loss(nn_image_text(i, v[k].name)))
            packed(a, f, 'p',
                   arena_printf(a->mem, "float *%s",
                                pack_identifier(a->mem, nn_image_text(i, v[k].name))));
    if (!eval || !pack_graph(i, "metrics"))
        return;
    f = add(a, "evaluate", "nn_context_evaluate",
            "Adds `count` samples, any number, to the metrics' sums.");
    context(a, f, "");
    pass(a, f, 'l', "int64_t count");
    pack_values(a, f, i, eval->inputs_at, eval->input_count, "const ");
    f = add(a, "metrics", "nn_context_metrics",
            "The means over all samples since the last call; sets the sums back.");
    context(a, f, "");
    pass(a, f, 'p', arena_printf(a->mem, "struct %s_measured *metrics", a->m->prefix));
}

/* A size's parameter; an input or output may have its name. */
static const char *size_name(struct api *a, const struct nn_image *i, const struct nn_graph_rec *g,
                             const struct nn_size_rec *z)
{
    const char *name = pack_identifier(a->mem, nn_image_text(i, z->name));
    for (uint32_t k = 0; k < g->input_count + g->output_count; k++) {
        const struct nn_value_rec *v =
            k < g->input_count
                ? (const struct nn_value_rec *)nn_image_at(i, g->inputs_at) + k
                : (const struct nn_value_rec *)nn_image_at(i, g->outputs_at) + k - g->input_count;
        if (!strcmp(name, pack_identifier(a->mem, nn_image_text(i, v->name))))
            return arena_printf(a->mem, "%s_size", name);
    }
    return name;
}

static void inference(struct api *a, const struct nn_image *i)
{
    const struct nn_graph_rec *g = pack_graph(i, "forward");
    if (!g)
        return;
    const struct nn_size_rec *z = nn_image_at(i, g->sizes_at);
    struct pack_function *f =
        add(a, "forward", "nn_context_forward",
            !g->size_count ? "Inference. An output may be NULL."
                           : "Inference on arrays of these sizes, each up to the bound above. An "
                             "output may be NULL.");
    context(a, f, "");
    pack_begin(f);
    for (uint32_t k = 0; k < g->size_count; k++)
        packed(a, f, 'l', arena_printf(a->mem, "int64_t %s", size_name(a, i, g, &z[k])));
    pack_values(a, f, i, g->inputs_at, g->input_count, "const ");
    pack_values(a, f, i, g->outputs_at, g->output_count, "");
}

static void file_function(struct api *a, const char *suffix, const char *callee, const char *doc)
{
    struct pack_function *f = add(a, suffix, callee, doc);
    context(a, f, "");
    pass(a, f, 'p', "const char *path");
}

static void parameters(struct api *a, bool trains)
{
    file_function(a, "save", "nn_context_save",
                  "Parameters and states as a safetensors file; it is replaced as a whole.");
    file_function(a, "load", "nn_context_load", "Nothing changes unless all of it fits.");
    if (trains) {
        file_function(a, "save_state", "nn_context_save_state",
                      "All that training needs to go on: optimiser and step too.");
        file_function(a, "load_state", "nn_context_load_state", "");
    }
    struct pack_function *f =
        add(a, "param", "nn_context_param",
            "A parameter or state by name: its memory in the context, to read and write.");
    context(a, f, "");
    pass(a, f, 'p', "const char *name");
    pass(a, f, 'p', "struct nn_dltensor *view");
    f = add(
        a, "param_dlpack", "nn_context_param_dlpack",
        "The same as DLPack's DLManagedTensor, which keeps the memory alive; NULL: no such name.");
    f->result = "struct nn_dlmanaged *";
    f->letter = 'p';
    context(a, f, "");
    pass(a, f, 'p', "const char *name");
    f = add(a, "param_name", "nn_context_param_name", "Number i's name; NULL beyond the last.");
    f->result = "const char *";
    f->letter = 'p';
    context(a, f, "const ");
    pass(a, f, 'i', "uint32_t i");
}

void pack_api(const struct pack_model *m, struct arena *mem, pack_functions *out)
{
    struct api a = {m, mem, out};
    const struct nn_image *i = m->level[0].image;
    opening(&a);
    training(&a, i);
    inference(&a, i);
    parameters(&a, pack_graph(i, "step") != NULL);
    if (m->probe)
        context(
            &a,
            add(&a, "selftest", "nn_context_selftest",
                "Runs made-up weights and inputs and compares with what the compiler's machine "
                "found.\nTakes as much memory as the context, for its duration; the context stays "
                "as it is."),
            "");
}
