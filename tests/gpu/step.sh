# A training step on the software GPU and on the CPU, of an mlp, a convolutional net and a small GPT, then of
# the mlp in each precision and of the GPT in one: the same loss, the same gradients (they are what AdamW's first moments hold after
# one step). The held-out samples are left out: an evaluation takes longer than the step.
set -e
D=$SOURCE/examples/mnist/data
head -c 20000 "$SOURCE/docs/language.md" >"$TMP/input.txt"
for m in mlp lenet; do
    sed '/^  test {/,/^  }/d; /^  best/d' "$SOURCE/examples/mnist/$m.nn" >"$TMP/$m.nn"
done
for p in bf16 fp16 tf32; do
    sed "s/^  batch .*/  batch = 128\n  precision = $p/" "$TMP/mlp.nn" >"$TMP/mlp_$p.nn"
done
sed 's/layers: int = 4/layers: int = 2/; s/d: int = 128/d: int = 32/; s/^const context = 128/const context = 16/
     /^  test = /d' "$SOURCE/examples/gpt/char.nn" >"$TMP/char.nn"
sed "s/^  batch .*/&; precision = tf32/" "$TMP/char.nn" >"$TMP/char_tf32.nn"
step() { # BOUND NAME ARGS
    bound=$1 name=$2
    shift 2
    for device in cpu sim; do
        "$NNC" train "$TMP/$name.nn" --quiet --device $device --steps 1 --out "$TMP/$name.$device" "$@"
    done
    echo "$name"
    "$TOOL" near "$bound" .exp_avg "$TMP/$name.cpu/state.safetensors" "$TMP/$name.sim/state.safetensors"
    sed -n 's/^{"event":"step".*"loss":\([0-9.]*\).*/\1/p' "$TMP/$name.cpu/log.jsonl" \
        "$TMP/$name.sim/log.jsonl" >"$TMP/losses"
    awk -v b="$bound" '{ l[NR] = $1 } END { d = l[1] - l[2]; exit !(NR == 2 && d * d <= b * b * l[1] * l[1]) }' "$TMP/losses"
}
step 1e-5 mlp --data "$D" -D hidden=64 --batch 16
step 1e-5 lenet --data "$D" --batch 4
step 1e-5 char --data "$TMP" --batch 4
step 1e-2 mlp_bf16 --data "$D" -D hidden=64 --batch 16
step 1e-2 mlp_fp16 --data "$D" -D hidden=64 --batch 16
step 1e-3 mlp_tf32 --data "$D" -D hidden=64 --batch 16
step 2e-3 char_tf32 --data "$TMP" --batch 4 # of squares of gradients, too
