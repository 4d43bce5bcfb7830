# Two models in one train block: losses by name, weights by instance, one of them run alone, --init NAME=W.
set -eu
cat >"$TMP/gan.nn" <<'N'
use std
model G(z: f32[n, 4]) -> f32[n, 6] { net = [Linear(8), relu, Linear(6)]; return net(z) }
model D(x: f32[n, 6]) -> f32[n] { net = [Linear(8), relu, Linear(1)]; return net(x).reshape(n) }
dataset d { x: f32[6] from npy("x.npy") }
train G, D on d {
  batch = 8
  steps = 12
  fake = G(random_normal(batch, 4))
  loss[D] = bce_with_logits(D(x), 1) + bce_with_logits(D(fake), 0)
  loss[G, every = 2] = bce_with_logits(D(fake), 1)
  optimizer = Adam(1e-3, beta1 = 0.5)
}
N
cat >"$TMP/z.nn" <<'N'
model Z(x: f32[n, 6]) -> f32[n, 6] = x
N
header="{'descr': '<f4', 'fortran_order': False, 'shape': (16, 6), }"
{ printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; head -c 384 /dev/zero; } >"$TMP/x.npy"
header="{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
{ printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; head -c 48 /dev/zero; } >"$TMP/z.npy"
"$NNC" train "$TMP/gan.nn" --quiet --out "$TMP/o"
grep -q '"event":"step","step":12,.*"loss":{"D":[0-9.]*,"G":[0-9.]*}' "$TMP/o/log.jsonl"
"$NNC" run "$TMP/gan.nn" --model G --weights "$TMP/o/last.safetensors" --input "z=$TMP/z.npy" --output "$TMP/y.npy"
[ "$(wc -c <"$TMP/y.npy")" = $((128 + 3 * 6 * 4)) ]
"$NNC" train "$TMP/gan.nn" --quiet --steps 1 --init "$TMP/o/last.safetensors"  --out "$TMP/p"
# Outputs of both: what each was called for last.
"$NNC" grad "$TMP/gan.nn" --weights "$TMP/o/last.safetensors" --input "$TMP/x.npy" --output-dir "$TMP/g"
[ "$(cd "$TMP/g" && echo *.npy)" = "D.output.npy loss.D.npy loss.G.npy output.npy" ]
[ "$(wc -c <"$TMP/g/output.npy")" = $((128 + 16 * 6 * 4)) ]
[ "$(wc -c <"$TMP/g/D.output.npy")" = $((128 + 16 * 4)) ]
