#!/bin/sh
# The machine code of the matmul kernels: bench/sass.sh [NNC [TARGET...]]
# The three products of each layer of a multilayer perceptron (forward, and the gradients of its input and of
# its weights: three ways of transposing) with 1024 rows and columns, in each precision, assembled by ptxas and
# read back by nvdisasm. A line a kernel, of its main loop (the one with the most products): instructions, how
# many of them multiply (FFMA, HMMA) and their share, reads of shared memory and of global memory (copies that
# pass the registers by among them) by 128 bits and by less; of the whole kernel: accesses to local memory.
# The tools are looked for in PATH, CUDA_HOME, /usr/local/cuda and Triton's Python package; exit 77: there are none.
# Exit 1: a kernel is refused, or uses local memory.
set -u
cd "$(dirname "$0")/.." || exit 1
nnc=${1:-build/nnc}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- sm_80 sm_90a
triton=$(python3 -c 'import os, triton; print(os.path.dirname(triton.__file__))' 2>/dev/null)
PATH=$PATH:${CUDA_HOME:+$CUDA_HOME/bin:}/usr/local/cuda/bin:${triton:+$triton/backends/nvidia/bin}
for tool in ptxas nvdisasm; do
    command -v $tool >/dev/null || {
        echo "no $tool in PATH, CUDA_HOME, /usr/local/cuda/bin or Triton's package"
        exit 77
    }
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0
echo "target  factor  loop  multiply  share  LDS.128 LDSM  LDS  LDG.128  LDG  local  kernel"
for target; do
    for factor in f32 tf32 bf16 f16; do
        case $target-$factor in sm_75-tf32 | sm_75-bf16) continue ;; esac
        sed "s/^  batch .*/  batch = 1024\n  precision = $factor/" examples/mnist/mlp.nn >"$work/mlp.nn"
        "$nnc" emit ptx "$work/mlp.nn" -D hidden=1024 --graph step --target "$target" >"$work/k.ptx" &&
            ptxas -arch="$target" "$work/k.ptx" -o "$work/k.cubin" &&
            nvdisasm -c "$work/k.cubin" >"$work/k.sass" || { status=1 && continue; }
        awk -v target="$target" -v factor="$factor" '
            function wide(op) { return op ~ /\.128/ }
            function kernel(i, op, c) {
                if (name ~ /contract/ && best) {
                    for (i = from; i < to; i++) {
                        op = ins[i]
                        if (op ~ /^LDSM/) c["sm"]++
                        else if (op ~ /^LDS/) c[wide(op) ? "s128" : "s"]++
                        else if (op ~ /^LDG/) c[wide(op) ? "g128" : "g"]++
                    }
                    printf "%-7s %-6s %5d %9d %5.0f%% %8d %4d %4d %8d %4d %6d  %s\n", target, factor, to - from,
                        best, 100 * best / (to - from), c["s128"], c["sm"], c["s"], c["g128"], c["g"], local, name
                    bad = bad || local
                }
                n = products = best = local = 0
                delete at
            }
            /^\.text\./ { kernel(); name = substr($1, 7); sub(/:$/, "", name) }
            /^\.L_x_[0-9]+:/ { split($1, a, ":"); at[a[1]] = n }
            /^ +\/\*[0-9a-f]+\*\// {
                op = $2
                if (op ~ /^@/) op = $3
                sub(/;$/, "", op)
                if (op ~ /^(FFMA|HMMA)/) products++
                if (op ~ /^(LDL|STL)/) local++
                ins[n] = op
                sum[n++] = products
                if (op ~ /^BRA/ && match($0, /\.L_x_[0-9]+/)) {
                    l = substr($0, RSTART, RLENGTH)
                    if (l in at && products - sum[at[l]] > best) {
                        best = products - sum[at[l]]
                        from = at[l]
                        to = n
                    }
                }
            }
            END { kernel(); exit bad }' "$work/k.sass" || status=1
    done
done
exit $status
