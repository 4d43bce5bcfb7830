# A run killed three times, and resumed, ends in the bytes of one that was not.
set -e
run="train $SOURCE/tests/train/small.nn --data $SOURCE/examples/mnist/data --quiet"
"$NNC" $run --out "$TMP/a"
mkdir "$TMP/b"
: >"$TMP/b/log.jsonl"
for lines in 7 45 100; do
    "$NNC" $run --resume "$TMP/b" &
    pid=$!
    while kill -0 $pid 2>"$TMP/err" && [ "$(wc -l <"$TMP/b/log.jsonl")" -lt $lines ]; do sleep 0.01; done
    kill -KILL $pid
    wait $pid || [ $? = 137 ]
done
"$NNC" $run --resume "$TMP/b"
for f in last best state; do cmp "$TMP/a/$f.safetensors" "$TMP/b/$f.safetensors"; done
sed 's/,"seconds".*//' "$TMP/a/log.jsonl" >"$TMP/one"
sed 's/,"seconds".*//' "$TMP/b/log.jsonl" | cmp - "$TMP/one"
