# One and two threads, or a second run, end in the same bytes; the log says what its page promises.
set -e
nnc_train() { "$NNC" train "$SOURCE/tests/train/small.nn" --data "$SOURCE/examples/mnist/data" "$@"; }
nnc_train --quiet --threads 1 --out "$TMP/a" >"$TMP/quiet"
[ ! -s "$TMP/quiet" ]
nnc_train --threads 2 --out "$TMP/b" >"$TMP/lines"
for f in last best state; do cmp "$TMP/a/$f.safetensors" "$TMP/b/$f.safetensors"; done
[ "$(grep -c '"event":"step"' "$TMP/b/log.jsonl")" = 150 ]
grep -q '"event":"eval","epoch":1,"step":40,.*"test":{"loss":.*,"accuracy":' "$TMP/b/log.jsonl"
grep -q '^{"event":"done","epoch":2,"step":150,"best":0.9' "$TMP/b/log.jsonl"
grep -q '^MLP: [0-9]* parameters' "$TMP/lines"
