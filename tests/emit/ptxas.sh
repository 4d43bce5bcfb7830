# ptxas takes every kernel of training steps, no kernel of f32 spills, tensor cores are used where asked.
sed 's/^  seed .*/&\n  precision = bf16/' "$SOURCE/examples/gpt/char.nn" >"$TMP/bf16.nn"
cd "$SOURCE" || exit 1
run() { # FILES TARGET...
    FILES=$1
    export FILES
    shift
    sh bench/ptxas.sh "$NNC" "$@" >"$TMP/table" 2>&1
    status=$?
    if [ $status != 0 ]; then
        cat "$TMP/table"
        exit $status
    fi
}
run "examples/mnist/mlp.nn" sm_75 sm_90a sm_100a # the last where LLVM knows it
run "$TMP/bf16.nn" sm_80
awk '/kernels,/ && $(NF - 3) < 100 { print; bad = 1 } END { exit bad }' "$TMP/table"
