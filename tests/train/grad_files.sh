# `nnc grad`'s files: outputs by number, also where the model names them; a single named loss is loss.npy too; a field's own
# name is enough where only one dataset has it.
set -eu
cat >"$TMP/m.nn" <<'N'
dataset a { x: f32[4] from npy("x.npy") }
dataset b { y: f32[4] from npy("x.npy") }
model M(x: f32[n, 4]) -> (mu: f32[n, 4], var: f32[n, 4]) { param w: f32 = 1; return x * w, x + w }
train M on a, b {
  batch = 2; steps = 2
  mu, var = M(a.x)
  loss[M] = mean((mu - b.y)**2) + mean(var)
  optimizer = SGD(0.1)
}
N
sed -i '1i use std' "$TMP/m.nn"
header="{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }"
{ printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; head -c 32 /dev/zero; } >"$TMP/x.npy"
"$NNC" train "$TMP/m.nn" --quiet --out "$TMP/o"
for x in x a.x; do
    rm -rf "$TMP/g"
    "$NNC" grad "$TMP/m.nn" --weights "$TMP/o/last.safetensors" --input "$x=$TMP/x.npy" --input "y=$TMP/x.npy" --output-dir "$TMP/g"
    [ "$(cd "$TMP/g" && echo *.npy)" = "loss.M.npy loss.npy output.0.npy output.1.npy" ]
    cmp "$TMP/g/loss.npy" "$TMP/g/loss.M.npy"
done
# A name that both have is not enough.
sed -i 's/y: f32/x: f32/; s/b\.y/b.x/' "$TMP/m.nn"
if "$NNC" grad "$TMP/m.nn" --weights "$TMP/o/last.safetensors" --input "x=$TMP/x.npy" --output-dir "$TMP/g" 2>"$TMP/err"; then exit 1; fi
cat "$TMP/err"
grep -q 'input x: no input has this name' "$TMP/err"
