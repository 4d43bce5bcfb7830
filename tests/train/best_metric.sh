# `best = -NAME` keeps the weights at which a metric is smallest; an `accumulate` that no update can come of and two lengths
# are refused.
set -eu
cat >"$TMP/m.nn" <<'N'
use std
dataset a { x: f32[4] from npy("x.npy"); test { x from npy("x.npy") } }
model M(x: f32[n, 4]) -> f32[n, 4] { param w: f32 = 1; return x + w }
train M on a {
  batch = 2; steps = 6; evaluate = 1; best = BEST
  loss = mean(M(x)**2)
  metric rise = 1 - mean(M(x))
  optimizer = SGD(0.1)
}
N
header="{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }"
{ printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; head -c 32 /dev/zero; } >"$TMP/x.npy"
for best in rise:6 -rise:1 -loss:6; do
    sed "s/BEST/${best%:*}/" "$TMP/m.nn" >"$TMP/n.nn"
    "$NNC" train "$TMP/n.nn" --quiet --out "$TMP/o"
    tail -n 1 "$TMP/o/log.jsonl" | tee "$TMP/last"
    grep -q "\"best_step\":${best#*:}," "$TMP/last"
done
sed 's/best = BEST/accumulate = 7/' "$TMP/m.nn" >"$TMP/n.nn"
if "$NNC" check "$TMP/n.nn" 2>"$TMP/err"; then exit 1; fi
grep -q 'n.nn:4:1: error: no update happens: `accumulate` is 7 and `steps` is 6' "$TMP/err"
status=0
"$NNC" train "$TMP/n.nn" --epochs 3 --steps 5 --out "$TMP/p" 2>"$TMP/err" || status=$?
[ $status = 2 ] && grep -q 'epochs and --steps are both given' "$TMP/err"
