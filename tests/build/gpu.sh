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
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define CHECK(x) ((x) ? (void)0 : exit(printf("line %d: %s: %s\n", __LINE__, #x, ab_error(c))))
static struct ab *c;
/* The view of a weight: the GPU's memory is read and written by its driver. */
static void view(int gpu)
{
    struct nn_dltensor v;
    struct nn_dlmanaged *held;
    float x[AB_BATCH * AB_X_SIZE] = {1}, before[AB_OUTPUT_SIZE], after[AB_OUTPUT_SIZE], bias[2];
    void *sim = gpu ? dlopen(getenv("NNC_SIM_LIBRARY"), RTLD_NOW) : NULL;
    int (*from)(void *, uint64_t, size_t) = NULL, (*to)(uint64_t, const void *, size_t) = NULL;
    CHECK(ab_forward(c, 1, x, before) == NN_OK);
    CHECK(ab_param(c, "fc2.bias", &v) == NN_OK && (held = ab_param_dlpack(c, "fc2.bias")));
    CHECK(v.device.type == (gpu ? 2 : 1) && v.device.id == 0 && v.rank == 1 && v.shape[0] == 2);
    CHECK(v.data == held->tensor.data);
    if (gpu) {
        *(void **)&from = dlsym(sim, "cuMemcpyDtoH_v2");
        *(void **)&to = dlsym(sim, "cuMemcpyHtoD_v2");
        CHECK(from && to && !from(bias, (uint64_t)(uintptr_t)v.data, sizeof bias));
        bias[1] += 2;
        CHECK(!to((uint64_t)(uintptr_t)v.data, bias, sizeof bias));
    } else {
        ((float *)v.data)[1] += 2;
    }
    held->deleter(held);
    CHECK(ab_forward(c, 1, x, after) == NN_OK);
    CHECK(after[0] == before[0] && fabsf(after[1] - before[1] - 2) < 1e-5f);
    CHECK(ab_save(c, "w2") == NN_OK && ab_load(c, "w2") == NN_OK);
    CHECK(ab_forward(c, 1, x, before) == NN_OK && before[1] == after[1]);
    CHECK(ab_param(c, "fc3.bias", &v) == NN_USAGE);
    FILE *f = fopen("w2", "r+b"); /* a bit of the weights flips */
    CHECK(f && !fseek(f, -5, SEEK_END));
    int byte = getc(f) ^ 16;
    CHECK(!fseek(f, -5, SEEK_END) && putc(byte, f) == byte && !fclose(f));
    CHECK(ab_load(c, "w2") == NN_REFUSED && strstr(ab_error(c), "w2 is damaged: its tensors have"));
}
/* Any number of samples up to the bound: each as if it were alone. */
static void sizes(const float *x)
{
    float all[AB_MAX_BATCH * AB_OUTPUT_SIZE + 1], one[AB_OUTPUT_SIZE];
    for (int64_t n = 2; n <= AB_MAX_BATCH; n += 7) {
        all[n * AB_OUTPUT_SIZE] = 77;
        CHECK(ab_forward(c, n, x, all) == NN_OK && all[n * AB_OUTPUT_SIZE] == 77);
        for (int64_t i = 0; i < n; i++) {
            CHECK(ab_forward(c, 1, x + i * AB_X_SIZE, one) == NN_OK);
            for (int k = 0; k < AB_OUTPUT_SIZE; k++)
                CHECK(fabsf(one[k] - all[i * AB_OUTPUT_SIZE + k]) < 1e-5f);
        }
    }
    CHECK(ab_forward(c, AB_MAX_BATCH + 1, x, all) == NN_USAGE);
}
static float run(const char *device, const char *weights, float *y)
{
    char name[20]; /* gone when the self-test opens the device once more */
    snprintf(name, sizeof name, "%s", device);
    struct nn_options o = {.device = name};
    float x[AB_BATCH * AB_X_SIZE], t[AB_BATCH * AB_T_SIZE], loss;
    struct ab_measured m;
    for (int i = 0; i < (int)(sizeof x / sizeof *x); i++)
        x[i] = (float)(i % 7) / 7;
    for (int i = 0; i < (int)(sizeof t / sizeof *t); i++)
        t[i] = (float)(i % 3);
    CHECK(ab_open(&o, &c) == NN_OK);
    memset(name, 0, sizeof name);
    CHECK(ab_selftest(c) == NN_OK);
    for (int i = 0; i < 8; i++)
        CHECK(ab_train_step(c, x, t, i % 4 == 3 ? &loss : NULL) == NN_OK);
    CHECK(ab_evaluate(c, 16, x, t) == NN_OK);
    CHECK(ab_train_step(c, x, t, NULL) == NN_OK); /* under way when the metrics are asked for */
    CHECK(ab_metrics(c, &m) == NN_OK && isfinite(m.loss));
    CHECK(ab_save(c, weights) == NN_OK && ab_init(c, 9) == NN_OK && ab_load(c, weights) == NN_OK);
    CHECK(ab_forward(c, 1, x, y) == NN_OK);
    sizes(x);
    view(strcmp(device, "cpu"));
    CHECK(ab_train_step(c, x, t, NULL) == NN_OK); /* and when the context is closed */
    ab_close(c);
    return loss;
}
int main(int argc, char **argv)
{
    float cpu[AB_OUTPUT_SIZE], gpu[AB_OUTPUT_SIZE];
    float a = run("cpu", argv[1], cpu), b = run(argc > 2 ? argv[2] : "sim", argv[1], gpu);
    printf("%g %g, %g %g\n", (double)a, (double)b, (double)cpu[0], (double)gpu[0]);
    return !(fabsf(a - b) < 1e-4f && fabsf(cpu[0] - gpu[0]) < 1e-3f && cpu[0] != 0);
}
END
build=${NNC%/*}
compile() { # FOLDER
    # shellcheck disable=SC2086
    $CC $CFLAGS -D_GNU_SOURCE -std=c11 -I "$1" -I "$SOURCE/runtime" "$TMP/test.c" "$1/libab.a" "$build/libnnrt.a" \
        -lm -ldl -pthread -o "$1/test"
}
export NNC_SIM_LIBRARY="$build/libnncsim.so" NNC_CACHE="$TMP/cache"
"$NNC" build "$TMP/ab.nn" -o "$TMP/lib" --target x86-64,sm_80 --emit header,lib,ptx
grep -q '^.target sm_80' "$TMP/lib/ab.sm_80.ptx"
compile "$TMP/lib"
cd "$TMP"
lib/test w.safetensors

# A bit that flips in tables, PTX or machine code is found.
flip() { # FILE OFFSET
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "$(printf '\\%o' $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
damaged() { # WHAT OFFSET
    cp lib/test flipped
    flip flipped "$2"
    ! ./flipped w >out || exit 1
    grep -q "is damaged: its $1 has another hash" out
}
places() { LC_ALL=C grep -obUaP "$1" lib/test | cut -d: -f1; }
found=0
for at in $(places 'NNIMG1\x00\x00'); do
    [ $((at % 64)) = 0 ] || continue # the runtime's own constant
    damaged table $((at + 300))
    found=$((found + 1))
done
[ $found = 2 ]
damaged code $(($(places '\.target sm_80' | head -n 1) + 400))
machine=$(places '\x7fELF' | sed 1d)
[ -z "$machine" ] || damaged 'machine code' $((machine + 500))

# The library's machine code goes to the driver first; this one refuses it, and takes the PTX.
if [ -n "$machine" ]; then
    cat >shim.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int cuModuleLoadDataEx(void **m, const void *image, unsigned n, void *option, void *value)
{
    int (*next)(void **, const void *, unsigned, void *, void *);
    *(void **)&next = dlsym(RTLD_NEXT, "cuModuleLoadDataEx");
    puts(memcmp(image, "\177ELF", 4) ? "PTX" : "machine code");
    return next(m, image, n, option, value);
}
END
    mkdir shim
    # shellcheck disable=SC2086
    $CC $CFLAGS -D_GNU_SOURCE -shared -fPIC shim.c -o shim/libcuda.so.1 -Wl,--no-as-needed -L "$build" -lnncsim \
        -Wl,-rpath,"$build"
    LD_LIBRARY_PATH="$TMP/shim" lib/test w cuda >out
    [ "$(head -n 3 out | tr '\n' ,)" = 'machine code,machine code,PTX,' ] # the second by ptxas, for this chip
fi

# Products by cuBLAS, where that is asked for.
"$NNC" build ab.nn -o blas --target x86-64,sm_80 --gemm cublas
compile blas
blas/test w

# For GPUs alone; and a library without them refuses in words.
"$NNC" build ab.nn -o only --target sm_75
"$NNC" build ab.nn -o none
for lib in only none; do
    compile $lib
    ! $lib/test w >$lib/out
done
grep -q 'built for sm_75' only/out
grep -q 'built for no GPU' none/out
