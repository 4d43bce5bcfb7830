# Kernels that want many registers spill none: attention's gradients of wide heads with an optimiser behind
# them, products of one step of k, edges read element by element, convolutions whose tiles pass registers.
. "$SOURCE/tests/emit/spills.inc"
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
none_spilled heads128 sm_75
none_spilled step sm_75
none_spilled conv sm_80
