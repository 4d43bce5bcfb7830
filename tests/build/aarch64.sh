# A library for another kind of processor, with the runtime compiled for it: the self-test under an emulator
# compares with what this machine's compiler stored.
set -e
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
"$NNC" build "$SOURCE/examples/mnist/lenet.nn" -o "$TMP" --target aarch64 --batch 4
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
cd "$SOURCE/runtime"
aarch64-linux-gnu-gcc -O1 -static -std=c11 -D_GNU_SOURCE -I. -I"$TMP" "$TMP/test.c" "$TMP/liblenet.a" \
    ./*.c cpu/*.c exec/*.c model/context.c model/files.c model/params.c model/probe.c \
    model/selftest.c model/sizes.c data/file.c data/json.c data/saver.c data/tensors.c \
    "$TMP/liblenet.a" -lm -pthread -o "$TMP/test"
qemu-aarch64 "$TMP/test" | grep 'self-test passed on aarch64'
