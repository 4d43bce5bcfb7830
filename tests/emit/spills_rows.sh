# Rows that one thread takes want no more than its registers: cells of a recurrent network, whose gates'
# gradients stand beside each other and whose bias sums over a few samples; dice and focal loss over four classes.
cells() { # PRECISION
    cat <<END
use std
dataset d {
  x: f32[7, 13] from npy("x.npy")
  y: u8 from npy("y.npy")
}
layer Cell(hid: int)(x: T[n, d], h: T[n, hid], c: T[n, hid]) {
  param w_ih: T[4*hid, d] = normal(1)
  param w_hh: T[4*hid, hid] = normal(1)
  param b: T[4*hid] = normal(1)
  i, f, g, o = chunk(x @ w_ih.T + h @ w_hh.T + b, 4, -1)
  c = sigmoid(f) * c + sigmoid(i) * tanh(g)
  return sigmoid(o) * tanh(c), c
}
model M(x: f32[n, 7, 13]) -> f32[n, 3] {
  c1 = Cell(6)
  head = Linear(3)
  h = zeros(n, 6)
  c = zeros(n, 6)
  for t in 0..7 {
    h, c = c1(x[:, t], h, c)
  }
  return head(h)
}
train M on d {
  batch = 7
  steps = 1
  precision = $1
  loss = cross_entropy(M(x), y)
  optimizer = SGD(0.1, momentum = 0.9)
}
END
}
cells f32 >"$TMP/cells_f32.nn"
cells bf16 >"$TMP/cells_bf16.nn"
cat >"$TMP/segments.nn" <<'END'
use std
dataset d {
  x: f32[3, 16, 16] from npy("x.npy")
  y: u8[16, 16] from npy("y.npy")
}
model M(x: f32[n, 3, 16, 16]) -> f32[n, 4, 16, 16] {
  a = Conv2d(4, 1)
  return a(x)
}
train M on d {
  batch = 2
  steps = 1
  z = permute(M(x), 0, 2, 3, 1)
  p = softmax(z)
  h = one_hot(y, 4)
  dice = 1 - mean((2 * sum(p * h, (0, 1, 2)) + 1) / (sum(p, (0, 1, 2)) + sum(h, (0, 1, 2)) + 1))
  foc = mean(-sum(h * (1 - p)**2 * log_softmax(z), -1))
  loss = dice + foc
  optimizer = SGD(0.1)
}
END
. "$SOURCE/tests/emit/spills.inc"
for name in cells_f32 cells_bf16 segments; do # no kernel is longer than some hundred instructions
    "$NNC" emit loops "$TMP/$name.nn" --graph step --target sm_80 >"$TMP/loops" || exit 1
    awk -v n="$name" '/^kernel/ { k = $2; lines = 0 }
        ++lines == 600 { print n ": " k " is long"; bad = 1 } END { exit bad }' "$TMP/loops" || exit 1
done
for name in cells_f32 cells_bf16 segments; do none_spilled $name sm_80; done
