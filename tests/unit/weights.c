/* Weights into slots: by name, by a model's prefix, between float widths; what does not fit is
 * listed and nothing is changed. */
#include "common.h"
#include "data/data.h"
#include "exec/exec.h"
#include "hand.h"

#include <unistd.h>

static struct nn_message m;
static char path[] = "/tmp/nnc-weights-XXXXXX";

struct file {
    struct nn_save_item item[8];
    size_t n;
    int64_t dim[8][2];
    double value[8];
};

static void add(struct file *f, const char *name, enum nn_dtype t, int64_t d0, int64_t d1)
{
    struct nn_save_item *x = &f->item[f->n];
    static float data[64];
    for (int i = 0; i < 64; i++)
        data[i] = 0.5f;
    f->dim[f->n][0] = d0;
    f->dim[f->n][1] = d1;
    *x = (struct nn_save_item){name, t, (uint32_t)((d0 > 0) + (d1 > 0)), f->dim[f->n], data};
    f->n++;
}

static void write_file(const struct file *f)
{
    struct nn_saver *s;
    test(nn_saver_open(&s, path, "pt", f->item, f->n, &m) == NN_OK);
    test(nn_saver_write(s, &m) == NN_OK);
    nn_saver_close(s);
}

static float first(struct nn_exec *e, const char *name)
{
    int slot = nn_exec_find_slot(e, name);
    return (float)nn_get((enum nn_dtype)nn_exec_slot_rec(e, slot)->dtype, nn_exec_slot(e, slot), 0);
}

static void matching(struct nn_exec *e)
{
    struct file f = {0};
    uint16_t half[6] = {0x3c00, 0xc000}, brain[6] = {0x3f80, 0xc000}; /* 1, -2 */
    double wide[3] = {0.25, 4};
    add(&f, "G.w", NN_f16, 2, 3);
    f.item[0].data = half;
    add(&f, "D.w", NN_f32, 3, 0);
    add(&f, "G.mean", NN_f64, 3, 0);
    f.item[2].data = wide;
    add(&f, "G.num_batches_tracked", NN_i64, 0, 0);
    write_file(&f);
    test(nn_weights_load(e, path, "", &m) == NN_OK);
    test(first(e, "G.w") == 1 && first(e, "D.w") == 0.5f && first(e, "G.mean") == 0.25f);
    test(((float *)nn_exec_slot(e, nn_exec_find_slot(e, "G.w")))[1] == -2);

    f = (struct file){0}; /* one model of two, under its own names */
    add(&f, "w", NN_bf16, 2, 3);
    brain[0] = 0x4000;
    f.item[0].data = brain;
    add(&f, "mean", NN_f32, 3, 0);
    write_file(&f);
    test(nn_weights_load(e, path, "G.", &m) == NN_OK && first(e, "G.w") == 2 &&
         first(e, "G.mean") == 0.5f && first(e, "D.w") == 0.5f);
    test(nn_weights_load(e, path, "D.", &m) == NN_REFUSED && strstr(m.text, "mean is not in the"));
}

static void misfits(struct nn_exec *e)
{
    struct file f = {0};
    add(&f, "G.w", NN_f32, 3, 2);
    add(&f, "D.w", NN_i32, 3, 0);
    add(&f, "extra", NN_f32, 0, 0);
    write_file(&f);
    test(nn_weights_load(e, path, "", &m) == NN_REFUSED);
    test(strstr(m.text,
                " does not belong to this model: G.w is f32[3, 2], the model has f32[2, 3]; "
                "G.mean is missing; D.w is i32[3], the model has f32[3]; "
                "extra is not in the model"));
    for (int i = 0; i < 5; i++) {
        static const char *const names[] = {"a", "b", "c", "d", "e"};
        add(&f, names[i], NN_f32, 0, 0);
    }
    write_file(&f);
    test(nn_weights_load(e, path, "", &m) == NN_REFUSED && strstr(m.text, "; and 4 more"));
    test(first(e, "G.w") == 2);
    test(nn_weights_load(e, "/nonexistent", "", &m) == NN_REFUSED);
    test_text(m.text, "cannot open /nonexistent: No such file or directory");
}

int main(void)
{
    struct image_builder *b = xcalloc(1, sizeof *b);
    struct nn_exec *e;
    size_t bytes;
    image_slot(b, "G.w", NN_SLOT_PARAM, NN_f32, 2, 3);
    image_slot(b, "G.mean", NN_SLOT_STATE, NN_f32, 3, 0);
    image_slot(b, "D.w", NN_SLOT_PARAM, NN_f32, 3, 0);
    image_slot(b, "D.w.m", NN_SLOT_OPT, NN_f32, 3, 0);
    struct nn_image *image = image_done(b, 0, &bytes);
    int fd = mkstemp(path);
    test(fd >= 0 && nn_exec_open(&e, image, bytes, NULL, 0, NULL, &m) == NN_OK);
    close(fd);
    matching(e);
    misfits(e);
    nn_exec_close(e);
    unlink(path);
    text_free(&b->t);
    free(b);
    return test_done();
}
