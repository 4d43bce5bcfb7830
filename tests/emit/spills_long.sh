# Long rows that a block takes one after another spill nothing: what it keeps of one does not live on through the
# next, pointers of many arguments are not stepped from row to row, what loops read has room beside what is kept.
rows() { # NAME BODY
    cat >"$TMP/$1.nn" <<MODEL
use std
dataset d {
  x: f32[4] from npy("x.npy")
}
model M(x: f32[n, 4]) -> f32 {
$2
}
train M on d {
  batch = 2
  steps = 1
  loss = M(x)
  optimizer = SGD(0.1, momentum = 0.9)
}
MODEL
}
rows softmax "  param p: f32[4096, 50257] = normal(1)
  param w: f32[4096, 50257] = normal(1)
  return mean(softmax(p) * w) + 0 * mean(x)"
rows logits "  param h: f32[4096, 64] = normal(1)
  head = Linear(32000, bias = false)
  z = head(h)
  return mean(logsumexp(z, -1) - z[:, 7]) + 0 * mean(x)"
rows norm "  param p: f32[4096, 20000] = normal(1)
  ln = LayerNorm()
  return mean(silu(ln(p))) + 0 * mean(x)"
cd "$SOURCE" || exit 1
"$NNC" emit ptx "$TMP/norm.nn" --graph step --target sm_86 | grep -q nounroll || { echo "no loop that reads much is left alone"; exit 1; }
for name in softmax logits norm; do
    FILES=$TMP/$name.nn sh bench/ptxas.sh "$NNC" sm_86 >"$TMP/table" 2>&1
    status=$?
    [ $status = 77 ] && exit 77
    [ $status = 0 ] && grep -q ' 0 bytes spilled' "$TMP/table" || { cat "$TMP/table"; exit 1; }
done
