#!/bin/sh
# What the C libraries of `nnc build` cost a program: bench/library.sh [NNC]
# Stripped sizes of a program that trains the multilayer perceptron and of one that infers with LeNet, each with
# all of libnnrt that it needs; how long trainers of both take until they can step, and until the first step is
# done (least and median of 21 processes, one thread); the same for `nnc train` of LeNet with its code in the
# cache (of 11); the first program's run under valgrind, where there is one.
set -eu
cd "$(dirname "$0")/.."
nnc=${1:-build/nnc} cc=${CC:-cc}
rt=$(dirname "$nnc")/libnnrt.a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/small"
"$nnc" build examples/mnist/mlp.nn -o "$work"
"$nnc" build examples/mnist/lenet.nn -o "$work"
"$nnc" build bench/models/lenet.nn -o "$work/small" --inference
train() { # PREFIX
    sed "s/PREFIX/$(echo "$1" | tr a-z A-Z)/g; s/prefix/$1/g" >"$work/$1.c" <<'END'
#include "prefix.h"
#include <stdio.h>
#include <time.h>
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}
int main(void)
{
    static uint8_t image[PREFIX_BATCH * PREFIX_IMAGE_SIZE], label[PREFIX_BATCH];
    struct nn_options o = {.threads = 1, .steps = 100, .steps_per_epoch = 10};
    struct prefix *ctx;
    double begin = now(), ready;
    float loss = 0;
    int status = prefix_open(&o, &ctx);
    ready = now();
    status = status || prefix_train_step(ctx, image, label, &loss);
    printf("%.2f %.2f\n", ready - begin, now() - begin);
    prefix_close(ctx);
    return status || !(loss > 0);
}
END
}
cat >"$work/small/infer.c" <<'END'
#include "lenet.h"
#include <stdio.h>
int main(int argc, char **argv)
{
    static float image[LENET_IMAGE_SIZE], y[LENET_OUTPUT_SIZE];
    struct lenet *ctx;
    if (argc < 2 || lenet_open(NULL, &ctx) || lenet_load(ctx, argv[1]) || lenet_forward(ctx, 1, image, y))
        return 1;
    printf("%g\n", (double)y[0]);
    lenet_close(ctx);
    return 0;
}
END
link() { # PROGRAM MODEL
    "$cc" -O2 -Wl,--gc-sections -I "$(dirname "$work/$1")" -I runtime "$work/$1.c" \
        "$(dirname "$work/$1")/lib$2.a" "$rt" -lm -pthread -o "$work/$1"
    strip "$work/$1"
}
spread() { # COLUMN WHAT
    cut -d' ' -f"$1" "$work/times" | sort -n | awk -v what="$2" '{ t[NR] = $1 } END {
        printf "%-38s %6.2f ms at best, %6.2f median\n", what, t[1], t[int((NR + 1) / 2)] }'
}
train mlp && link mlp mlp
train lenet && link lenet lenet
link small/infer lenet
printf 'MLP trainer       %4d KB stripped\n' $(($(wc -c <"$work/mlp") / 1000))
printf 'LeNet, inference  %4d KB stripped\n' $(($(wc -c <"$work/small/infer") / 1000))
for p in mlp lenet; do
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do "$work/$p"; done >"$work/times"
    spread 1 "$p: opened, with first weights"
    spread 2 "$p: with the first step"
done
export NNC_CACHE="$work/cache"
for _ in 0 1 2 3 4 5 6 7 8 9 10 11; do
    "$nnc" train examples/mnist/lenet.nn --steps 1 --timings --out "$work/out" 2>&1 |
        awk '/the context is open/ { open = $1 } /the first step is done/ { print open, $1 }'
done | tail -n +2 >"$work/times"
spread 1 "nnc train, code from the cache: opened"
spread 2 "nnc train: with the first step"
if command -v valgrind >/dev/null; then
    valgrind -q --vex-guest-chase=no --vex-guest-max-insns=20 --error-exitcode=9 --leak-check=full "$work/mlp" >"$work/out.txt"
    echo "valgrind: no errors, no leaks"
fi
