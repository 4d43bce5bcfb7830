#!/bin/sh
# What ptxas makes of every kernel of the examples: bench/ptxas.sh [NNC [TARGET...]]
# A line a kernel: registers, bytes of static shared memory, bytes spilled, tensor core instructions in the
# PTX, its name; then sums. Of kernels with the same code (layers that repeat) the first stands for all.
# FILES="a.nn b.nn": of these instead; PRECISION="f32 tf32 bf16 f16": of each file's training step in each;
# DEFINES="-D head=128": with these. ptxas is looked for in PATH, CUDA_HOME and /usr/local/cuda; exit 77:
# there is none.
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

# The module without entries whose text, but for names and lines, stood before.
distinct() {
    awk '
        function end() {
            if (!(body in seen)) printf "%s", text
            seen[body] = 1
            text = body = ""
        }
        /^\.visible \.entry/ { end(); name = substr($3, 1, length($3) - 1) }
        {
            text = text $0 "\n"
            line = $0
            if (name) gsub(name, "", line)
            gsub(/BB[0-9]+_/, "BB_", line)
            if (line !~ /\.loc|^\$L__(tmp|func)|^[\t ]*\/\//) body = body line "\n"
        }
        END { end() }' "$1"
}

# FILE GRAPH TARGET LABEL: $work/k.ptx of it; 1: none, 2: no such target.
emit() {
    # shellcheck disable=SC2086
    "$nnc" emit ptx "$1" ${DEFINES:-} --graph "$2" --target "$3" >"$work/all.ptx" 2>"$work/err" && {
        distinct "$work/all.ptx" >"$work/k.ptx"
        return 0
    }
    if grep -q "knows no $3" "$work/err"; then
        echo "$3 is left out: $(sed 's/.*: //' "$work/err")"
        return 2
    fi
    [ "$2" = forward ] || grep -q 'has no .train. block' "$work/err" || { cat "$work/err"; status=1; }
    return 1
}

# TARGET LABEL: the table of $work/k.ptx.
table() {
    ptxas -v -arch="$1" "$work/k.ptx" -o /dev/null >"$work/said" 2>&1 || { cat "$work/said"; status=1; return; }
    awk -v file="$2" -v target="$1" '
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
}

for target; do
    for file in ${FILES:-examples/*/*.nn bench/models/*.nn}; do
        for precision in ${PRECISION:-own}; do
            source=$file
            if [ "$precision" != own ]; then
                source=$work/${file##*/}
                sed "/^  precision *=/d; /^train /s/\$/\n  precision = $precision/" "$file" >"$source"
            fi
            for graph in step forward; do
                [ "$precision$graph" = ownforward ] || [ "$graph" = step ] || continue
                emit "$source" "$graph" "$target"
                case $? in
                0) table "$target" "$file${PRECISION:+ $precision} $graph" ;;
                2) continue 4 ;;
                esac
            done
        done
    done
done
exit $status
