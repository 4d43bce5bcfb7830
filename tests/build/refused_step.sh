# A step or an evaluation that is refused leaves everything as it was, a batch norm's statistics too; a label that
# the loss leaves out is none of these.
set -e
cat >"$TMP/n.nn" <<'END'
use std
dataset d {
  x: f32[6] from npy("x.npy")
  t: i64 from npy("t.npy")
  w: i32[2] from npy("w.npy")
}
model N(x: f32[batch, 6]) -> f32[batch, 3] = Linear(3)(BatchNorm()(Linear(5)(x)))
train N on d {
  batch = 4
  steps = 20
  table = [i < 7: 0.1 * i]
  loss = cross_entropy(N(x), t) + mean([b, k: table[w[b, k]]])
  optimizer = Adam(0.1)
}
END
cat >"$TMP/t.c" <<'END'
#include "n.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define CHECK(x) ((x) ? (void)0 : exit(printf("line %d: %s: %s\n", __LINE__, #x, n_error(c))))
static char before[1 << 16], after[1 << 16];
static size_t state(struct n *c, char *to)
{
    CHECK(n_save_state(c, "state") == NN_OK);
    FILE *f = fopen("state", "rb");
    size_t n = f ? fread(to, 1, sizeof before, f) : 0;
    CHECK(n > 0 && !fclose(f));
    return n;
}
int main(void)
{
    struct n *c;
    float x[24], loss, metrics[1];
    int64_t t[4] = {0, 2, -100, 1};
    int32_t w[8] = {0, 6, 1, 2};
    for (int i = 0; i < 24; i++)
        x[i] = (float)(i * i % 7);
    CHECK(n_open(NULL, &c) == NN_OK && n_train_step(c, x, t, w, &loss) == NN_OK);
    size_t n = state(c, before);
    t[2] = 3;
    CHECK(n_train_step(c, x, t, w, &loss) == NN_REFUSED && strstr(n_error(c), "t: element 2 is 3; it must be in 0..3 or -100"));
    CHECK(n_evaluate(c, 4, x, t, w) == NN_REFUSED && n_metrics(c, (void *)metrics) == NN_USAGE);
    t[2] = 0;
    w[5] = -1;
    CHECK(n_train_step(c, x, t, w, &loss) == NN_REFUSED && strstr(n_error(c), "w: element 5 is -1; it must be in 0..7"));
    CHECK(state(c, after) == n && !memcmp(before, after, n));
    w[5] = 0;
    CHECK(n_train_step(c, x, t, w, &loss) == NN_OK && state(c, after) == n && memcmp(before, after, n));
    n_close(c);
    return 0;
}
END
"$NNC" build "$TMP/n.nn" -o "$TMP/lib"
# shellcheck disable=SC2086
$CC $CFLAGS -std=c11 -I "$TMP/lib" -I "$SOURCE/runtime" "$TMP/t.c" "$TMP/lib/libn.a" "${NNC%/*}/libnnrt.a" -lm -pthread -o "$TMP/t"
cd "$TMP"
./t
