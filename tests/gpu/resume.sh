# On the software GPU, as on a CPU: a run killed and resumed, one with one worker, end in the same bytes as
# one that was neither; dropout, running statistics and an evaluation in between included.
set -e
sed 's/^  steps .*/  steps = 24/; s/^  save .*/  save = 4/; s/^  evaluate .*/  evaluate = 12/; s/^  batch .*/  batch = 16/
     /^  test {/,/^  }/d; /^dataset mnist {/a\  test = 0.01' "$SOURCE/tests/train/small.nn" >"$TMP/small.nn"
run="train $TMP/small.nn --data $SOURCE/examples/mnist/data --device sim --quiet"
"$NNC" $run --out "$TMP/a"
NN_SIM_WORKERS=1 "$NNC" $run --out "$TMP/c"
mkdir "$TMP/b"
: >"$TMP/b/log.jsonl"
for lines in 3 11; do
    "$NNC" $run --resume "$TMP/b" &
    pid=$!
    while kill -0 $pid 2>"$TMP/err" && [ "$(wc -l <"$TMP/b/log.jsonl")" -lt $lines ]; do sleep 0.01; done
    kill -KILL $pid 2>"$TMP/err" || :
    wait $pid || [ $? = 137 ]
done
"$NNC" $run --resume "$TMP/b"
for other in b c; do
    for f in last best state; do cmp "$TMP/a/$f.safetensors" "$TMP/$other/$f.safetensors"; done
done
sed 's/,"seconds".*//' "$TMP/a/log.jsonl" >"$TMP/one"
sed 's/,"seconds".*//' "$TMP/b/log.jsonl" | cmp - "$TMP/one"
