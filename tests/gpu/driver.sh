# The way of a real driver, with the software GPU standing in for it as libcuda.so.1: --device cuda and the
# default find it; ptxas's machine code (where it is installed) is refused and the PTX taken; cuBLAS is
# opened by its own name. The bytes are those of --device sim.
set -e
standin=$(dirname "$NNC")/nncsim
sed '/^  test {/,/^  }/d' "$SOURCE/examples/mnist/mlp.nn" >"$TMP/mlp.nn"
run() { # OUT ARGS
    out=$1
    shift
    "$NNC" train "$TMP/mlp.nn" --data "$SOURCE/examples/mnist/data" -D hidden=32 --batch 8 --steps 2 --quiet --out "$TMP/$out" "$@"
}
run sim --device sim
run blas.sim --device sim --policy none --gemm cublas
export LD_LIBRARY_PATH="$standin"
run cuda --device cuda:0 --gemm own
run auto --gemm own
run blas --device cuda --policy none --gemm cublas
for other in cuda auto; do cmp "$TMP/sim/state.safetensors" "$TMP/$other/state.safetensors"; done
cmp "$TMP/blas.sim/state.safetensors" "$TMP/blas/state.safetensors"
"$NNC" devices >"$TMP/list"
grep -q '^cuda:0  nncsim sm_80, sm_80, ' "$TMP/list"
status=0
run none --device cuda:7 2>"$TMP/err" || status=$?
[ $status = 3 ]
grep -q '^nnc: there is no GPU 7: 1 is found$' "$TMP/err"
