# Kernels that want many registers spill none: attention's gradients of wide heads with an optimiser behind
# them, products of one step of k, edges read element by element, convolutions whose tiles pass registers.
train() { # NAME PRECISION BODY: parameters and a value to make small
    cat >"$TMP/$1.nn" <<END
use std
dataset d {
  x: f32[4] from npy("x.npy")
}
model M(x: f32[n, 4]) -> f32 {
$3
}
train M on d {
  batch = 2
  steps = 1
  precision = $2
  loss = M(x)
  optimizer = SGD(0.1, momentum = 0.9)
}
END
}
qkv() { # T HEAD
    for p in q k v; do echo "  param $p: f32[2, 2, $1, $2] = normal(1)"; done
}
train heads128 f32 "$(qkv 512 128)
  return mean(silu(softmax(q @ k.T / sqrt(128)) @ v)) + 0 * mean(x)"
train step f32 "$(qkv 515 16)
  param bias: f32[2, 1031] = normal(1)
  s = q @ k.T / 4
  w = softmax([b, h, i, j: where(j <= i, s[b, h, i, j] + bias[h, i - j + 515], -inf)])
  return mean(silu(w @ v)) + 0 * mean(x)"
train conv bf16 "  param image: f32[256, 8, 14, 14] = normal(1)
  conv1 = Conv2d(1024, 1, bias = false)
  conv2 = Conv2d(512, 1, bias = false)
  return mean(silu(conv2(relu(conv1(image))))) + 0 * mean(x)"
cd "$SOURCE" || exit 1
check() { # FILE TARGET
    FILES=$TMP/$1.nn sh bench/ptxas.sh "$NNC" "$2" >"$TMP/table" 2>&1
    status=$?
    [ $status = 77 ] && exit 77
    [ $status = 0 ] && grep -q ' 0 bytes spilled' "$TMP/table" || { cat "$TMP/table"; exit 1; }
}
check heads128 sm_75
check step sm_75
check conv sm_80
