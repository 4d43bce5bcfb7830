/* Mutated PTX: a few thousand texts, made from the files of tests/sim by changing bytes, words and
 * lines, go through the parser and the decoder; what is still sound runs for a moment. Nothing may
 * crash, hang or take much memory. With arguments: SEED COUNT. */
#include "simgpu.h"
#include <dirent.h>
#include <time.h>

#define MAX_TEXTS 128
#define MAX_BYTES 65536
static char *texts[MAX_TEXTS];
static int text_count;
static uint64_t state;

static uint32_t draw(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return n ? (uint32_t)(state >> 33) % n : 0;
}

static void read_texts(void)
{
    DIR *dir = opendir(TEST_SOURCE "/tests/ptx");
    for (struct dirent *e; dir && (e = readdir(dir)) && text_count < MAX_TEXTS;) {
        char path[1024];
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 4, ".ptx"))
            continue;
        snprintf(path, sizeof path, "%s/tests/ptx/%s", TEST_SOURCE, e->d_name);
        FILE *f = fopen(path, "rb");
        char *text = f ? calloc(1, MAX_BYTES) : NULL;
        if (text && fread(text, 1, MAX_BYTES - 1, f))
            texts[text_count++] = text;
        if (f)
            fclose(f);
    }
    if (dir)
        closedir(dir);
}

/* A random line or word: where it begins, and its bytes. */
static size_t piece(const char *text, size_t n, const char *ends, size_t *length)
{
    size_t at = draw((uint32_t)n);
    while (at && !strchr(ends, text[at - 1]))
        at--;
    size_t k = strcspn(text + at, ends);
    *length = at + k < n ? k + 1 : k;
    return at;
}

static size_t splice(char *text, size_t n, size_t at, size_t cut, const char *in, size_t bytes)
{
    cut = cut < n - at ? cut : n - at;
    if (n - cut + bytes + 1 > MAX_BYTES)
        return n;
    char copy[MAX_BYTES];
    memcpy(copy, in, bytes);
    memmove(text + at + bytes, text + at + cut, n - at - cut + 1);
    memcpy(text + at, copy, bytes);
    return n - cut + bytes;
}

static size_t mutate(char *text, size_t n)
{
    static const char *const words[] = {"0xFFFFFFFFFFFFFFFF",
                                        "-1",
                                        ".v4",
                                        ".b64",
                                        ".pred",
                                        "%r1",
                                        "%d1",
                                        "%p1",
                                        "_",
                                        "{",
                                        "}",
                                        "[",
                                        "99999999999",
                                        ".shared",
                                        ".param",
                                        "@%p1",
                                        ";",
                                        "call",
                                        "ret",
                                        ".u8",
                                        "1000000",
                                        ".reg",
                                        ".global .b8 z[4000000000];"};
    size_t length, from_length, at = draw((uint32_t)n);
    const char *other = texts[draw((uint32_t)text_count)];
    size_t other_at;
    switch (draw(7)) {
    case 0: text[at] = (char)(draw(2) ? 32 + draw(95) : draw(256)); return n;
    case 1: return splice(text, n, at, draw(4), "", 0);
    case 2: {
        const char *w = words[draw(sizeof words / sizeof *words)];
        at = piece(text, n, " ,;\n.", &length);
        return splice(text, n, at, length, w, strlen(w));
    }
    case 3:
        at = piece(text, n, "\n", &length);
        other_at = piece(other, strlen(other), "\n", &from_length);
        return splice(text, n, at, draw(2) ? length : 0, other + other_at, from_length);
    case 4:
        at = piece(text, n, " ,;\n.[]", &length);
        other_at = piece(other, strlen(other), " ,;\n.[]", &from_length);
        return splice(text, n, at, length, other + other_at, from_length);
    case 5: {
        const char *w = words[draw(sizeof words / sizeof *words)];
        return splice(text, n, at, 0, w, strlen(w));
    }
    case 6:
        if (draw(8))
            return n;
        text[at] = 0;
        return at ? at : 1;
    }
    return n;
}

static int run_kernels(struct gpu *g)
{
    int ran = 0;
    uint64_t at = 0;
    uint8_t params[32768] = {0};
    sim_alloc(g->d, 4096, 0, &at);
    for (size_t k = 0; k < 512; k++)
        memcpy(params + 8 * k, &at, 8);
    for (size_t i = 0; i < sim_module_kernels(g->m) && i < 4; i++) {
        struct sim_launch l = {.grid = {2, 1, 1},
                               .block = {40, 1, 1},
                               .params = params,
                               .limit = 20000,
                               .shared = 256};
        struct sim_counters c = {0};
        enum sim_status s = sim_run(g->d, sim_module_kernel_at(g->m, i), &l, &c, &g->fault);
        ran += s == SIM_OK || s == SIM_FAULT;
        test(s != SIM_FAULT || strlen(g->fault.text) > 20);
    }
    sim_free(g->d, at);
    return ran;
}

int main(int argc, char **argv)
{
    static struct gpu g;
    static char text[MAX_BYTES + 1];
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1,
             count = argc > 2 ? strtoull(argv[2], NULL, 10) : 6000;
    int loaded = 0, refused = 0, ran = 0;
    read_texts();
    test(text_count > 20 && gpu_open(&g, "sm_90a", 1));
    for (uint64_t i = 0; i < count && text_count; i++) {
        state = (seed << 32) + i;
        draw(1);
        strcpy(text, texts[draw((uint32_t)text_count)]);
        size_t n = strlen(text);
        for (uint32_t k = draw(3) ? 1 : 1 + draw(4); k && n > 1; k--)
            n = mutate(text, n);
        char was[64];
        snprintf(was, sizeof was, "%llu %llu", (unsigned long long)seed, (unsigned long long)i);
        clock_t before = clock();
        enum sim_status s = sim_module_load(g.d, text, n, &g.m, g.log, sizeof g.log);
        test(s == SIM_OK || (g.log[0] && strlen(g.log) < sizeof g.log));
        loaded += !s;
        refused += s != SIM_OK;
        ran += s ? 0 : run_kernels(&g);
        sim_module_unload(g.m);
        g.m = NULL;
        if ((double)(clock() - before) / CLOCKS_PER_SEC > 3) {
            printf("slow: %s\n", was);
            test(!"too slow");
        }
    }
    test(loaded && refused && ran);
    printf("%d loaded, %d refused, %d kernels ran\n", loaded, refused, ran);
    for (int i = 0; i < text_count; i++)
        free(texts[i]);
    gpu_close(&g);
    return test_done();
}
