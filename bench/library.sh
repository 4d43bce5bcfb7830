#!/bin/sh
# What the C libraries of `nnc build` cost a program: bench/library.sh [NNC]
# Stripped sizes of a program that trains the multilayer perceptron and of one that infers with LeNet, each with
# all of libnnrt that it needs; how long the first one takes until it can step, and until its first step is done
# (least and median of 21 processes, one thread); its run under valgrind, where there is one.
set -eu
cd "$(dirname "$0")/.."
nnc=${1:-build/nnc} cc=${CC:-cc}
rt=$(dirname "$nnc")/libnnrt.a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$nnc" build examples/mnist/mlp.nn -o "$work"
"$nnc" build bench/models/lenet.nn -o "$work" --inference
cat >"$work/train.c" <<'END'
#include "mlp.h"
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
    static uint8_t image[MLP_BATCH * MLP_IMAGE_SIZE], label[MLP_BATCH];
    struct nn_options o = {.threads = 1, .steps = 100, .steps_per_epoch = 10};
    struct mlp *ctx;
    double begin = now(), ready;
    float loss = 0;
    int status = mlp_open(&o, &ctx) || mlp_init(ctx, 0);
    ready = now();
    status = status || mlp_train_step(ctx, image, label, &loss);
    printf("%.2f %.2f\n", ready - begin, now() - begin);
    mlp_close(ctx);
    return status || !(loss > 0);
}
END
cat >"$work/infer.c" <<'END'
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
for p in train:mlp infer:lenet; do
    "$cc" -O2 -Wl,--gc-sections -I "$work" -I runtime "$work/${p%:*}.c" "$work/lib${p#*:}.a" "$rt" -lm -pthread \
        -o "$work/${p%:*}"
    strip "$work/${p%:*}"
done
printf 'MLP trainer       %4d KB stripped\n' $(($(wc -c <"$work/train") / 1000))
printf 'LeNet, inference  %4d KB stripped\n' $(($(wc -c <"$work/infer") / 1000))
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do "$work/train"; done >"$work/times"
for column in 1 2; do
    cut -d' ' -f$column "$work/times" | sort -n | awk -v what=$column '{ t[NR] = $1 } END {
        printf "%s %.2f ms at best, %.2f median\n",
            what == 1 ? "open and init      " : "with the first step", t[1], t[int((NR + 1) / 2)] }'
done
if command -v valgrind >/dev/null; then
    valgrind -q --vex-guest-chase=no --vex-guest-max-insns=20 --error-exitcode=9 --leak-check=full "$work/train" >"$work/out"
    echo "valgrind: no errors, no leaks"
fi
