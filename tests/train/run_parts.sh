# `nnc run`: --max compiles once for any size up to a bound; more samples, and many without --max, go in parts, where they
# stand by themselves. Whatever the parts, the outputs are the same bytes.
cd "$TMP" || exit 1
cat >m.nn <<'END'
use std
model M(x: u8[batch, 3], w: u8[3]) -> (y: i32[batch, 4], i32[3]) {
  y = i32(x) * i32(w)
  return concat([y, sum(y, 1, keep = true)], 1), 2 * i32(w)
}
model Mean(x: u8[batch, 3]) -> f32[batch, 3] = x - mean(f32(x), 0)
model Drawn(x: f32[batch, 4]) -> (y: f32[batch, 4], f32[batch, 3]) {
  z = x + random_uniform(batch, 4)
  return z + random_normal(2*batch, 2).reshape(batch, 4), f32(random_int(9, batch, 3)) + random_uniform() * random_uniform(3)
}
model Across(x: f32[batch, 4]) -> f32[batch, 4] = x + random_uniform(4, batch).T
model Square(x: f32[batch, seq, 4]) -> f32[batch, seq, 4] = x + random_uniform(batch*seq, 4).reshape(batch, seq, 4)
model Halves(x: u8[batch, 3]) -> u8[batch//2, 3] = x[::2][:batch//2]
model Turned(x: u8[seq, batch, 3]) -> u8[seq, batch, 3] = flip(x, 0)
model Pair(x: u8[batch, seq, 3]) -> u8[batch, seq, 3] = x
END
npy() { # FILE SHAPE BYTES
    header="{'descr': '|u1', 'fortran_order': False, 'shape': ($2), }"
    { printf '\223NUMPY\001\000\166\000%-117s\n' "$header"
      awk -v n="$3" 'BEGIN { for (i = 0; i < n; i++) printf "%c", 1 + i * 7 % 101 }'; } >"$1"
}
npy x.npy '150, 3' 450
npy x5.npy '5, 3' 15
npy w.npy '3,' 3
npy t.npy '6, 25, 3' 450
run() { "$NNC" run m.nn --model "$@" 2>err; }
refuses() { # STATUS TEXT ARGUMENTS
    want=$1 text=$2
    shift 2
    run "$@" --output none.npy
    got=$?
    [ $got = "$want" ] && grep -qF -- "$text" err && [ ! -e none.npy ] && return
    echo "run $*: status $got, expected $want and: $text"
    cat err
    exit 1
}
same() { cmp "$1.y.npy" "$2.y.npy" && cmp "$1.1.npy" "$2.1.npy" || exit 1; }
in="--input x=x.npy --input w=w.npy"
# shellcheck disable=SC2086
{
    run M $in --max batch=150 --output whole.npy || exit 1
    for n in 1 7 64 149 1000; do
        run M $in --max batch=$n --output part.npy || exit 1
        same whole part
    done
    run M $in --output part.npy || exit 1 # without a train block 64 at once
    same whole part
    if ! "$NNC" devices | grep -q '^sim  *none'; then
        run M $in --max batch=64 --device sim --output part.npy || exit 1
        same whole part
    fi
    run M --input x=x5.npy --input w=w.npy --output five.npy && run M --input x=x5.npy --input w=w.npy --max batch=64 --output part.npy || exit 1
    same five part
    refuses 2 "--max seq: no input of M has a dim seq that is free" M $in --max seq=8
    refuses 2 "--max batch=0: names and bounds" M $in --max batch=0
}
run Mean --input x.npy --output a.npy && run Mean --input x.npy --max batch=200 --output b.npy && cmp a.npy b.npy || exit 1
refuses 1 "m.nn:6:52: error: output cannot go through batch in parts: this is over all samples" Mean --input x.npy --max batch=64
refuses 1 "--max batch=64: the inputs have 150, which cannot go in parts: -D batch=150 would do" Mean --input x.npy --max batch=64
refuses 1 "-D batch=3: the inputs have 150" Mean --input x.npy -D batch=3
refuses 2 "--max batch: -D batch=150 fixes it" Mean --input x.npy --max batch=200 -D batch=150
# Random numbers are those of the whole batch.
f32() { # FILE SHAPE ELEMENTS
    header="{'descr': '<f4', 'fortran_order': False, 'shape': ($2), }"
    { printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; head -c $((4 * $3)) /dev/zero; } >"$1"
}
f32 f.npy '150, 4' 600
f32 g.npy '9, 2, 4' 72
run Drawn --input f.npy --max batch=150 --output whole.npy || exit 1
for n in 7 64; do
    run Drawn --input f.npy --max batch=$n --output part.npy || exit 1
    same whole part
done
run Drawn --input f.npy --output part.npy || exit 1
same whole part
run Across --input f.npy --output a.npy || { cat err; exit 1; }
refuses 1 "m.nn:11:55: error: output cannot go through batch in parts: random numbers are counted by the samples here" Across --input f.npy --max batch=64
run Square --input g.npy --output a.npy && run Square --input g.npy --max batch=4 --output b.npy && cmp a.npy b.npy || exit 1
refuses 1 "go in parts" Square --input g.npy --max batch=4,seq=5
run Halves --input x.npy --output a.npy && run Halves --input x.npy --max batch=200 --output b.npy && cmp a.npy b.npy || exit 1
run Turned --input t.npy --output a.npy && run Turned --input t.npy --max batch=30,seq=6 --output b.npy && cmp a.npy b.npy || exit 1
refuses 1 "batch is not the first axis of every input that has it" Turned --input t.npy --max batch=24
refuses 1 "output cannot go through seq in parts" Turned --input t.npy --max seq=5
refuses 1 "--max seq=5: the inputs have 25, and batch goes in parts already: -D seq=25 would do" Pair --input t.npy --max batch=3,seq=5
