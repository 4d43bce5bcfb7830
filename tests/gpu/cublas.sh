# Products that nothing is fused with go to cuBLAS (the software GPU has its entry points), within the
# captured step: the gradients stay the CPU's.
set -e
sed '/^  test {/,/^  }/d' "$SOURCE/examples/mnist/mlp.nn" >"$TMP/mlp.nn"
run() { # OUT ARGS
    out=$1
    shift
    "$NNC" train "$TMP/mlp.nn" --data "$SOURCE/examples/mnist/data" -D hidden=64 --batch 16 --steps 2 --quiet --out "$TMP/$out" "$@"
}
run cpu --device cpu
run sim --device sim:sm_75 --policy none --gemm cublas
"$TOOL" near 1e-5 .exp_avg "$TMP/cpu/state.safetensors" "$TMP/sim/state.safetensors"
"$NNC" bench "$TMP/mlp.nn" --device sim:sm_75 --policy none --gemm cublas -D hidden=64 --batch 16 --kernels >"$TMP/list"
[ "$(grep -c ' cuBLAS ' "$TMP/list")" = 5 ] || { cat "$TMP/list"; exit 1; }
