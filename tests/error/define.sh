# -D of a name that is no constant: what was meant.
set -eu
status=0
"$NNC" check "$SOURCE/examples/mnist/mlp.nn" -D hiden=64 2>"$TMP/said" || status=$?
cat "$TMP/said"
[ "$status" = 1 ]
grep -q 'did you mean `hidden`' "$TMP/said"
