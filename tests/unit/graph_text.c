/* The graph's text form: what is printed reads back the same; any bytes give messages, not crashes.
 */
#include "ir/ir.h"
#include "test.h"

static const char sample[] =
    "module mlp\n"
    "slot fc1.weight f32[512, 784] param\n"
    "slot \"fc1 m\" f32[512, 784] opt of fc1.weight\n"
    "slot seen i64 acc identity -1\n"
    "slot count.part i32 acc\n"
    "slot dim.n i64 size 2 to 65\n"
    "slot \"dim.n - 3\" i64 size -1 to 62 = dim.n + -3\n"
    "slot \"dim.9//n\" i64 size 0 to 4 = 9 // dim.n\n"
    "slot \"dim.n*(n - 3)\" i64 size 0 to 4030 = dim.n * \"dim.n - 3\"\n"
    "graph step {\n"
    "  %1 = input image : u8[n 128, h 28, w 28]\n"
    "  %2 = slot fc1.weight : f32[j 512, k 784]  # fc1.weight:fwd\n"
    "  %3 = cast %1[n, k//28, k%28] : f32[n 128, k 784] inline\n"
    "  %4 = mul %3[i, k] %2[j, k] : f32[i 128, j 512, k 784] inline checkpoint 2\n"
    "  %5 = reduce sum(k 784) %4[i, j, k] : f32[i 128, j 512]  # fc1.matmul:fwd\n"
    "  %6 = copy %5[2*i + r - 1, (j + 3)/2 where i - 4*(j//8) in 7, j/3 in 2 else -inf] : "
    "f32[i 64, j 512, r 3]\n"
    "  %7 = input ids : i32[b 4, t 8]\n"
    "  %8 = copy %2[@1, d] strict %7[b, t] : f32[b 4, t 8, d 784]\n"
    "  %9 = scatter [@1, d] %8[b, t, d] %7[b, t] over (b 4, t 8, d 784) : f32[v 512, d 784]\n"
    "  %10 = const 0.5 : f32\n"
    "  %11 = iota 1 : i32[i 4, j 8]\n"
    "  %12 = reshape %5 : f32[n 65536]\n"
    "  %13 = const 7 : i64\n"
    "  %14 = random stream 18446744073709551615 word 1 %13 %13 : f32[n 128]\n"
    "  %15 = cumsum 1 reverse %11[i, j] : i32[i 4, j 8]\n"
    "  %16 = lt %11[i, j] %15[i, j] : bool[i 4, j 8]\n"
    "  %17 = select %16[i, j] %11[i, j] %15[3 - i, 2*(j%4)] : i32[i 4, j 8]\n"
    "  %18 = stop %12[n] : f32[n 65536]\n"
    "  %19 = hole : f32[n 65536]\n"
    "  %20 = custom %12 %18 %19 %19 : f32[n 65536]\n"
    "  %21 = reduce max(n 65536) %20[n else nan] : f32\n"
    "  %22 = grad %21 %2 : f32[j 512, k 784]\n"
    "  %23 = const true : bool[i 2]\n"
    "  %24 = reduce argmin(j 8) %17[i, j] : i32[i 4]\n"
    "  %25 = slot seen : i64\n"
    "  %26 = copy %21[] : f32[d0 2, d1 3] checkpoint 2 again  # b:fwd\n"
    "  %27 = slot dim.n : i64\n"
    "  %28 = input x : f32[n 65 live dim.n, d1 131 live dim.n*2+1, d2 64 live dim.n-1//2*3-4]\n"
    "  %29 = reduce sum(d1 131 live dim.n*2+1, d2 64) %28[n, d1, d2 where -d1 + 2*@1 in 131] %27[] "
    ": f32[n 65 live dim.n]\n"
    "  output loss %21\n"
    "  output \"a \\\"b\\\"\" %22\n"
    "  update fc1.weight <- %22\n"
    "}\n"
    "graph count.part {\n"
    "  %1 = input y : i64[n 2]\n"
    "  %2 = input y whole : i64[n 8]\n"
    "  %3 = slot seen : i64\n"
    "  update seen <- %3\n"
    "}\n"
    "graph count parts 4 of count.part {\n"
    "  %1 = slot seen : i64\n"
    "  output n %1\n"
    "}\n"
    "graph forward {\n"
    "  output none_yet %1\n"
    "}\n";

static struct ir_module *parse(const char *text, size_t n, char **messages)
{
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, "t.graph", text, n));
    size_t size = 0;
    char *p = NULL;
    FILE *f = open_memstream(&p, &size);
    diag_print(d, f);
    fclose(f);
    if (messages)
        *messages = p;
    else
        free(p);
    if (m)
        m->diag = NULL;
    diag_free(d);
    return m;
}

static void round_trip(void)
{
    char *messages;
    char *text = strstr(sample, "graph forward");
    size_t n = (size_t)(text - sample);
    struct ir_module *m = parse(sample, n, &messages);
    test_text(messages, "");
    free(messages);
    if (!m)
        return;
    struct text out = {0};
    ir_print(m, &out);
    char *want = xcalloc(n + 1, 1);
    memcpy(want, sample, n);
    test_text(out.p, want);
    free(want);
    text_free(&out);
    ir_module_free(m);
}

/* Names that cannot be printed as they are; labels as words; operands without brackets. */
static void lenient(void)
{
    static const char text[] = "graph g {\n"
                               "%x = input x : f32[where 2, n 3, n 3]\n"
                               "%y = input y : f32[1, n 3]\n"
                               "%z = add %x %y : f32[2, 3, 3]   # a plain comment\n"
                               "output z %z\n}\n";
    char *messages;
    struct ir_module *m = parse(text, sizeof text - 1, &messages);
    test_text(messages, "");
    free(messages);
    struct text out = {0};
    ir_print(m, &out);
    test_text(out.p, "module module\n"
                     "graph g {\n"
                     "  %1 = input x : f32[d0 2, n 3, d2 3]\n"
                     "  %2 = input y : f32[d0 1, n 3]\n"
                     "  %3 = add %1[d0, d1, d2] %2[0, d2] : f32[d0 2, d1 3, d2 3]\n"
                     "  output z %3\n"
                     "}\n");
    text_free(&out);
    ir_module_free(m);
}

static void messages(void)
{
    static const char text[] = "graph g {\n"
                               "%x = input x : f32[i 2]\n"
                               "%a = mull %x[i] %x[i] : f32[i 2]\n"
                               "%b = add %a[i] %x[i] : f32[i 2]\n"
                               "%c = add %x[i] %x[k] : f32[i 2]\n"
                               "%d = add %x[i] %y[i] : f32[i 2]\n"
                               "%e = add %x[i, 0] %x[i] : f32[i 2]\n"
                               "%f = add %x[i] %x[i] : i32[i 2]\n"
                               "%g = copy %x[2*i + 1/2] : f32[i 2]\n"
                               "%x = input x : f32[i 2]\n"
                               "%h = copy %x[(((i] : f32[i 2]\n"
                               "output o %b\n";
    char *out;
    test(!parse(text, sizeof text - 1, &out));
    test_text(out,
              "t.graph:3:6: error: `mull` is no operator\n"
              "    3 | %a = mull %x[i] %x[i] : f32[i 2]\n"
              "      |      ^~~~\n"
              "t.graph:5:19: error: no axis `k` in the node's domain\n"
              "    5 | %c = add %x[i] %x[k] : f32[i 2]\n"
              "      |                   ^\n"
              "t.graph:6:16: error: %y is not defined before this line\n"
              "    6 | %d = add %x[i] %y[i] : f32[i 2]\n"
              "      |                ^~\n"
              "t.graph:7:12: error: more indices than the 1 axes of what is read\n"
              "    7 | %e = add %x[i, 0] %x[i] : f32[i 2]\n"
              "      |            ^~~\n"
              "t.graph:8:1: error: %f = add: operand 0 is f32, not i32\n"
              "    8 | %f = add %x[i] %x[i] : i32[i 2]\n"
              "      | ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
              "t.graph:9:14: error: an exact division `/` takes a whole coordinate: write (…)/2\n"
              "    9 | %g = copy %x[2*i + 1/2] : f32[i 2]\n"
              "      |              ^~~~~~~~\n"
              "t.graph:10:1: error: %x is defined twice\n"
              "   10 | %x = input x : f32[i 2]\n"
              "      | ^~\n"
              "t.graph:11:18: error: expected `)`\n"
              "   11 | %h = copy %x[(((i] : f32[i 2]\n"
              "      |                  ^\n");
    free(out);
}

/* A graph whose batch goes through in parts. */
static void part_messages(void)
{
    static const char text[] = "graph a parts 1 {\n"
                               "}\n"
                               "graph b.part {\n"
                               "%x = input x : f32[n 2]\n"
                               "}\n"
                               "graph c parts 2 of a.part {\n"
                               "}\n"
                               "graph b parts 2 of b.part {\n"
                               "}\n"
                               "slot d.part i32 acc\n"
                               "graph d.part {\n"
                               "%x = input x : f32[n 2]\n"
                               "%y = input x whole : f32[n 6]\n"
                               "}\n"
                               "graph d parts 2 of d.part {\n"
                               "}\n";
    char *out;
    test(!parse(text, sizeof text - 1, &out));
    test_text(out, "t.graph:1:15: error: a batch goes through in two parts or more\n"
                   "    1 | graph a parts 1 {\n"
                   "      |               ^\n"
                   "t.graph:6:20: error: `a.part` is not the graph before this one\n"
                   "    6 | graph c parts 2 of a.part {\n"
                   "      |                    ^~~~~~\n"
                   "t.graph:8:20: error: `b.part` is not the graph before this one\n"
                   "    8 | graph b parts 2 of b.part {\n"
                   "      |                    ^~~~~~\n"
                   "t.graph:16:1: error: graph d: d.part: whole input x has not the samples of 2 "
                   "parts\n"
                   "   16 | }\n"
                   "      | ^\n");
    free(out);
}

/* Sizes that a run chooses, and axes that end there. */
static void size_messages(void)
{
    static const char text[] = "slot a f32 size 1 to 4\n"
                               "slot b i64 size 5 to 4\n"
                               "slot c i64 size 1 up 4\n"
                               "slot d i64 sys\n"
                               "slot n i64 size 1 to 4\n"
                               "slot p i64 size 1 to 4 = n - 1\n"
                               "slot q i64 size 1 to 4 = d + n\n"
                               "graph g {\n"
                               "%x = input x : f32[i 4 live m]\n"
                               "%y = input y : f32[i 4 live d]\n"
                               "%z = input z : f32[i 4 live n//0]\n"
                               "%w = input w : f32[i 4 live n*]\n";
    char *out;
    test(!parse(text, sizeof text - 1, &out));
    test_text(
        out,
        "t.graph:1:17: error: a size is one i64\n"
        "    1 | slot a f32 size 1 to 4\n"
        "      |                 ^\n"
        "t.graph:2:17: error: no size is in that range\n"
        "    2 | slot b i64 size 5 to 4\n"
        "      |                 ^~~~~~\n"
        "t.graph:3:19: error: expected `to`\n"
        "    3 | slot c i64 size 1 up 4\n"
        "      |                   ^\n"
        "t.graph:6:28: error: expected `+`, `*` or `//`\n"
        "    6 | slot p i64 size 1 to 4 = n - 1\n"
        "      |                            ^\n"
        "t.graph:7:26: error: no size `d`\n"
        "    7 | slot q i64 size 1 to 4 = d + n\n"
        "      |                          ^\n"
        "t.graph:9:29: error: no slot `m`\n"
        "    9 | %x = input x : f32[i 4 live m]\n"
        "      |                             ^\n"
        "t.graph:10:1: error: %y = input: axis 0 is live up to no size\n"
        "   10 | %y = input y : f32[i 4 live d]\n"
        "      | ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
        "t.graph:11:1: error: %z = input: axis 0 is live up to a size that grows with no slot\n"
        "   11 | %z = input z : f32[i 4 live n//0]\n"
        "      | ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
        "t.graph:12:31: error: expected a number\n"
        "   12 | %w = input w : f32[i 4 live n*]\n"
        "      |                               ^\n");
    free(out);
}

/* Bytes changed, removed, doubled, lines moved: no crash; what is accepted still round-trips. */
static void mutations(void)
{
    uint64_t seed = 12345;
    size_t n = (size_t)(strstr(sample, "graph forward") - sample);
    static const char bytes[] = "%[](){}/*-+,:#@\"\\ \n09azAZ._=<";
    int accepted = 0;
    for (int round = 0; round < 3000; round++) {
        char *text = xcalloc(n + 64, 1);
        size_t size = n;
        memcpy(text, sample, n);
        for (int edits = 1 + round % 3; edits > 0; edits--) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(seed >> 33) % size, len = (size_t)(seed >> 20) % 12;
            int kind = (int)(seed >> 10) % 4;
            if (kind < 2)
                text[at] = kind ? (char)(seed >> 40) : bytes[(seed >> 40) % (sizeof bytes - 1)];
            else if (kind == 2 && at + len < size) {
                memmove(text + at, text + at + len, size - at - len);
                size -= len;
            } else if (at + len < size && size + len < n + 60) {
                memmove(text + at + len, text + at, size - at);
                size += len;
            }
        }
        struct ir_module *m = parse(text, size, NULL);
        accepted += m != NULL;
        if (m) {
            struct text once = {0}, twice = {0};
            ir_print(m, &once);
            struct ir_module *again = parse(once.p, once.n, NULL);
            test(again != NULL);
            if (again)
                ir_print(again, &twice);
            if (again)
                test_text(twice.p, once.p);
            ir_module_free(again);
            ir_module_free(m);
            text_free(&once);
            text_free(&twice);
        }
        free(text);
    }
    test(accepted > 20);
}

int main(void)
{
    round_trip();
    lenient();
    messages();
    part_messages();
    size_messages();
    mutations();
    return test_done();
}
