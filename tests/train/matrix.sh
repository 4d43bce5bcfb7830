# What keeps attention's matrix in memory is said: a warning at the place, where it is much of the arena, and a
# line of `nnc emit fused` always. Nothing is said where it is not kept.
set -e
cd "$TMP"
write() { # BIAS HEAD
    cat >m.nn <<END
use std
dataset d { x: u8[4] from windows(bytes("x.bin")) }
model M(x: u8[n, 4]) -> f32 {
  param q: f32[1, 1, 1500, $2] = normal(1)
  param bias: f32[2999] = normal(1)
  s = q @ q.T / 4
  s = [b, h, i, j: s[b, h, i, j] + $1[i - j + 1499]]
  w = softmax(s)
  return mean((w @ q)**2) + 0 * mean(f32(x)) + sum(bias**2)
}
train M on d { batch = 1; steps = 1; loss = M(x); optimizer = SGD(0.1) }
END
}
printf abcd >x.bin
write bias 8
"$NNC" train m.nn --data . --device cpu --quiet --out quiet 2>err
[ ! -s err ] || { cat err; exit 1; }
"$NNC" train m.nn --data . --device cpu --out loud 2>err >/dev/null
sed 's/arena of [0-9.]* MB/arena of … MB/' >want <<'END'
m.nn:7:36: warning: attention keeps its matrix in memory: f32[1, 1, 1500, 1500], 9.0 MB in an arena of … MB
    7 |   s = [b, h, i, j: s[b, h, i, j] + bias[i - j + 1499]]
      |                                    ^~~~~~~~~~~~~~~~~~ its gradient reads it beside the softmax
m.nn:8:7: note: the matrix is made here
    8 |   w = softmax(s)
      |       ^~~~~~~~~~
END
sed 's/arena of [0-9.]* MB/arena of … MB/' err | diff -u want -
write 'stop_gradient(bias)' 8
"$NNC" emit fused m.nn >fused.txt
if grep '^matrix' fused.txt; then exit 1; fi
write 'stop_gradient(bias)' 160
"$NNC" emit fused m.nn --target sm_80 >fused.txt
grep -q '^cluster 0 chain over (1500) by [0-9]* rows (a head has more than 128 elements): ' fused.txt ||
    { grep -n 'matrix\|chain' fused.txt; exit 1; }
sed 's/1500/5000/; s/1499/4999/; s/2999/9999/' m.nn >long.nn
"$NNC" emit fused long.nn --target sm_80 >fused.txt
grep -q '^matrix %[0-9]* stored: %[0-9]*: rows too long for shared memory; not by tiles: a head has more than 128 elements  # ' \
    fused.txt || { grep -n 'matrix\|chain' fused.txt; exit 1; }
