# PTX of a whole training step: every launch has its entry, and names are what PTX allows.
set -e
for target in sm_75 sm_80 sm_90a; do
    "$NNC" emit ptx "$SOURCE/examples/mnist/mlp.nn" --target $target >"$TMP/$target.ptx"
    grep -q "^\.target $target" "$TMP/$target.ptx"
    [ "$(grep -c '\.visible \.entry [A-Za-z0-9_]*_p[0-9]*(' "$TMP/$target.ptx")" -ge 10 ]
    grep -q 'ld\.global\.nc\.v4' "$TMP/$target.ptx"
    [ "$(grep -c '\.visible \.entry' "$TMP/$target.ptx")" = "$(grep -c '\.reqntid' "$TMP/$target.ptx")" ]
done
# Lines of the model, and only the directives: a debugging section would make ptxas de-optimise.
line=$(grep -n 'return fc2' "$SOURCE/examples/mnist/mlp.nn" | cut -d: -f1)
grep -q "^[[:space:]]\.loc[[:space:]]1 $line " "$TMP/sm_80.ptx"
grep -q '\.file.*mlp\.nn"' "$TMP/sm_80.ptx"
if grep -q 'target.*debug\|debug_info' "$TMP/sm_80.ptx"; then exit 1; fi
wrong() { # TARGET TEXT
    status=0
    "$NNC" emit ptx "$SOURCE/examples/mnist/mlp.nn" --target "$1" 2>"$TMP/err" || status=$?
    [ $status = 2 ] && grep -q "$2" "$TMP/err" || { cat "$TMP/err"; exit 1; }
}
wrong x86-64 'x86-64 has no PTX'
wrong sm_70 'unknown target sm_70'
