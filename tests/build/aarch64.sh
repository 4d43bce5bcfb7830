# Libraries for another kind of processor: libnnrt alone compiled for it, installed, found by a project with
# nnc_add_model; a shared library by the cross compiler. The self-test under an emulator compares with what this
# machine's compiler stored.
set -e
for tool in aarch64-linux-gnu-gcc qemu-aarch64 cmake; do
    command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
[ -z "$CFLAGS" ] || { echo "not with sanitizers"; exit 77; }
nnc=$(cd "${NNC%/*}" && pwd)/nnc
cat >"$TMP/test.c" <<'END'
#include "lenet.h"
#include <stdio.h>
static void line(void *user, const char *text) { (void)user; puts(text); }
int main(void)
{
    struct nn_options o = {.threads = 2, .steps = 9, .log = line};
    static uint8_t image[LENET_BATCH * LENET_IMAGE_SIZE], label[LENET_BATCH];
    struct lenet *ctx;
    float first, loss;
    int bad = lenet_open(&o, &ctx) || lenet_selftest(ctx) ||
              lenet_train_step(ctx, image, label, &first) || lenet_train_step(ctx, image, label, &loss);
    if (bad)
        puts(lenet_error(ctx));
    lenet_close(ctx);
    return bad || !(loss < first);
}
END
cat >"$TMP/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(test LANGUAGES C)
find_package(nnc REQUIRED)
nnc_add_model(lenet "$SOURCE/examples/mnist/lenet.nn" OPTIONS --batch 4)
add_executable(test test.c)
target_link_libraries(test lenet -static)
END
cross="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc"
cd "$TMP"
# shellcheck disable=SC2086
cmake -S "$SOURCE" -B runtime -DNNC_RUNTIME_ONLY=ON -DNNC_WERROR=ON -DCMAKE_BUILD_TYPE=MinSizeRel $cross >log
cmake --build runtime -j2 >log || { cat log; exit 1; }
cmake --install runtime --prefix "$TMP/arm" >log
# shellcheck disable=SC2086
cmake -B build -DCMAKE_PREFIX_PATH="$TMP/arm" -DNNC_EXECUTABLE="$nnc" $cross >log || { cat log; exit 1; }
cmake --build build >log || { cat log; exit 1; }
qemu-aarch64 build/test | grep 'self-test passed on aarch64'

# Without a runtime for it, or with another machine's, a shared library is refused.
"$nnc" build "$SOURCE/examples/mnist/mlp.nn" -o so --target aarch64 --inference --emit so 2>err && exit 1
grep -qF -- '--emit so for aarch64: libnnrt.a for it is not where it is installed: give it with --runtime' err
[ ! -e so ]
"$nnc" build "$SOURCE/examples/mnist/mlp.nn" -o so --target aarch64 --inference --emit so,header --runtime arm/lib/libnnrt.a
printf '#include "mlp.h"\nint main(void) { struct mlp *c; return mlp_open(0, &c) || mlp_selftest(c); }\n' >so/t.c
aarch64-linux-gnu-gcc so/t.c -I so -I arm/include so/libmlp.so -o so/t
qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=so so/t
