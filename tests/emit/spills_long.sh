# Long rows that a block takes one after another spill nothing: what it keeps of one does not live on through the
# next, pointers of many arguments are not stepped from row to row, what loops read has room beside what is kept.
. "$SOURCE/tests/emit/spills.inc"
train softmax f32 "  param p: f32[4096, 50257] = normal(1)
  param w: f32[4096, 50257] = normal(1)
  return mean(softmax(p) * w) + 0 * mean(x)"
train logits f32 "  param h: f32[4096, 64] = normal(1)
  head = Linear(32000, bias = false)
  z = head(h)
  return mean(logsumexp(z, -1) - z[:, 7]) + 0 * mean(x)"
train norm f32 "  param p: f32[4096, 20000] = normal(1)
  ln = LayerNorm()
  return mean(silu(ln(p))) + 0 * mean(x)"
"$NNC" emit ptx "$TMP/norm.nn" --graph step --target sm_86 | grep -q nounroll || { echo "no loop that reads much is left alone"; exit 1; }
for name in softmax logits norm; do none_spilled $name sm_86; done
