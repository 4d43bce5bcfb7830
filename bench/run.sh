#!/bin/sh
# Step time, GFLOP/s and share of the measured peak of the examples: bench/run.sh [NNC [THREADS]]
# The data is made up by `nnc bench`; no file is needed.
set -eu
cd "$(dirname "$0")/.."
nnc=${1:-build/nnc}
threads=${2:-$(nproc)}
"$nnc" bench examples/matmul/matmul.nn --threads "$threads"
"$nnc" bench examples/fashion/mlp.nn --threads "$threads"
"$nnc" bench examples/mnist/lenet.nn --threads "$threads"
"$nnc" bench examples/gpt/char.nn --threads "$threads"
