# Calls that are nested too deep say so, and do not speak of recursion; a model whose configuration has no value is
# named by `nnc check`, and refused by `nnc run`.
set -eu
{
    echo 'fn f0(x: T[n]) -> T[n] = x'
    i=1
    while [ $i -lt 250 ]; do
        echo "fn f$i(x: T[n]) -> T[n] = f$((i - 1))(x)"
        i=$((i + 1))
    done
    echo 'model M(x: f32[n]) -> f32[n] = f249(x)'
} >"$TMP/deep.nn"
! "$NNC" check "$TMP/deep.nn" 2>"$TMP/said"
cat "$TMP/said"
grep -q 'error: `f50` is called within 200 other calls, which is the most' "$TMP/said"
echo 'model M(k: int)(x: f32[n]) -> f32[n] = x * k' >"$TMP/open.nn"
"$NNC" check "$TMP/open.nn" 2>"$TMP/said"
cat "$TMP/said"
grep -q 'open.nn:1:7: warning: the model M is not checked: `k` has no value' "$TMP/said"
! "$NNC" run "$TMP/open.nn" --input x=x.npy --output y.npy 2>"$TMP/said"
cat "$TMP/said"
grep -q 'open.nn:1:7: error: the model M needs a value for `k`: give it with -D k=' "$TMP/said"
[ "$(grep -c error "$TMP/said")" = 1 ]
