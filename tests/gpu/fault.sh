# A label that is no class stops the run with the model's line, on the software GPU as on the CPU, although
# other threads of the warp wait for the one that found it; the simulator has nothing to report.
set -e
cat >"$TMP/bad.nn" <<'N'
use std
dataset d { x: u8 from bytes("x"); y: u8 from bytes("y") }
model M(x: u8[b]) -> f32[b, 4] {
  e = Embedding(256, 8)
  fc = Linear(4)
  return fc(e(x))
}
train M on d { batch = 40; steps = 4; seed = 1; loss = cross_entropy(M(x), i32(y) % 6); optimizer = SGD(lr = 0.1) }
N
i=0
while [ $i -lt 160 ]; do printf 'abcd'; i=$((i + 4)); done >"$TMP/x"
printf '\000\001\002\003%.0s' $(seq 20) >"$TMP/y"
printf '\005\001\002\003%.0s' $(seq 20) >>"$TMP/y"
for device in cpu sim:sm_75; do
    status=0
    "$NNC" train "$TMP/bad.nn" --data "$TMP" --quiet --no-shuffle --device $device --out "$TMP/out" 2>"$TMP/err" || status=$?
    cat "$TMP/err"
    [ $status = 1 ]
    grep -q '^nnc: step 3: .*: index 5 is out of range$' "$TMP/err"
    [ "$(wc -l <"$TMP/err")" = 1 ]
    [ "$(grep -c '"event":"step"' "$TMP/out/log.jsonl")" = 2 ]
done
