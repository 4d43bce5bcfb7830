/* Checkpoints: `last` and `best` hold params and states under their names; `state` holds every slot
 * but the accumulators (`slot/NAME`) and the run's position (`train/NAME`). Each file is replaced
 * whole. */
#include "train/run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MOST = 1024, POSITIONS = 10 };

char *path_in(const char *dir, const char *name)
{
    char *p = malloc(strlen(dir) + strlen(name) + 2);
    if (p)
        sprintf(p, "%s/%s", dir, name);
    return p;
}

enum nn_status nn_make_folder(const char *path, struct nn_message *m)
{
    char *p = strdup(path);
    if (!p)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (char *c = p + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(p, 0777);
            *c = '/';
        }
    struct stat st;
    int bad = mkdir(p, 0777) && errno != EEXIST, why = errno;
    if (!bad && (stat(p, &st) || !S_ISDIR(st.st_mode))) {
        bad = 1;
        why = ENOTDIR;
    }
    free(p);
    return bad ? nn_fail(m, NN_MACHINE, "cannot make the folder %s: %s", path, strerror(why))
               : NN_OK;
}

enum nn_status set_aside(const char *path, struct nn_message *m)
{
    char *old = malloc(strlen(path) + 5);
    if (!old)
        return nn_fail(m, NN_MACHINE, "out of memory");
    sprintf(old, "%s.old", path);
    int bad = rename(path, old) && errno != ENOENT, why = errno;
    free(old);
    return bad ? nn_fail(m, NN_MACHINE, "cannot rename %s: %s", path, strerror(why)) : NN_OK;
}

/* ---- what the files hold ---- */

/* The position as tensors. All i64 but `best` and the losses. */
static size_t position_items(struct position *p, struct nn_save_item *item)
{
    struct nn_save_item all[POSITIONS] = {
        {"train/step", NN_i64, 0, NULL, &p->step},
        {"train/evaluated", NN_i64, 0, NULL, &p->evaluated},
        {"train/best", NN_f64, 0, NULL, &p->best},
        {"train/best_step", NN_i64, 0, NULL, &p->best_step},
        {"train/loss_sum", NN_f64, 1, &p->losses, p->loss_sum},
        {"train/loss_count", NN_i64, 0, NULL, &p->loss_count},
        {"train/seed", NN_i64, 0, NULL, &p->seed},
        {"train/batch", NN_i64, 0, NULL, &p->batch},
        {"train/samples", NN_i64, 0, NULL, &p->samples},
        {"train/shuffle", NN_i64, 0, NULL, &p->shuffle},
    };
    memcpy(item, all, sizeof all);
    return POSITIONS;
}

static struct nn_save_item slot_item(struct nn_exec *e, int slot, const char *name)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    return (struct nn_save_item){name, (enum nn_dtype)r->dtype, r->rank, r->dim,
                                 nn_exec_slot(e, slot)};
}

static enum nn_status open_weights(struct checkpoints *c, struct nn_exec *e,
                                   struct nn_save_item *item, struct nn_message *m)
{
    size_t n = 0;
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; i < slots; i++) {
        const struct nn_slot_rec *r = nn_exec_slot_rec(e, i);
        if (r->kind == NN_SLOT_PARAM || r->kind == NN_SLOT_STATE)
            item[n++] = slot_item(e, i, nn_exec_text(e, r->name));
    }
    enum nn_status s = nn_saver_open(&c->last, c->path[0], "pt", item, n, m);
    return s ? s : nn_saver_open(&c->best, c->path[1], "pt", item, n, m);
}

static enum nn_status open_state(struct checkpoints *c, struct nn_exec *e, struct position *p,
                                 struct nn_save_item *item, char (*name)[NAME_MOST],
                                 struct nn_message *m)
{
    size_t n = position_items(p, item);
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; i < slots; i++) {
        const struct nn_slot_rec *r = nn_exec_slot_rec(e, i);
        if (r->kind == NN_SLOT_ACC || r->kind == NN_SLOT_SIZE)
            continue;
        snprintf(name[i], NAME_MOST, "slot/%s", nn_exec_text(e, r->name));
        item[n++] = slot_item(e, i, name[i]);
    }
    return nn_saver_open(&c->state, c->path[2], "nnc state", item, n, m);
}

enum nn_status checkpoints_open(struct checkpoints *c, struct nn_exec *e, struct position *p,
                                const char *out, struct nn_message *m)
{
    static const char *const names[] = {"last.safetensors", "best.safetensors",
                                        "state.safetensors"};
    *c = (struct checkpoints){.at = p};
    size_t slots = nn_exec_image(e)->slot_count;
    struct nn_save_item *item = calloc(slots + POSITIONS, sizeof *item);
    char(*name)[NAME_MOST] = calloc(slots + 1, sizeof *name);
    for (int i = 0; i < 3; i++)
        c->path[i] = path_in(out, names[i]);
    enum nn_status s = NN_OK;
    if (!item || !name || !c->path[0] || !c->path[1] || !c->path[2])
        s = nn_fail(m, NN_MACHINE, "out of memory");
    if (!s)
        s = open_weights(c, e, item, m);
    if (!s)
        s = open_state(c, e, p, item, name, m);
    free(item);
    free(name);
    return s;
}

void checkpoints_close(struct checkpoints *c)
{
    nn_saver_close(c->last);
    nn_saver_close(c->best);
    nn_saver_close(c->state);
    for (int i = 0; i < 3; i++)
        free(c->path[i]);
    *c = (struct checkpoints){0};
}

enum nn_status checkpoints_renew(struct checkpoints *c, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (int i = 2; !s && c->state && i >= 0; i--)
        s = set_aside(c->path[i], m);
    return s;
}

/* ---- saving and loading ---- */

enum nn_status checkpoints_save_best(struct checkpoints *c, struct nn_message *m)
{
    return c->best ? nn_saver_write(c->best, m) : NN_OK;
}

enum nn_status checkpoints_save(struct checkpoints *c, struct nn_message *m)
{
    if (!c->state)
        return NN_OK;
    enum nn_status s = nn_saver_write(c->last, m);
    return s ? s : nn_saver_write(c->state, m);
}

bool checkpoints_exist(const struct checkpoints *c)
{
    return c->state && access(c->path[2], F_OK) == 0;
}

static enum nn_status read_position(struct nn_tensors *t, struct position *p, const char *path,
                                    struct nn_message *m)
{
    struct nn_save_item item[POSITIONS];
    position_items(p, item);
    for (size_t i = 0; i < POSITIONS; i++) {
        const struct nn_tensor *x = nn_tensors_find(t, item[i].name);
        if (!x || x->dtype != item[i].dtype || x->rank != item[i].rank ||
            (x->rank && x->dim[0] != item[i].dim[0]))
            return nn_fail(m, NN_REFUSED,
                           "%s is not the state of such a run: %s is missing or "
                           "of another type",
                           path, item[i].name);
        union {
            const void *c;
            void *p;
        } to = {item[i].data};
        enum nn_status s = nn_tensors_read(t, x, to.p, m);
        if (s)
            return s;
    }
    return NN_OK;
}

static enum nn_status same(const char *path, const char *what, int64_t saved, int64_t now,
                           struct nn_message *m)
{
    return saved == now ? NN_OK
                        : nn_fail(m, NN_REFUSED,
                                  "%s was saved with %s %lld, this run has %lld: it cannot go on "
                                  "from there",
                                  path, what, (long long)saved, (long long)now);
}

enum nn_status checkpoints_load(struct checkpoints *c, struct nn_exec *e, struct position *p,
                                struct nn_message *m)
{
    struct nn_tensors *t;
    const char *path = c->path[2];
    struct position now = *p;
    enum nn_status s = nn_tensors_open(&t, path, m);
    if (s)
        return s;
    s = read_position(t, p, path, m);
    if (!s)
        s = same(path, "batch", p->batch, now.batch, m);
    if (!s)
        s = same(path, "seed", p->seed, now.seed, m);
    if (!s)
        s = same(path, "training samples", p->samples, now.samples, m);
    if (!s)
        s = same(path, "shuffle", p->shuffle, now.shuffle, m);
    if (!s && (p->step < 0 || p->loss_count < 0 || p->step > (int64_t)1 << 48))
        s = nn_fail(m, NN_REFUSED, "%s is damaged: its step is impossible", path);
    if (!s)
        s = nn_state_load(e, t, path, m);
    nn_tensors_close(t);
    return s;
}

enum nn_status checkpoints_complete(struct checkpoints *c, struct nn_message *m)
{
    struct position *p = c->at;
    enum nn_status s = NN_OK;
    if (access(c->path[0], F_OK))
        s = nn_saver_write(c->last, m);
    if (s || isnan(p->best) || !access(c->path[1], F_OK))
        return s;
    if (p->best_step == p->step)
        return nn_saver_write(c->best, m);
    p->best = NAN;
    p->best_step = 0;
    return NN_OK;
}
