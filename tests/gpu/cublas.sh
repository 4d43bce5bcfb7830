# Training steps with --gemm cublas: every product goes to cuBLAS (the software GPU has its entry points),
# within the captured step, with what its epilogue holds; the gradients stay the CPU's. In a small GPT only
# attention keeps kernels of its own; with no fusion its products are calls too.
set -e
sed '/^  test {/,/^  }/d' "$SOURCE/examples/mnist/mlp.nn" >"$TMP/mlp.nn"
sed "s/^  batch .*/  batch = 16\n  precision = bf16/" "$TMP/mlp.nn" >"$TMP/half.nn"
head -c 20000 "$SOURCE/docs/language.md" >"$TMP/input.txt"
sed 's/layers: int = 4/layers: int = 1/; s/d: int = 128/d: int = 32/; s/^const context = 128/const context = 16/
     /^  test = /d' "$SOURCE/examples/gpt/char.nn" >"$TMP/char.nn"
D=$SOURCE/examples/mnist/data
cpu() { # NAME ARGS
    name=$1
    shift
    "$NNC" train "$TMP/$name.nn" --quiet --device cpu --out "$TMP/$name" "$@"
}
sim() { # BOUND ARGS: the same, compared
    bound=$1
    shift
    "$NNC" train "$TMP/$name.nn" --quiet --device sim:sm_80 --gemm cublas --out "$TMP/sim" "$@"
    "$TOOL" near "$bound" .exp_avg "$TMP/$name/state.safetensors" "$TMP/sim/state.safetensors"
    rm -r "$TMP/sim"
}
calls() { # NUMBER ARGS: of cuBLAS in a step; no product is left
    want=$1
    shift
    "$NNC" bench "$TMP/$name.nn" --device sim:sm_80 --gemm cublas --kernels "$@" >"$TMP/list"
    [ "$(grep -c ' cuBLAS ' "$TMP/list")" = "$want" ] || { cat "$TMP/list"; exit 1; }
    ! grep _contract "$TMP/list" || exit 1
}
cpu mlp -D hidden=64 --batch 16 --steps 3 --data "$D"
sim 1e-5 -D hidden=64 --batch 16 --steps 3 --data "$D"
calls 5 -D hidden=64 --batch 16
cpu half -D hidden=64 --steps 1 --data "$D"
sim 1e-2 -D hidden=64 --steps 1 --data "$D"
cpu char --batch 4 --steps 2 --data "$TMP"
sim 1e-5 --batch 4 --steps 2 --data "$TMP"
calls 15 --batch 4
sim 1e-5 --batch 4 --steps 2 --data "$TMP" --policy none
calls 21 --batch 4 --policy none
