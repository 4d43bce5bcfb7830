/* nnc devices: what this machine offers: its CPU, its GPUs, and what helps with them. */
#include "common.h"
#include "cuda/cuda.h"
#include "nnc/nnc.h"
#include <limits.h>
#include <unistd.h>

/* One line of the list, or one member of the JSON. */
struct list {
    bool json;
    const char *before; /* what separates from the member before */
};

static void begin(struct list *l)
{
    printf("%s", l->before);
    l->before = ",";
}

static void print_cpu(struct list *l)
{
    const struct target *t = target_host();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (l->json) {
        begin(l);
        printf("{\"name\":\"cpu\",\"level\":\"%s\",\"cores\":%ld,\"vector_bytes\":%u,\"fma\":%s}",
               t->name, cores, t->vector_bytes, t->fma ? "true" : "false");
    } else {
        printf("cpu     %s, %ld cores, vectors of %u bytes%s\n", t->name, cores, t->vector_bytes,
               t->fma ? ", fma" : "");
    }
}

static void print_json_text(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if ((unsigned char)*s >= 32)
            printf(*s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    putchar('"');
}

static void print_gpu(struct list *l, const struct nn_cuda *c, int k)
{
    struct nn_cuda_info i;
    struct nn_message m;
    char name[32] = "sim";
    if (!nn_cuda_is_sim(c))
        snprintf(name, sizeof name, "cuda:%d", k);
    if (nn_cuda_info(c, k, &i, &m)) {
        if (!l->json)
            printf("%-7s cannot be asked: %s\n", name, m.text);
        return;
    }
    const struct target *t = nnc_best_level(i.major * 10 + i.minor);
    if (l->json) {
        begin(l);
        printf("{\"name\":\"%s\",\"title\":", name);
        print_json_text(i.name);
        printf(",\"level\":\"%s\",\"capability\":\"%d.%d\",\"multiprocessors\":%d,"
               "\"memory_bytes\":%zu,\"cuda\":%d}",
               t ? t->name : "", i.major, i.minor, i.sms, i.memory, nn_cuda_version(c));
    } else {
        printf("%-7s %s, %s, %d multiprocessors, %.1f GB, CUDA %d.%d\n", name, i.name,
               t ? t->name : "too old", i.sms, (double)i.memory / 1e9, nn_cuda_version(c) / 1000,
               nn_cuda_version(c) % 1000 / 10);
    }
}

/* The GPUs of a driver, or one line with what was looked for. The driver, or NULL. */
static struct nn_cuda *print_driver(struct list *l, bool sim)
{
    struct nn_cuda *c;
    struct nn_message m;
    if (nn_cuda_open(&c, &(struct nn_cuda_options){.sim = sim}, &m)) {
        if (!l->json)
            printf("%-7s none: %s\n", sim ? "sim" : "cuda", m.text);
        return NULL;
    }
    for (int k = 0; k < nn_cuda_count(c) && !(sim && k); k++)
        print_gpu(l, c, k);
    return c;
}

static void print_helpers(bool json)
{
    char ptxas[PATH_MAX], blas[256];
    struct nn_message m;
    bool assembler = nn_cuda_find_ptxas(ptxas, sizeof ptxas);
    bool library = !nn_cuda_blas(NULL, blas, sizeof blas, &m);
    if (!json) {
        printf("cublas  %s\n", library ? blas : m.text);
        printf("ptxas   %s\n", assembler ? ptxas : "none: the driver's compiler takes the PTX");
        return;
    }
    printf("],\"cublas\":");
    if (library)
        print_json_text(blas);
    else
        printf("null");
    printf(",\"ptxas\":");
    if (assembler)
        print_json_text(ptxas);
    else
        printf("null");
    printf("}\n");
}

int cmd_devices(int argc, char **argv)
{
    struct nnc_options o;
    nnc_parse_options(&o, "devices", argc, argv, "json", 0);
    struct list l = {.json = o.json, .before = "{\"devices\":["};
    print_cpu(&l);
    struct nn_cuda *driver = print_driver(&l, false), *sim = print_driver(&l, true);
    print_helpers(o.json);
    nn_cuda_close(driver);
    nn_cuda_close(sim);
    nnc_free_options(&o);
    return 0;
}
