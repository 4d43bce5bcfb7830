# What `nnc build --kernels` refuses, in words.
cat >"$TMP/k.nn" <<'END'
use std
export fn rows(x: T[...s, n], eps: float) -> T[...s, n] = softmax(x * eps, -1)
export fn exp2(x: f32[4]) -> f32[4] = x
export fn count(x: i32[4]) -> i32[4] = x + 1
export fn wide(x: f32[m]) -> f32[m] = x
export fn noise(x: f32[4]) -> f32[4] = x + random_normal(4)
END
cat >"$TMP/none.nn" <<'END'
fn f(x: f32[4]) -> f32[4] = x
END
cat >"$TMP/list.nn" <<'END'
export fn f(x: f32[4]) = [x, "word"]
END
cat >"$TMP/clash.nn" <<'END'
export fn f(x: f32[4]) -> f32[4] = x * 2
export fn f_grad(x: f32[4]) -> f32[4] = x * 3
END
refuses() { # STATUS TEXT ARGUMENTS
    want=$1 text=$2
    shift 2
    "$NNC" build -o "$TMP/lib" "$@" >"$TMP/out" 2>"$TMP/err"
    status=$?
    if [ $status != "$want" ] || ! grep -qF -- "$text" "$TMP/err"; then
        echo "build $*: status $status, expected $want and: $text"
        cat "$TMP/err"
        exit 1
    fi
}
k=$TMP/k.nn
refuses 1 'k.nn:2:11: error: `rows` needs a value for `eps`, `s`, `n`' "$k" --kernels
refuses 1 'give it with -D eps=… -D s=[…] -D n=…, or with --instance rows:eps=…' "$k" --kernels
refuses 1 '`...s` is a list of sizes' "$k" --kernels --instance 'rows:eps=1,s=[2,-1],n=3'
refuses 1 'exports no `row`; did you mean `rows`?' "$k" --kernels --instance row:n=3
refuses 1 '`rows` has no `m` to set' "$k" --kernels --instance rows:eps=1,s=2,n=3,m=4
refuses 2 'NAME=VALUE is wanted, not `n`' "$k" --kernels --instance rows:n
refuses 2 'FUNCTION:k=v,… is wanted' "$k" --kernels --instance =rows:n=1
refuses 2 'two things would be called rows' "$k" --kernels --instance rows:eps=1,s=2,n=3 --instance rows:eps=1,s=2,n=4
refuses 2 'two things would be called f_grad' "$TMP/clash.nn" --kernels --with-gradient
refuses 2 'exp2 is a function of the C library: give it another name with --instance NAME=exp2' "$k" --kernels --instance exp2
refuses 1 '`count` has no gradient' "$k" --kernels --with-gradient --instance count
refuses 1 'draws no random numbers' "$k" --kernels --instance noise
refuses 1 'gives a tensor or several: `f` gives' "$TMP/list.nn" --kernels
refuses 1 'none.nn exports no function: write `export fn`' "$TMP/none.nn" --kernels
refuses 1 'its functions are built with --kernels' "$TMP/clash.nn"
refuses 2 'x86-64-v3 and x86-64 want a build each' "$TMP/clash.nn" --kernels --target x86-64,x86-64-v3
refuses 2 'no GPU is among the targets' "$TMP/clash.nn" --kernels --emit ptx
refuses 2 '--max is for models, not for --kernels' "$TMP/clash.nn" --kernels --max n=2
[ ! -e "$TMP/lib" ] || exit 1
"$NNC" build "$k" -o "$TMP/lib" --kernels --prefix own --instance exp2 --target x86-64,sm_80 --emit header,obj,asm || exit 1
grep -q "globl.own_exp2_stage" "$TMP/lib/own.s" && test -s "$TMP/lib/own.x86-64.o" || exit 1
grep -q 'void own_exp2(const float \*x, float \*out, void \*scratch);' "$TMP/lib/own.h" || exit 1
# One of integers beside others: they have their gradients, it has none, and a warning says so.
"$NNC" build "$k" -o "$TMP/grad" --kernels --with-gradient --prefix own --instance count --instance exp2 --target x86-64,sm_80 --emit header 2>"$TMP/err" || exit 1
grep -q 'warning: `count` has no gradient' "$TMP/err" && [ "$(grep -c warning "$TMP/err")" = 1 ] || exit 1
grep -q own_exp2_grad "$TMP/grad/own.h" && ! grep -q own_count_grad "$TMP/grad/own.h"
