# Of a band of scores each of attention's kernels goes over the tiles that the band touches, by the software
# GPU's counters: 22 of 64 (15 where it is causal), beside what a block of rows takes by itself. Left out on one
# side only they would be 42. Gradients are the CPU's.
set -e
{
    printf "\223NUMPY\001\000\166\000"
    printf "%-117s\n" "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }"
    head -c 32 /dev/zero
} >"$TMP/x.npy"
run() { # NAME CONDITION
    cat >"$TMP/$1.nn" <<END
use std
dataset d {
  x: f32[4] from npy("x.npy")
}
model M(x: f32[n, 4]) -> f32 {
  param q: f32[1, 1, 512, 16] = normal(1)
  param k: f32[1, 1, 512, 16] = normal(1)
  param v: f32[1, 1, 512, 16] = normal(1)
  s = q @ k.T / 4
  w = softmax([b, h, i, j: where($2, s[b, h, i, j], -inf)])
  return mean(silu(1.3 * (w @ v))) + 0 * mean(x)
}
train M on d { batch = 2; steps = 1; loss = M(x); optimizer = SGD(0.1, momentum = 0.9) }
END
    NN_SIM_COUNTERS=1 NN_SIM_CHECK=0 "$NNC" train "$TMP/$1.nn" --data "$TMP" --quiet --out "$TMP/$1.sim" \
        --device sim:sm_80 2>"$TMP/$1.counters"
    sed -n 's/.*chain_p0: .* s, \([0-9]*\) instructions.*/\1/p' "$TMP/$1.counters" >"$TMP/$1.work"
    [ "$(wc -l <"$TMP/$1.work")" = 3 ] || { cat "$TMP/$1.counters"; exit 1; }
}
run full 'abs(i - j) < 511'
run band 'abs(i - j) < 32'
run window 'j <= i and j > i - 32'
at_most() { # PERCENT NAME: of the work of all scores, in each kernel
    paste "$TMP/$2.work" "$TMP/full.work" | awk -v most="$1" '$1 * 100 > most * $2 { print; bad = 1 } END { exit bad }' ||
        { echo "$2: more than $1 %"; exit 1; }
}
at_most 50 band
at_most 40 window
for name in band window; do
    "$NNC" train "$TMP/$name.nn" --data "$TMP" --quiet --out "$TMP/$name.cpu" --device cpu
    "$TOOL" near 1e-5 momentum "$TMP/$name.cpu/state.safetensors" "$TMP/$name.sim/state.safetensors"
done
