# A library built with --budget trains in parts to the very bytes that `nnc train` writes with it, and takes no more.
set -e
data="$SOURCE/examples/mnist/data"
cd "$TMP"
sed 's/512/64/; s/lr = cosine(1e-3/lr = cosine(1e-2/' "$SOURCE/examples/mnist/mlp.nn" >mlp.nn
"$NNC" build mlp.nn -o lib --max batch=8 --budget 950KB 2>said
cat said
[ "$(grep -c 'step: the batch in 4 parts' said)" = 1 ]
[ "$(sed -n 's/#define MLP_PEAK_BYTES *\([0-9]*\).*/\1/p' lib/mlp.h)" -le 950000 ]
# shellcheck disable=SC2086
${CC:-cc} ${CFLAGS:-} -std=c11 -I lib -I "$SOURCE/runtime" "$SOURCE/tests/build/mlp.c" lib/libmlp.a "${NNC%/*}/libnnrt.a" \
    -lz -lm -pthread -o mlp
./mlp "$data" w.safetensors
"$NNC" train mlp.nn --data "$data" --steps 6 --no-shuffle --quiet --out out --budget 950KB
cmp w.safetensors out/last.safetensors
# The arrays of calls, laid out for the bound, count.
"$NNC" build mlp.nn -o wide --inference --max batch=200 --budget 1G --emit header
peak=$(sed -n 's/#define MLP_PEAK_BYTES *\([0-9]*\).*/\1/p' wide/mlp.h)
"$NNC" build mlp.nn -o wide --inference --max batch=200 --budget "$peak" --emit header
if "$NNC" build mlp.nn -o none --inference --max batch=200 --budget $((peak - 1)) 2>said; then exit 1; fi
grep -q 'KB of inputs as large as --max says' said
if "$NNC" build mlp.nn -o none --budget 10KB 2>said; then exit 1; fi
grep -q '10.0 KB is less than what is fixed' said
[ ! -e none ]
# The forward pass of as many samples as a call says is not taken in parts.
if "$NNC" build mlp.nn -o none --max batch=1024 --budget 2MB 2>said; then exit 1; fi
grep -q 'forward does not fit into 2.0 MB; the least is' said
grep -q 'does not go through in parts: mlp.nn:16: image is as long as a call says: a smaller --max takes less' said
[ ! -e none ]
"$NNC" build mlp.nn -o less --max batch=128 --budget 2MB 2>said
if "$NNC" build mlp.nn -o none --budget 1MB --kernels 2>said; then exit 1; fi
grep -q -e '--budget is for models' said
# Each level asked for must fit, and no other: the least one, on which the self-test's results are made, takes more here.
cat >conv.nn <<'N'
use std
dataset d { image: u8[3, 11, 13] from npy("image.npy"); label: u8 from npy("label.npy") }
model Net(image: u8[batch, 3, 11, 13]) -> f32[batch, 7] {
  c1 = Conv2d(6, 3, pad = 1); b1 = BatchNorm(); c2 = Conv2d(9, 3, stride = 2, pad = 1, groups = 3); b2 = BatchNorm(); fc = Linear(7)
  x = max_pool2d(relu(b1(c1(f32(image) / 255))), 2, pad = 1)
  return fc(mean(relu(b2(c2(x))), (2, 3)))
}
train Net on d { batch = 12; epochs = 2; loss = cross_entropy(Net(image), label); optimizer = SGD(0.05, momentum = 0.9) }
N
"$NNC" build conv.nn -o conv --target x86-64-v3 --max batch=2 --budget 110KB --emit header
[ "$(sed -n 's/#define CONV_PEAK_BYTES *\([0-9]*\).*/\1/p' conv/conv.h)" -le 110000 ]
if "$NNC" build conv.nn -o none --target x86-64-v3,x86-64 --max batch=2 --budget 110KB --emit header 2>said; then exit 1; fi
cat said
grep -q 'that is the level x86-64$' said
[ ! -e none ]
# Neither is what calls return taken in parts.
if "$NNC" build mlp.nn -o none --inference --max batch=200000 --budget 7MB 2>said; then exit 1; fi
cat said
grep -q 'MB of outputs, likewise: a smaller --max takes less' said
