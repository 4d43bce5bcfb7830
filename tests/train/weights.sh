# eval gives what the log says of the best; weights of another model are refused by name.
set -e
M=$SOURCE/tests/train/small.nn D=$SOURCE/examples/mnist/data
"$NNC" train "$M" --data "$D" --quiet --out "$TMP/a"
best=$(sed -n 's/^{"event":"done".*"best":\([0-9.]*\),.*/\1/p' "$TMP/a/log.jsonl")
"$NNC" eval "$M" --data "$D" --weights "$TMP/a/best.safetensors" --json >"$TMP/json"
grep -q "^{\"test\":{\"loss\":[0-9.]*,\"accuracy\":$best,\"samples\":1000}}\$" "$TMP/json"
"$NNC" eval "$M" --data "$D" --weights "$TMP/a/best.safetensors" --batch 7 --json | cut -c 1-16 >"$TMP/other"
cut -c 1-16 "$TMP/json" | cmp - "$TMP/other"
! "$NNC" eval "$M" -D hidden=25 --data "$D" --weights "$TMP/a/best.safetensors" 2>"$TMP/err"
grep -q 'does not belong to this model: .*fc1.weight is f32\[24, 784\], the model has f32\[25, 784\]' "$TMP/err"
! "$NNC" train "$M" -D hidden=25 --data "$D" --resume "$TMP/a" 2>"$TMP/err"
grep -q 'a/state.safetensors does not belong to this model' "$TMP/err"
