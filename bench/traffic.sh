#!/bin/sh
# Global memory that the kernels of softmax, layer norm, GELU, cross-entropy, AdamW and attention move on the
# software GPU, beside the least possible and what their tiling implies: bench/traffic.sh [BUILD [TARGET]]
set -eu
cd "$(dirname "$0")/.."
"${1:-build}/bench-traffic" "${2:-sm_80}" bench/traffic/*.graph
