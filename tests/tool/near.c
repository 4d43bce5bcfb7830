/* Two safetensors files side by side: what training on two devices ends in. */
#include "common.h"
#include "data/data.h"
#include "tool.h"
#include <math.h>

struct pair {
    struct nn_tensors *file[2];
    double bound, worst; /* worst: the largest difference, relative to the tensor's magnitude */
};

static bool read_both(const struct pair *p, const struct nn_tensor *const x[2], void *data[2])
{
    struct nn_message m;
    bool ok = true;
    for (int k = 0; k < 2; k++) {
        data[k] = xmalloc(x[k]->bytes + 1);
        if (nn_tensors_read(p->file[k], x[k], data[k], &m)) {
            printf("%s\n", m.text);
            ok = false;
        }
    }
    return ok;
}

/* False after printing how the tensors differ. */
static bool near(struct pair *p, const struct nn_tensor *a, const struct nn_tensor *b)
{
    if (!b || a->dtype != b->dtype || a->bytes != b->bytes) {
        printf("%s is missing or of another type\n", a->name);
        return false;
    }
    const struct nn_tensor *const x[2] = {a, b};
    void *data[2];
    double largest = 0, apart = 0;
    size_t n = a->bytes / nn_dtype_size(a->dtype), where = 0;
    bool ok = read_both(p, x, data);
    for (size_t i = 0; ok && i < n; i++) {
        double u = nn_get(a->dtype, data[0], i), v = nn_get(a->dtype, data[1], i);
        double d = u == v || (isnan(u) && isnan(v)) ? 0 : fabs(u - v);
        largest = fabs(u) > largest ? fabs(u) : largest;
        if (!(d <= apart)) {
            apart = d;
            where = i;
        }
    }
    double relative = apart > 0 || isnan(apart) ? apart / largest : 0;
    if (ok && !(relative <= p->bound)) {
        printf("%s[%zu]: %.9g and %.9g, apart by %.2g of the largest, %.3g\n", a->name, where,
               nn_get(a->dtype, data[0], where), nn_get(a->dtype, data[1], where), relative,
               largest);
        ok = false;
    }
    p->worst = relative > p->worst ? relative : p->worst;
    free(data[0]);
    free(data[1]);
    return ok;
}

int mode_near(int argc, char **argv)
{
    struct nn_message m;
    struct pair p = {.bound = argc == 5 ? strtod(argv[1], NULL) : 0};
    int bad = argc != 5, seen = 0;
    for (int k = 0; !bad && k < 2; k++)
        if (nn_tensors_open(&p.file[k], argv[3 + k], &m)) {
            printf("%s\n", m.text);
            bad = 1;
        }
    for (uint32_t i = 0; !bad && i < nn_tensors_count(p.file[0]); i++) {
        const struct nn_tensor *a = nn_tensors_at(p.file[0], i);
        if (!strstr(a->name, argv[2]))
            continue;
        seen++;
        bad |= !near(&p, a, nn_tensors_find(p.file[1], a->name));
    }
    if (!seen)
        printf("nothing is called %s\n", argc == 5 ? argv[2] : "");
    else if (!bad)
        printf("%d tensors, apart by %.2g at most\n", seen, p.worst);
    nn_tensors_close(p.file[0]);
    nn_tensors_close(p.file[1]);
    return bad || !seen;
}
