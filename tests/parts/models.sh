# Training steps of small models, whole and with their batch in parts: the same but for the order of sums.
set -eu
passes=cse,simplify,gradient,recompute,cse,simplify,dce,precision,fold_moves,simplify,cse,axis_order,dce
cd "$TMP"
parts() { # FILE BATCH PARTS…
    file=$1 batch=$2
    shift 2
    "$NNC" emit graph "$file" --batch "$batch" >whole.graph
    for n; do
        sed "s/^graph step/& parts $n/; s/\(parts $n\) \(precision [a-z0-9]*\)/\2 \1/" whole.graph >step.graph
        grep -q "^graph step.* parts $n {" step.graph
        "$TOOL" parts gradient,simplify step.graph # moves and reshapes as nodes
        "$TOOL" parts "$passes" step.graph
    done
}
# attention, tied weights (a scatter and a product), samples and tokens as one axis
sed 's/layers: int = 4, heads: int = 4, d: int = 128/layers: int = 1, heads: int = 2, d: int = 8/
     s/context = 128/context = 6/; s/vocab   = 256/vocab = 11/' "$SOURCE/examples/gpt/char.nn" >gpt.nn
parts gpt.nn 4 2 4
# convolution, pooling, dropout; gradients that are clipped, averaged over steps, and of a scaled loss
cat >conv.nn <<'N'
use std
dataset data { x: f32[2, 6, 6] from npy("x.npy"); k: u8 from npy("k.npy") }
model M(x: f32[batch, 2, 6, 6]) -> f32[batch, 8] {
  c = Conv2d(3, 3, pad = 1)
  fc = Linear(8)
  h = max_pool2d(dropout(relu(c(x)), 0.5), 2)
  return fc(dropout(flatten(h, 1), 0.3))
}
train M on data {
  batch = 6; epochs = 2; seed = 1; clip = 1; precision = f16; accumulate = 2
  loss = cross_entropy(M(x), k, smooth = 0.1) + stop_gradient(max(M(x)))
  optimizer = AdamW(0.1)
}
N
parts conv.nn 6 2 3 6
# labels of which some do not count: their number is of the whole batch
sed 's/k: u8/k: i32/; s/smooth = 0.1/&, ignore = 3/' conv.nn >some.nn
parts some.nn 6 2 3 6
