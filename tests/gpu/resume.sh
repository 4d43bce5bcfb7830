# On the software GPU, as on a CPU: a run killed, or told to stop while a step is under way, and resumed, and
# one with one worker, end in the same bytes as one that was neither; dropout, running statistics and an
# evaluation in between included.
set -e
sed 's/^  steps .*/  steps = 24/; s/^  save .*/  save = 4/; s/^  evaluate .*/  evaluate = 12/; s/^  batch .*/  batch = 16/
     /^  test {/,/^  }/d; /^dataset mnist {/a\  test = 0.01' "$SOURCE/tests/train/small.nn" >"$TMP/small.nn"
run="train $TMP/small.nn --data $SOURCE/examples/mnist/data --device sim --quiet"
"$NNC" $run --out "$TMP/a"
NN_SIM_WORKERS=1 "$NNC" $run --out "$TMP/c"
mkdir "$TMP/b"
: >"$TMP/b/log.jsonl"
for stop in "3 KILL" "8 TERM" "13 KILL"; do
    lines=${stop% *} signal=${stop#* }
    "$NNC" $run --resume "$TMP/b" &
    pid=$!
    while kill -0 $pid 2>"$TMP/err" && [ "$(wc -l <"$TMP/b/log.jsonl")" -lt $lines ]; do sleep 0.01; done
    kill -$signal $pid 2>"$TMP/err" || :
    status=0
    wait $pid 2>"$TMP/err" || status=$?
    case $signal$status in KILL137 | TERM130 | *0) ;; *) echo "status $status"; exit 1 ;; esac
done
"$NNC" $run --resume "$TMP/b"
for other in b c; do
    for f in last best state; do cmp "$TMP/a/$f.safetensors" "$TMP/$other/$f.safetensors"; done
done
sed 's/,"seconds".*//' "$TMP/a/log.jsonl" >"$TMP/one"
sed 's/,"seconds".*//' "$TMP/b/log.jsonl" | cmp - "$TMP/one"
