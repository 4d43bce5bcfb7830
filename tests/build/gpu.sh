# A library with levels for a CPU and a GPU: the software GPU passes the self-test that this machine stored,
# trains and infers what the CPU does, and its weights go back and forth.
"$NNC" devices | grep -q '^sim  *none' && { echo "no software GPU here"; exit 77; }
set -e
cat >"$TMP/ab.nn" <<'END'
use std
dataset d {
  x: f32[6] from npy("x.npy")
  t: f32[2] from npy("t.npy")
}
model A(x: f32[batch, 6]) -> f32[batch, 2] {
  fc1 = Linear(40)
  fc2 = Linear(2)
  return fc2(gelu(fc1(x)))
}
train A on d {
  batch = 16
  steps = 20
  loss = mse(A(x), t)
  optimizer = AdamW(0.01)
}
END
cat >"$TMP/test.c" <<'END'
#include "ab.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#define CHECK(x) ((x) ? (void)0 : exit(printf("line %d: %s: %s\n", __LINE__, #x, ab_error(c))))
static struct ab *c;
static float run(const char *device, const char *weights, float *y)
{
    struct nn_options o = {.device = device};
    float x[AB_BATCH * AB_X_SIZE], t[AB_BATCH * AB_T_SIZE], loss;
    struct ab_metrics m;
    struct nn_dltensor v;
    for (int i = 0; i < (int)(sizeof x / sizeof *x); i++)
        x[i] = (float)(i % 7) / 7;
    for (int i = 0; i < (int)(sizeof t / sizeof *t); i++)
        t[i] = (float)(i % 3);
    CHECK(ab_open(&o, &c) == NN_OK);
    CHECK(ab_selftest(c) == NN_OK);
    for (int i = 0; i < 8; i++)
        CHECK(ab_train_step(c, x, t, i % 4 == 3 ? &loss : NULL) == NN_OK);
    CHECK(ab_evaluate(c, 16, x, t) == NN_OK);
    CHECK(ab_train_step(c, x, t, NULL) == NN_OK); /* under way when the metrics are asked for */
    CHECK(ab_metrics(c, &m) == NN_OK && isfinite(m.loss));
    CHECK(ab_save(c, weights) == NN_OK && ab_init(c, 9) == NN_OK && ab_load(c, weights) == NN_OK);
    CHECK(ab_forward(c, 1, x, y) == NN_OK);
    CHECK((ab_param(c, "fc1.weight", &v) == NN_OK) == (device[0] == 'c'));
    CHECK(ab_train_step(c, x, t, NULL) == NN_OK); /* and when the context is closed */
    ab_close(c);
    return loss;
}
int main(int argc, char **argv)
{
    float cpu[AB_OUTPUT_SIZE], gpu[AB_OUTPUT_SIZE];
    float a = run("cpu", argv[argc - 1], cpu), b = run("sim", argv[argc - 1], gpu);
    printf("%g %g, %g %g\n", (double)a, (double)b, (double)cpu[0], (double)gpu[0]);
    return !(fabsf(a - b) < 1e-4f && fabsf(cpu[0] - gpu[0]) < 1e-3f && cpu[0] != 0);
}
END
"$NNC" build "$TMP/ab.nn" -o "$TMP/lib" --target x86-64,sm_75 --emit header,lib,ptx
grep -q '^.target sm_75' "$TMP/lib/ab.sm_75.ptx"
# shellcheck disable=SC2086
$CC $CFLAGS -std=c11 -I "$TMP/lib" -I "$SOURCE/runtime" "$TMP/test.c" "$TMP/lib/libab.a" \
    "${NNC%/*}/libnnrt.a" -lm -ldl -pthread -o "$TMP/test"
NNC_SIM_LIBRARY="${NNC%/*}/libnncsim.so" "$TMP/test" "$TMP/w.safetensors"

# For GPUs alone; and a library without them refuses in words.
"$NNC" build "$TMP/ab.nn" -o "$TMP/only" --target sm_75
"$NNC" build "$TMP/ab.nn" -o "$TMP/none"
for lib in only none; do
    # shellcheck disable=SC2086
    $CC $CFLAGS -I "$TMP/$lib" -I "$SOURCE/runtime" "$TMP/test.c" "$TMP/$lib/libab.a" \
        "${NNC%/*}/libnnrt.a" -lm -ldl -pthread -o "$TMP/$lib/test"
    ! "$TMP/$lib/test" "$TMP/w" >"$TMP/$lib/out"
done
grep -q 'built for sm_75' "$TMP/only/out"
grep -q 'built for no GPU' "$TMP/none/out"
