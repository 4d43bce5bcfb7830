/* loop: the text form is read back as printed, mistakes are located, no mutation of a text crashes.
 */
#include "loop/loop.h"
#include "test.h"

static const char *const everything =
    "kernel all.kinds(x f32[4096], y f32[4096], id i32[64], h f16[64], flag bool[64])\n"
    "scratch pack f32[256]\n"
    "local row f32[64]\n"
    "reg acc f32x16[4]\n"
    "reg best i64[1]\n"
    "work flops 1e+06 bytes 32768\n"
    "phase 4 %c {\n"
    "  %1 = const -0.5 : f32x16\n"
    "  %2 = const inf : f32x16\n"
    "  %3 = const 0.1 : f32\n"
    "  %4 = const -3 : i64\n"
    "  %5 = load flag[%c] : bool\n"
    "  for %i = %c*8 .. %c*8 + 8 step 2 @3 {\n"
    "    %6 = lanes %i*64 - 1 : i64x16\n"
    "    %7 = const 100 : i64x16\n"
    "    %8 = lt %6 %7 : boolx16\n"
    "    for %j = -%c + %i .. 64 unroll {\n"
    "      %9 = load x[%i*64 + %j] mask %8 else %1 : f32x16\n"
    "      %10 = exp %9 : f32x16\n"
    "      %11 = fma %10 %9 %1 : f32x16\n"
    "      set acc[-%i + %j] %11\n"
    "      if %5 {\n"
    "        store row[1] %3\n"
    "      } else {\n"
    "        trap %8 code 4 value %6 @9\n"
    "      }\n"
    "    }\n"
    "    %12 = get acc[3] : f32x16\n"
    "    %13 = across max %12 : f32\n"
    "    %14 = splat %13 : f32x16\n"
    "    %15 = load id[0] : i32x16\n"
    "    %16 = gather y[%i - 2, %15] mask %8 : f32x16\n"
    "    scatter y[%i, %15] %16 mask %8\n"
    "    store row[0] %14\n"
    "    %17 = random %4 %i stream 18446744073709551615 word 1 at %6 : f32x16\n"
    "    %18 = bitcast %17 : i32x16\n"
    "    %19 = xor %18 %15 : i32x16\n"
    "    %20 = cast %17 : f16x16\n"
    "    store h[16] %20 mask %8\n"
    "    %21 = extract %19[15] : i32\n"
    "    %22 = cast %21 : i64\n"
    "    %23 = select %8 %12 %2 : f32x16\n"
    "    store y[%i*2 - %22 + 9223372036854775807] %23\n"
    "  }\n"
    "}\n"
    "phase 0 %c {\n"
    "  %24 = lin %c*3 + 1 : i64\n"
    "}\n";

static const char *const gpu = "kernel of.a.gpu(x f32[4096], h bf16[4096], y f32[4096])\n"
                               "shared s bf16[512]\n"
                               "shared w f32[256]\n"
                               "reg acc f32x4[1]\n"
                               "phase 4 %c threads 64 %t {\n"
                               "  copy s[%t*8] h[%c*512 + %t*8] bytes 16\n"
                               "  commit\n"
                               "  %1 = lt %t %c : bool\n"
                               "  copy w[%t] x[%c + %t] bytes 4 mask %1\n"
                               "  commit\n"
                               "  wait 1\n"
                               "  barrier\n"
                               "  %2 = ldmatrix s[%t*8] : i32x4\n"
                               "  %3 = ldmatrix trans s[%t*8] : i32x2\n"
                               "  %4 = const 0 : f32x4\n"
                               "  %5 = mma m16n8k16.bf16 %2 %3 %4 : f32x4\n"
                               "  %6 = mma m16n8k8.tf32 %2 %3 %5 : f32x4\n"
                               "  %7 = extract %3[1] : i32\n"
                               "  %8 = mma m16n8k8.f16 %3 %7 %6 : f32x4\n"
                               "  for %i = 0 .. 4 unroll {\n"
                               "    set acc[0] %8\n"
                               "    barrier\n"
                               "  }\n"
                               "  wait 0\n"
                               "  %9 = extract %8[0] : f32\n"
                               "  %10 = shuffle xor %9 16 : f32\n"
                               "  %11 = cast %c : i32\n"
                               "  %12 = shuffle idx %t %11 : i64\n"
                               "  %13 = pack bf16 %9 %10 : i32\n"
                               "  %14 = unpack f16 %13 half 1 : f32\n"
                               "  %15 = approx ex2 %8 : f32x4\n"
                               "  %16 = tf32 %14 : i32\n"
                               "  store y[%c*64 + %t] %14\n"
                               "}\n";

static struct lo_kernel *read(const char *text, size_t n, char **message)
{
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k.loop", text, n));
    size_t size = 0;
    FILE *out = open_memstream(message, &size);
    test((k == NULL) == (diag_errors(d) > 0));
    diag_print(d, out);
    fclose(out);
    diag_free(d);
    return k;
}

static void round_trip(const char *text)
{
    char *m = NULL;
    struct text t = {0};
    struct lo_kernel *k = read(text, strlen(text), &m);
    test_text(m, "");
    if (k)
        lo_print(k, &t);
    test_text(t.p, text);
    free(m);
    text_free(&t);
    lo_kernel_free(k);
}

/* `text` stands in a phase of a kernel with x f32[8], y f32[8], reg r f32[1]. */
static void refused(const char *text, const char *wanted)
{
    struct text t = {0};
    char *m = NULL;
    text_printf(&t, "kernel k(x f32[8], y f32[8])\nreg r f32[1]\nphase 1 %%c {\n%s\n}\n", text);
    lo_kernel_free(read(t.p, t.n, &m));
    test_text(m, wanted);
    free(m);
    text_free(&t);
}

static void mistakes(void)
{
    refused("%1 = load z[0] : f32", "k.loop:4:11: error: no buffer is called z\n"
                                    "    4 | %1 = load z[0] : f32\n      |           ^\n");
    refused("%1 = add %c %2 : i64", "k.loop:4:13: error: %2 is not defined here\n"
                                    "    4 | %1 = add %c %2 : i64\n      |             ^~\n");
    refused("%1 = add %c : i64", "k.loop:4:1: error: operand 2 is missing\n"
                                 "    4 | %1 = add %c : i64\n      | ^~~~~~~~~~~~~~~~~\n");
    refused("%1 = load x[0] : f32x3",
            "k.loop:4:18: error: `f32x3` where a type is expected\n"
            "    4 | %1 = load x[0] : f32x3\n      |                  ^~~~~\n");
    refused("%1 = load x[1] : f32x8", "k.loop:4:1: error: x has 8 elements\n"
                                      "    4 | %1 = load x[1] : f32x8\n"
                                      "      | ^~~~~~~~~~~~~~~~~~~~~~\n");
    refused("%1 = const 300 : u8", "k.loop:4:12: error: the number must be in 0 to 255\n"
                                   "    4 | %1 = const 300 : u8\n      |            ^~~\n");
    refused("%1 = const 1 : i32\n%1 = const 2 : i32",
            "k.loop:5:1: error: %1 is defined already\n    5 | %1 = const 2 : i32\n      | ^~\n");
    refused("for %i = 0 .. 4 {\n%1 = const 1 : i32\n}\n%2 = neg %1 : i32",
            "k.loop:7:10: error: %1 is not defined here\n"
            "    7 | %2 = neg %1 : i32\n      |          ^~\n");
    refused("%1 = const 1 : f32\n%2 = load x[%1] : f32",
            "k.loop:5:13: error: an index must be an i64 scalar\n"
            "    5 | %2 = load x[%1] : f32\n      |             ^~\n");
    refused("store r[0] %c", "k.loop:4:1: error: r is a register\n"
                             "    4 | store r[0] %c\n      | ^~~~~~~~~~~~~\n");
    refused("for %i = 0 .. 4 step 0 {", "k.loop:4:22: error: the number must be in 1 to "
                                        "9223372036854775807\n"
                                        "    4 | for %i = 0 .. 4 step 0 {\n"
                                        "      |                      ^\n");
}

/* `body` of a kernel of two warps is refused with a message that holds `wanted`. */
static void gpu_refused(const char *phase, const char *body, const char *wanted)
{
    struct text t = {0};
    char *m = NULL;
    text_printf(&t, "kernel k(x f32[64], y f32[64])\nshared s f32[64]\nreg r i64[1]\n%s {\n%s\n}\n",
                phase, body);
    test(!read(t.p, t.n, &m));
    test(strstr(m, wanted));
    free(m);
    text_free(&t);
}

static void gpu_mistakes(void)
{
    const char *two = "phase 1 %c threads 64 %t", *apart = "the block's threads do not agree";
    gpu_refused("phase 1 %c", "%1 = load x[0] : f32", "shared memory of a kernel without threads");
    gpu_refused("phase 1 %c threads 48 %t", "", "32, 64, … 1024 threads");
    gpu_refused(two, "}\nphase 1 %c {", "phases with threads and phases without");
    gpu_refused(two, "%1 = const 3 : i64\n%2 = lt %t %1 : bool\nif %2 {\nbarrier\n}", apart);
    gpu_refused(two, "for %i = 0 .. %t {\nbarrier\n}", apart);
    gpu_refused(two, "set r[0] %t\n%1 = get r[0] : i64\nfor %i = 0 .. %1 {\nbarrier\n}", apart);
    gpu_refused(two,
                "%1 = const 8 : i64\n%2 = lt %t %1 : bool\nset r[0] %c\nif %2 {\nset r[0] %1\n}\n"
                "%3 = get r[0] : i64\nfor %i = 0 .. %3 {\nbarrier\n}",
                apart);
    gpu_refused(two, "%1 = shuffle xor %t 32 : i64", "the number must be in 1 to 31");
    gpu_refused(two, "%1 = ldmatrix x[0] : i32x4", "the buffer must be shared memory");
    gpu_refused(two, "%1 = ldmatrix trans s[0] : i32x4", "not transposed, f32");
    gpu_refused(two, "copy s[0] s[0] bytes 16", "a copy reads an argument");
    gpu_refused(two, "copy s[0] x[0] bytes 12", "4, 8 or 16 bytes");
}

/* Every prefix, and single bytes replaced, removed, doubled: an error or a kernel that prints. */
static void mutations(const char *text)
{
    size_t n = strlen(text);
    uint64_t seed = 1;
    uint32_t sound = 0;
    static const char bytes[] = "%0x.[]{}=:-+*@, \n1agf\xff";
    for (int i = 0; i < 4000; i++) {
        char *s = xmalloc(n + 2);
        memcpy(s, text, n + 1);
        size_t len = n;
        for (int edits = 1 + i % 3; edits; edits--) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(seed >> 33) % len;
            if (i % 5 == 0)
                len = at + 1;
            else if (i % 5 == 1 && len > 1)
                memmove(s + at, s + at + 1, len-- - at - 1);
            else
                s[at] = bytes[(seed >> 20) % (sizeof bytes - 1)];
        }
        char *m = NULL;
        struct lo_kernel *k = read(s, len, &m);
        if (k) {
            struct text t = {0};
            char *wrong = lo_verify(k);
            test(!wrong);
            lo_print(k, &t);
            round_trip(t.p);
            text_free(&t);
            sound++;
        }
        lo_kernel_free(k);
        free(m);
        free(s);
    }
    test(sound > 100);
}

static void deep(void)
{
    struct text t = {0};
    char *m = NULL;
    text_printf(&t, "kernel k()\nphase 1 %%c {\n");
    for (int i = 0; i < 5000; i++)
        text_printf(&t, "for %%x%d = 0 .. 1 {\n", i);
    test(!read(t.p, t.n, &m));
    test(strstr(m, "blocks nest more than 60 deep"));
    free(m);
    text_free(&t);
}

int main(void)
{
    round_trip("kernel none()\n");
    round_trip(everything);
    round_trip(gpu);
    mistakes();
    gpu_mistakes();
    mutations(everything);
    mutations(gpu);
    deep();
    return test_done();
}
