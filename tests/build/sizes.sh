# One library for any past, length and image size up to bounds, on a CPU and on the software GPU: the same numbers as
# libraries of that very size, and refusals beyond the bounds.
set -e
cat >"$TMP/m.nn" <<'END'
use std
# New positions see the old ones, which the caller keeps; images of any size; tokens counted flat.
model M(k: f32[batch, past, 8], x: f32[batch, seq, 8], p: f32[batch, 2, 2*h, 3])
    -> (y: f32[batch, seq, 8], k: f32[batch, past + seq, 8], flat: f32[batch*seq, 8], p: f32[batch, 2, 2*h + 1, 3]) {
  all = concat([k, sin(x)], 1)
  s = [b, i, j: sum(d: x[b, i, d] * all[b, j, d])]
  s = [b, i, j: where(j <= i + past, s[b, i, j], -inf)]
  place = [t < 11: 0.5 * t]
  y = softmax(s, -1) @ all + place[past:past + seq].reshape(seq, 1)
  return y, all, flip(y, 1).reshape(batch*seq, 8), concat([upsample(max_pool2d(p, 2, 2)[:, :, :, :1], 2)[:, :, :, :1] + p, mean(p, 2, keep = true)], 2)
}
END
cat >"$TMP/t.c" <<'END'
#include "any.h"
#include "one.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define CHECK(x) ((x) ? (void)0 : exit(printf("line %d: %s: %s\n", __LINE__, #x, any_error(c))))
static struct any *c;
static float in[3][4096], a[4][4096], b[4][4096];
static int call(int64_t n, int64_t past, int64_t seq, int64_t h)
{
    return any_forward(c, n, past, seq, h, in[0], in[1], in[2], a[0], a[1], a[2], a[3]);
}
int main(int argc, char **argv)
{
    int64_t z[4];
    struct nn_options o = {.threads = 2, .device = argv[1]};
    struct one *d;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4096; k++)
            in[i][k] = sinf((float)(k * (i + 3))) + 0.25f;
    CHECK(argc == 6);
    for (int i = 0; i < 4; i++)
        z[i] = atoi(argv[2 + i]);
    CHECK(any_open(&o, &c) == NN_OK && any_selftest(c) == NN_OK);
    CHECK(one_open(NULL, &d) == NN_OK && one_forward(d, in[0], in[1], in[2], b[0], b[1], b[2], b[3]) == NN_OK);
    const int64_t count[] = {z[0] * z[2] * 8, z[0] * (z[1] + z[2]) * 8, z[0] * z[2] * 8, z[0] * 2 * (2 * z[3] + 1) * 3};
    CHECK(call(ANY_MAX_BATCH, ANY_MAX_PAST - 1, ANY_MAX_SEQ, ANY_MAX_H) == NN_OK); /* leaves what must not be seen */
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4096; k++)
            a[i][k] = 77;
    CHECK(call(z[0], z[1], z[2], z[3]) == NN_OK);
    for (int i = 0; i < 4; i++) {
        for (int64_t k = 0; k < count[i]; k++)
            if (!(fabsf(a[i][k] - b[i][k]) < 1e-5f))
                exit(printf("output %d, element %d: %g, wanted %g\n", i, (int)k, a[i][k], b[i][k]));
        CHECK(a[i][count[i]] == 77);
    }
    CHECK(call(0, 1, 1, 1) == NN_USAGE && call(1, 0, 1, 1) == NN_USAGE && call(1, 1, 0, 1) == NN_USAGE);
    CHECK(call(ANY_MAX_BATCH + 1, 1, 1, 1) == NN_USAGE && call(1, ANY_MAX_PAST + 1, 1, 1) == NN_USAGE);
    CHECK(call(1, 1, ANY_MAX_SEQ + 1, 1) == NN_USAGE && strstr(any_error(c), "seq is 6; M was built for 1 to 5"));
    CHECK(call(1, 1, 1, -1) == NN_USAGE);
    CHECK(call(1, ANY_MAX_PAST, ANY_MAX_SEQ, 1) == NN_USAGE); /* each may be, both together may not */
    CHECK(strstr(any_error(c), "past + seq is 12; M was built for 2 to 11"));
    CHECK(call(1, ANY_MAX_PAST, ANY_MAX_SEQ - 1, 1) == NN_OK);
    one_close(d);
    any_close(c);
    return 0;
}
END
export NNC_SIM_LIBRARY="${NNC%/*}/libnncsim.so"
gpu=$("$NNC" devices | grep -q '^sim  *none' || echo ,sm_80)
"$NNC" build "$TMP/m.nn" -o "$TMP/lib" --prefix any --max batch=3,past=7,seq=5,h=4 --target "x86-64-v3$gpu"
grep -qF 'output.k f32[batch, past + seq, 8], output.flat f32[batch*seq, 8], output.p f32[batch, 2, 2*h + 1, 3]' "$TMP/lib/any.h"
grep -qF 'with past + seq from 2 to 11' "$TMP/lib/any.h"
for size in "1 1 1 1" "2 5 3 3" "3 6 5 4"; do
    # shellcheck disable=SC2086
    set -- $size
    "$NNC" build "$TMP/m.nn" -o "$TMP/lib" --prefix one -D batch="$1" -D past="$2" -D seq="$3" -D h="$4" --target x86-64-v3
    # shellcheck disable=SC2086
    $CC $CFLAGS -std=c11 -D_GNU_SOURCE -I "$TMP/lib" -I "$SOURCE/runtime" "$TMP/t.c" "$TMP/lib/libany.a" "$TMP/lib/libone.a" \
        "${NNC%/*}/libnnrt.a" -lm -ldl -pthread -o "$TMP/t"
    for device in cpu ${gpu:+sim}; do "$TMP/t" $device "$1" "$2" "$3" "$4" || { echo "$device, sizes $size"; exit 1; }; done
done
