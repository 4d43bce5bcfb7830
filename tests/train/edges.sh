# Gradients where a formula written down naively gives NaN or the other side of a kink: what PyTorch gives.
set -eu
header="{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"
{ printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; head -c 8 /dev/zero; } >"$TMP/x.npy"
gradient() { # WANTED LOSS: of parameter p[2], whose value the weights give
    cat >"$TMP/m.nn" <<N
use std
dataset a { x: f32[2] from npy("x.npy") }
model M(x: f32[n, 2]) -> f32[n, 2] { param p: f32[2] = 1; return x + p }
train M on a { batch = 1; steps = 1; optimizer = SGD(0.1); loss = $2 }
N
    "$NNC" grad "$TMP/m.nn" --input "x=$TMP/x.npy" --output-dir "$TMP/g" --weights "$TMP/w.safetensors"
    got=$(tail -c 8 "$TMP/g/grad/p.npy" | od -An -t f4 | tr -s ' ')
    [ "$got" = " $1 $1" ] || { echo "$2: $got, wanted $1 $1"; exit 1; }
}
weights() { # LITTLE-ENDIAN BYTES of one f32, in octal
    h='{"p":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    { printf '\070\000\000\000\000\000\000\000%s' "$h"; printf "$1$1"; } >"$TMP/w.safetensors"
}
weights '\000\000\000\000' # 0
gradient 0.5 'mean(elu(M(x)))'
gradient 1e+12 'sum(normalize(M(x)))'
gradient -5e+11 'bce(M(x), x + 1)'
weights '\000\000\240\101' # 20
gradient 0 'bce(sigmoid(M(x)), x + 1)'
gradient 0 'bce(sigmoid(M(x)), x)'
