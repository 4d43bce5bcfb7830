# --budget: each way to fit is taken where it must be, and the weights stay what they were.
set -eu
cd "$TMP"
export NNC_CACHE="$TMP/cache"
cat >net.nn <<'N'
use std
const width = 48
model Net(x: u8[batch, 16]) -> f32[batch, 8] {
  a = Linear(width); b = Linear(width); c = Linear(8)
  h = dropout(gelu(a(f32(x) / 64)), 0.1)
  return c(gelu(b(h)))
}
dataset d { x: u8[16] from npy("x.npy"); y: u8 from npy("y.npy"); test = 0.25 }
train Net on d {
  batch = 96; steps = 4; seed = 3; clip = 1.0; save = 2
  loss = cross_entropy(Net(x), y)
  metric accuracy = mean(argmax(Net(x), -1) == y)
  optimizer = SGD(0.1, momentum = 0.9)
}
N
npy() { # FILE SHAPE: bytes 0 … 7
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($2,), }" >"$1"
}
npy x.npy '400, 16'
awk 'BEGIN { for (i = 0; i < 6400; i++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%c", 65 + s % 61 } }' >>x.npy
npy y.npy 400
awk 'BEGIN { for (i = 0; i < 400; i++) printf "%c", 1 + i % 7 }' >>y.npy
says() { # STATUS TEXT ARGUMENTS
    want=$1 text=$2 status=0
    shift 2
    "$NNC" "$@" >said 2>&1 || status=$?
    cat said
    [ $status = $want ] && grep -q -- "$text" said || { echo "nnc $*: status $status; wanted $want: $text"; exit 1; }
}
near() { "$TOOL" near 1e-5 '' "$1/last.safetensors" plain/last.safetensors; }
share() { # OF A HUNDRED, FILE…: so much of what it takes as it is
    part=$1
    shift
    says 0 ': it fits as it is' check "$@" --budget 1GB >&2
    sed -n "s/.*peak \([0-9.]*\) KB.*/\1/p" said | awk "{ print \$1 * $part * 10 }"
}
says 0 'best loss' train net.nn --out plain
says 0 ': it fits as it is' train net.nn --out fits --budget 1GB
cmp plain/last.safetensors fits/last.safetensors
budget=$(share 85 net.nn)
says 0 'step: the batch in 2 parts' train net.nn --out parts --budget $budget --threads 1
near parts
says 0 'step: the batch in 2 parts' train net.nn --out three --budget $budget --threads 3
cmp parts/last.safetensors three/last.safetensors
small=$(share 60 net.nn)
# Another budget goes on where one stopped: what the parts are summed in is no state.
says 0 'best loss' train net.nn --out on --steps 2
says 0 'step: the batch in 2 parts' train net.nn --resume on --budget $budget
near on
if grep -q 'step.part' on/state.safetensors; then exit 1; fi
says 0 'step: the batch in [0-9]* parts' train net.nn --out sim --budget $budget --device sim --steps 1
says 0 'best loss' train net.nn --out one --steps 1
"$TOOL" near 1e-4 '' sim/last.safetensors one/last.safetensors
says 0 '"step_ms"' bench net.nn --json --budget $budget
"$NNC" emit fused net.nn --budget $budget 2>said | grep -q '^graph step parts 2 of step.part {'
# The mean is over the labels that count, whichever part they are in.
sed 's/cross_entropy(Net(x), y)/cross_entropy(Net(x), y, ignore = 3)/' net.nn >some.nn
says 0 'best loss' train some.nn --out plain --steps 2
says 0 'step: the batch in [2-9] parts' train some.nn --out some --steps 2 --budget $small
near some
says 0 'step: the batch in [2-9] parts' train some.nn --out sim --steps 2 --budget $small --device sim
"$TOOL" near 1e-4 '' sim/last.safetensors plain/last.safetensors
# What cannot be is refused, with the lines.
says 1 '90.0 KB is less than what is fixed' check net.nn --budget 90KB -D width=256
says 1 'step does not fit into 45.0 KB; the least is' check net.nn --budget 45KB
grep -q 'of sums over the parts; then these are alive' said
grep -q 'KB  net.nn:11: loss' said
sed 's/b = Linear(width);/bs = [Linear(width) for i in 0..8];/; s/c(gelu(b(h)))/c(BatchNorm()(bs(h)))/' net.nn >norm.nn
says 1 'does not go through in parts: norm.nn:6: BatchNorm_0.[a-z_]* needs a value of the whole batch for each sample' \
    check norm.nn --batch 192 --budget 250KB
grep -q 'KB  norm.nn:6: bs.[0-7].add' said
grep -q 'KB  norm.nn:6: bs.[0-7].matmul (gradient)' said
# A variance over the batch goes on from part to part as from batch to batch; what needs the batch's
# maximum at each sample does not.
sed 's/  metric accuracy.*/  metric v = var(Net(x)[:, 0]); metric w = mean(sqrt(var(Net(x), 0)))/' net.nn >var.nn
says 0 'best loss' train var.nn --out plain --steps 2
says 0 'eval: the batch in [0-9]* parts' train var.nn --out var --steps 2 --budget 62KB
cat plain/log.jsonl var/log.jsonl
moments() { sed -n 's/.*"v":\([0-9.e-]*\).*"w":\([0-9.e-]*\).*/\1 \2/p' "$1/log.jsonl" | tail -n 1; }
echo "$(moments plain) $(moments var)" | awk '{ for (i = 1; i < 3; i++) { d = $i / $(i + 2) - 1; if (NF != 4 || d > 1e-5 || d < -1e-5) exit 1 } }'
sed 's/  metric accuracy.*/  metric v = logsumexp(Net(x)[:, 0])/' net.nn >lse.nn
says 1 'does not go through in parts: lse.nn:12: [a-z]* needs a value of the whole batch for each sample' \
    check lse.nn --budget 62KB
# There values are computed again, to the same bits: element-wise ones, then products.
set -- norm.nn --batch 192
says 0 'best loss' train "$@" --out plain
budget=$(share 97 "$@")
says 0 'step: computes again in the backward pass, [0-9].[0-9] %' train "$@" --out again --budget $budget
cmp plain/last.safetensors again/last.safetensors
budget=$(share 75 "$@")
says 0 'step: computes again in the backward pass, [1-9][0-9].[0-9] %' train "$@" --out deep --budget $budget
cmp plain/last.safetensors deep/last.safetensors
# The least that is said is enough, and so is a plan's own peak; less is refused.
sed 's/  metric accuracy.*//' norm.nn >least.nn
says 1 'step does not fit' check least.nn --budget 170KB
least=$(sed -n 's/.*the least is \([0-9.]*\) KB.*/\1/p' said)
says 0 "peak $least KB" check least.nn --budget "${least}KB"
says 1 "the least is $least KB" check least.nn --budget "$(awk "BEGIN { print $least - 0.1 }")KB"
for more in 1 2 4 8 16; do
    says 0 'peak' check least.nn --budget "$(awk "BEGIN { print $least + $more }")KB"
    peak=$(sed -n 's/.*peak \([0-9.]*\) KB.*/\1/p' said)
    says 0 "peak $peak KB" check least.nn --budget "${peak}KB"
done
for bad in '' 12x -5 1e99 0 0x10MB 10XB nan; do
    says 2 "--budget $bad: bytes are wanted" check net.nn --budget "$bad"
done
# What has no train block, or is given bounds, is planned for forward calls.
lenet="$SOURCE/tests/check/lenet.nn"
says 1 'the size `batch` has no value here' check "$lenet" --budget 1G
says 0 'it fits as it is' check "$lenet" --budget 4MB --max batch=8
says 1 'forward does not fit into 4.0 MB' check "$lenet" --budget 4MB --max batch=64
grep -q 'as long as a call says: a smaller --max takes less' said
says 1 'forward does not fit into 150.0 KB' check net.nn --budget 150KB --max batch=500
says 1 '--max row: the model has no free dim of that name' check net.nn --budget 1G --max row=2,batch=2
says 2 '--max is of forward calls' check net.nn --max batch=2
