#!/bin/sh
# Global memory that the kernels of softmax, layer norm, GELU, cross-entropy and AdamW move on the software
# GPU, beside the least possible: bench/traffic.sh [BUILD [TARGET]]
set -eu
cd "$(dirname "$0")/.."
"${1:-build}/bench-traffic" "${2:-sm_80}" bench/traffic/*.graph
