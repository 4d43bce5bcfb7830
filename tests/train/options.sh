# Options that do not fit the file or the folder are refused before anything is computed, and leave nothing behind.
set -eu
cat >"$TMP/one.nn" <<'N'
model MLP(x: u8[n]) -> f32[n] { param w: f32 = 1; return f32(x) * w }
dataset d { x: u8 from bytes("x"); test = 0.5 }
optimizer Down(lr: float)(p, g, step) { return p - lr * g }
train MLP on d { batch = 2; steps = 4; loss = mean(MLP(x)**2); optimizer = Down(1e-4) }
N
sed 's/1e-4/-1e-4/' "$TMP/one.nn" >"$TMP/up.nn"
printf '\001\002\003\004\005\006\007\010' >"$TMP/x"
says() { # STATUS TEXT ARGUMENTS
    want=$1 text=$2 status=0
    shift 2
    "$NNC" "$@" >"$TMP/said" 2>&1 || status=$?
    cat "$TMP/said"
    [ $status = $want ] && grep -q -- "$text" "$TMP/said" || { echo "nnc $*: status $status; wanted $want: $text"; exit 1; }
}
cd "$TMP"
says 0 'best loss' train one.nn --out a
says 1 'no model `MPL` in one.nn, did you mean `MLP`?' train one.nn --model MPL --out b
says 1 'no model `MPL` in one.nn, did you mean `MLP`?' emit graph one.nn --model MPL
says 1 '--init X: the train block has no model of this name; it has MLP' train one.nn --init X=a/last.safetensors --out b
says 0 'best loss' train one.nn --init MLP=a/last.safetensors --out c
says 1 'there is no such folder' train one.nn --resume b
[ ! -e b ]
says 2 'goes on with the weights saved there; --init is for a new run' train one.nn --resume a --init a/last.safetensors
says 2 '--batches : up to' bench one.nn --batches ''
says 2 '--input z: no input has this name; there are: x' run one.nn --weights a/last.safetensors --input z=y.npy --output z.npy
says 2 '--input x: given twice' grad one.nn --weights a/last.safetensors --input x=y.npy --input x=z.npy --output-dir z
says 2 'the number is larger than 9223372036854775807: --seed' train one.nn --seed 99999999999999999999
says 2 'a number of 1 or more is wanted for --epochs' train one.nn --epochs -1
says 1 '-D bacth: nothing of this name to set, did you mean `batch`?' check one.nn -D bacth=3
says 1 '^-D batch:1:15: error: no name `x` here' check one.nn -D batch=x
[ "$(grep -c error said)" = 1 ]
sed 's/steps = 4/epochs = 2; accumulate = 5/' one.nn >slow.nn
says 0 'warning: no update will happen: `accumulate` is 5, more' train slow.nn --out slow
says 0 'best loss' train slow.nn --epochs 3 --out slow
if grep warning said; then exit 1; fi
# Of two models of one declaration the instance is named.
sed 's/train MLP/train a = MLP, b = MLP/; s/loss = mean(MLP(x)\*\*2)/loss = mean(a(x) + b(x))/' one.nn >both.nn
says 1 '2 models of the train block are of MLP: name one with --model a' run both.nn --model MLP --weights a/last.safetensors --input y.npy --output z.npy
says 1 'y.npy: No such file' run both.nn --model b --weights a/last.safetensors --input y.npy --output z.npy
says 2 'unknown policy leen; known are none, greedy, lean' train one.nn --policy leen
# A missing last is written again, a missing best is forgotten with a word; a flipped bit is found.
says 0 'best loss' train up.nn --out d
rm d/last.safetensors d/best.safetensors
says 0 'd/best.safetensors is gone' train up.nn --resume d --steps 6
[ -s d/last.safetensors ] && [ -s d/best.safetensors ]
cp -r a e
rm e/last.safetensors e/best.safetensors
says 0 'best loss' train one.nn --resume e
for f in last best; do cmp a/$f.safetensors e/$f.safetensors; done
size=$(wc -c <e/state.safetensors)
printf '\377' | dd of=e/state.safetensors bs=1 seek=$((size - 1)) conv=notrunc 2>said
says 1 'e/state.safetensors is damaged: its tensors have another hash' train one.nn --resume e
# Ctrl-C while it compiles: 130, and the folder is gone.
"$NNC" train "$SOURCE/tests/check/resnet50.nn" --out f 2>said &
pid=$!
until [ -e f ] || ! kill -0 $pid; do sleep 0.01; done
kill -INT $pid
status=0
wait $pid || status=$?
cat said
[ $status = 130 ] && grep -q 'stopped before the first step; nothing was saved' said && [ ! -e f ]
sed 's/batch = 2;/batch = 2; precision = f32;/' one.nn >precise.nn
says 0 'precision bf16' emit graph precise.nn -D precision=bf16
says 1 '`precision` is f32, bf16, f16' check precise.nn -D precision=int8
