# dropout(x, 1) is zeros with a gradient of zeros, not 0 * inf: the loss stays a number.
set -eu
sed 's/dropout(0.1)/dropout(1)/; s/= 150/= 6/' "$SOURCE/tests/train/small.nn" >"$TMP/all.nn"
grep -q 'dropout(1)' "$TMP/all.nn"
"$NNC" train "$TMP/all.nn" --data "$SOURCE/examples/mnist/data" --out "$TMP/out" >"$TMP/said" 2>&1 || { cat "$TMP/said"; exit 1; }
cat "$TMP/said"
grep -q 'loss [0-9]' "$TMP/said"
! grep -qi 'nan' "$TMP/said"
