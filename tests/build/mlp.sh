# A C program with the compiled model trains to the very bytes that `nnc train` writes.
set -e
model="$SOURCE/examples/mnist/mlp.nn" data="$SOURCE/examples/mnist/data"
"$NNC" build "$model" -o "$TMP/lib" --target x86-64-v4,x86-64,x86-64-v3
grep -q "^#define MLP_MAX_BATCH 128 " "$TMP/lib/mlp.h"
grep -q " train_step   image u8\[128, 28, 28\], label u8\[128\] -> loss f32$" "$TMP/lib/mlp.h"
# shellcheck disable=SC2086
${CC:-cc} ${CFLAGS:-} -std=c11 -Wall -Wextra -Werror -pedantic -I "$TMP/lib" -I "$SOURCE/runtime" \
    build/mlp.c "$TMP/lib/libmlp.a" "${NNC%/*}/libnnrt.a" -lz -lm -pthread -o "$TMP/mlp"
"$TMP/mlp" "$data" "$TMP/w.safetensors"
"$NNC" train "$model" --steps 6 --no-shuffle --quiet --out "$TMP/out"
cmp "$TMP/w.safetensors" "$TMP/out/last.safetensors"
