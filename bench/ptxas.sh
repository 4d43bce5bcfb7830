#!/bin/sh
# What ptxas makes of every kernel of the examples: bench/ptxas.sh [NNC [TARGET...]]
# A line a kernel: registers, bytes of static shared memory, bytes spilled, tensor core instructions in the
# PTX, its name; then sums. FILES="a.nn b.nn": of these instead. ptxas is looked for in PATH, CUDA_HOME and
# /usr/local/cuda; exit 77: there is none.
# Exit 1: ptxas refuses a kernel, or a kernel without f64 spills. A target that LLVM does not know is left out.
set -u
cd "$(dirname "$0")/.." || exit 1
nnc=${1:-build/nnc}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- sm_75 sm_80 sm_86 sm_89 sm_90a sm_100a
PATH=$PATH:${CUDA_HOME:+$CUDA_HOME/bin:}/usr/local/cuda/bin
command -v ptxas >/dev/null || { echo "no ptxas in PATH, CUDA_HOME or /usr/local/cuda/bin"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0
for target; do
    for file in ${FILES:-examples/*/*.nn bench/models/*.nn}; do
        for graph in step forward; do
            "$nnc" emit ptx "$file" --graph "$graph" --target "$target" >"$work/k.ptx" 2>"$work/err" || {
                if grep -q "knows no $target" "$work/err"; then
                    echo "$target is left out: $(sed 's/.*: //' "$work/err")"
                    continue 3
                fi
                [ "$graph" = forward ] || grep -q 'has no .train. block' "$work/err" || { cat "$work/err"; status=1; }
                continue
            }
            if ! ptxas -v -arch="$target" "$work/k.ptx" -o /dev/null >"$work/said" 2>&1; then
                cat "$work/said"
                status=1
                continue
            fi
            awk -v file="$file $graph" -v target="$target" '
                FNR == NR {
                    if (match($0, /\.entry [A-Za-z0-9_]+/)) k = substr($0, RSTART + 7, RLENGTH - 7)
                    if (/mma\.sync/) mma[k]++
                    if (/\.reg \.f64|%fd/) wide[k] = 1
                    next
                }
                match($0, /function .[A-Za-z0-9_]+. for/) { k = substr($0, RSTART + 10, RLENGTH - 15) }
                / bytes spill stores/ { spill = $5 }
                /Used [0-9]+ registers/ {
                    match($0, /Used [0-9]+/); regs = substr($0, RSTART + 5, RLENGTH - 5) + 0
                    smem = 0
                    if (match($0, /[0-9]+ bytes smem/)) smem = substr($0, RSTART, RLENGTH - 11)
                    printf "%-7s %4d %6d %4d %4d  %s\n", target, regs, smem, spill, mma[k], k
                    n++; r += regs; t += mma[k]; if (regs > most) most = regs
                    if (spill > 0) { s += spill; if (!wide[k]) bad = 1 }
                }
                END {
                    printf "%-7s %s: %d kernels, %.0f registers on average, %d at most, %d bytes spilled, %d tensor core instructions\n",
                        target, file, n, n ? r / n : 0, most, s, t
                    exit bad
                }' "$work/k.ptx" "$work/said" || status=1
        done
    done
done
exit $status
