# --check-nan names the operator on the software GPU as on the CPU, and a run that ends in NaN leaves what
# was saved before.
set -e
cat >"$TMP/nan.nn" <<'N'
use std
dataset d { x: u8 from bytes("x"); y: u8 from bytes("y") }
model M(x: u8[b]) -> f32[b, 4] {
  e = Embedding(256, 8)
  fc = Linear(4)
  h = sqrt(f32(x) - 98)
  return fc(e(x)) * unsqueeze(h, 1)
}
train M on d { batch = 20; steps = 6; seed = 1; loss = cross_entropy(M(x), i32(y)); optimizer = SGD(lr = 0.1) }
N
i=0
while [ $i -lt 80 ]; do printf 'bcde'; i=$((i + 4)); done >"$TMP/x"
i=0
while [ $i -lt 40 ]; do printf 'abcd'; i=$((i + 4)); done >>"$TMP/x"
printf '\000\001\002\003%.0s' $(seq 30) >"$TMP/y"
for device in cpu sim:sm_75; do
    status=0
    "$NNC" train "$TMP/nan.nn" --data "$TMP" --quiet --no-shuffle --check-nan --device $device --out "$TMP/out" 2>"$TMP/err" || status=$?
    cat "$TMP/err"
    [ $status = 1 ]
    grep -q '^nnc: step 5: .*nan.nn:6: .*: the first result that is not a number (NaN)$' "$TMP/err"
    status=0
    "$NNC" train "$TMP/nan.nn" --data "$TMP" --quiet --no-shuffle --device $device --out "$TMP/out" 2>"$TMP/err" || status=$?
    cat "$TMP/err"
    [ $status = 1 ]
    grep -q '^nnc: loss is NaN at step 5 ' "$TMP/err"
done
