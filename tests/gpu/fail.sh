# Whatever call of the driver fails in a training: status 3 and one message, or nothing (a call that closes
# something); a state that was saved before stays whole, and the run goes on from it.
set -e
sed 's/^  steps .*/  steps = 8/; s/^  save .*/  save = 2/; s/^  batch .*/  batch = 8/; /^  test {/,/^  }/d
     /^  evaluate/d; /^  best/d' "$SOURCE/tests/train/small.nn" >"$TMP/small.nn"
run() { "$NNC" train "$TMP/small.nn" --data "$SOURCE/examples/mnist/data" --device sim:sm_75 --quiet "$@"; }
run --out "$TMP/whole"
failed=0
mkdir "$TMP/out"
for n in 1 5 13 18 25 29 42 55 70 89 110 144 200; do
    status=0
    NN_SIM_FAIL=$n run --resume "$TMP/out" 2>"$TMP/err" >"$TMP/lines" || status=$?
    case $status in
    0) ;;
    3)
        failed=$((failed + 1))
        grep -q '^nnc: .*the software GPU: cu[A-Za-z0-9]* fails with CUDA_ERROR_' "$TMP/err" || { cat "$TMP/err"; exit 1; } ;;
    *)
        echo "call $n failing: status $status"
        cat "$TMP/err"
        exit 1 ;;
    esac
done
[ $failed -ge 9 ]
run --resume "$TMP/out"
for f in last best state; do cmp "$TMP/whole/$f.safetensors" "$TMP/out/$f.safetensors"; done
