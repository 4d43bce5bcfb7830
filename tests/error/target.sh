# A level that this processor does not run is refused before anything is compiled, by every command that computes.
cd "$TMP" || exit 1
cat >m.nn <<'END'
use std
model M(x: f32[batch, 4]) -> f32[batch, 2] = Linear(2)(x)
dataset d {
  x: f32[4] from npy("x.npy")
  y: i32 from npy("y.npy")
}
train M on d {
  batch = 8
  steps = 1
  loss = cross_entropy(M(x), y)
  optimizer = SGD(0.1)
}
END
for level in aarch64 x86-64 x86-64-v4; do
    "$NNC" devices | grep -q "^cpu *$level," && continue
    [ $level = x86-64 ] && "$NNC" devices | grep -q "^cpu *x86-64" && continue
    for command in "train --out o" "eval --weights w" "bench" "grad --weights w --input x=x.npy --output-dir g" "sample --weights w --prompt a" \
        "run --weights w --input x.npy --output y.npy"; do
        # shellcheck disable=SC2086
        "$NNC" ${command%% *} m.nn --target $level $(expr "$command" : '[a-z]* *\(.*\)') 2>err
        status=$?
        [ $status = 1 ] && grep -q -- "--target $level does not run here: this processor runs " err && continue
        echo "$command --target $level: status $status"
        cat err
        exit 1
    done
    [ $level != aarch64 ] || continue
    "$NNC" emit asm m.nn --target $level >asm || exit 1 # that is no running
done
