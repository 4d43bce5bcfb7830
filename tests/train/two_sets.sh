# Two data sets whose test splits differ in length: a figure of one is of all its samples, a figure of both of as many
# as the smaller has, as the run says. One that reads no field works with a short last batch too.
set -eu
cat >"$TMP/two.nn" <<'N'
use std
dataset a { x: u8 from bytes("a"); test { x from bytes("at") } }
dataset b { x: u8 from bytes("b"); test { x from bytes("bt") } }
model M(x: u8[n]) -> f32[n] { param w: f32 = 1; return f32(x) * w }
train M on a, b {
  batch = 4; steps = 2
  loss = mean(M(a.x)) - mean(M(b.x))
  metric ma = mean(a.x)
  metric mb = mean(b.x)
  metric vb = var(b.x)
  metric both = mean(f32(a.x) * b.x)
  metric none = sum(ones(batch)) + 0 * max(random_uniform(batch))
  optimizer = SGD(0)
}
N
printf '\001\002\003\004\005' >"$TMP/at"
printf '\001\002\003\004\005\006\016' >"$TMP/bt"
printf '\001\002\003\004\005\006\007\010' | tee "$TMP/a" >"$TMP/b"
"$NNC" train "$TMP/two.nn" --out "$TMP/o" >"$TMP/said"
cat "$TMP/said"
grep -q '^test: 5 samples of a, 7 of b; what reads several is measured on the first 5$' "$TMP/said"
"$NNC" eval "$TMP/two.nn" --weights "$TMP/o/last.safetensors" --json | tee "$TMP/json"
grep -q '"loss":0,"ma":3,"mb":5,"vb":1\(6\|5.99999\)[0-9.]*,"both":11,"none":5,"samples":{"a":5,"b":7}}' "$TMP/json"
# A share belongs to its own data set.
sed 's/test { x from bytes("at") }/test = 0.25/' "$TMP/two.nn" >"$TMP/share.nn"
"$NNC" eval "$TMP/share.nn" --weights "$TMP/o/last.safetensors" --json | tee "$TMP/json"
grep -q '"samples":{"a":2,"b":7}}' "$TMP/json"
