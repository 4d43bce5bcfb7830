# A training step on the software GPU and on the CPU, of an mlp, a convolutional net and a small GPT: the
# same loss, the same gradients (they are what AdamW's first moments hold after one step). The held-out
# samples are left out: an evaluation takes longer than the step.
set -e
D=$SOURCE/examples/mnist/data
head -c 20000 "$SOURCE/docs/language.md" >"$TMP/input.txt"
for m in mlp lenet; do
    sed '/^  test {/,/^  }/d; /^  best/d' "$SOURCE/examples/mnist/$m.nn" >"$TMP/$m.nn"
done
sed 's/layers: int = 4/layers: int = 2/; s/d: int = 128/d: int = 32/; s/^const context = 128/const context = 16/
     /^  test = /d' "$SOURCE/examples/gpt/char.nn" >"$TMP/char.nn"
step() { # NAME ARGS
    name=$1
    shift
    for device in cpu sim:sm_75; do
        "$NNC" train "$TMP/$name.nn" --quiet --device $device --steps 1 --out "$TMP/$name.$device" "$@"
    done
    echo "$name"
    "$TOOL" near 1e-5 .exp_avg "$TMP/$name.cpu/state.safetensors" "$TMP/$name.sim:sm_75/state.safetensors"
    sed -n 's/^{"event":"step".*"loss":\([0-9.]*\).*/\1/p' "$TMP/$name.cpu/log.jsonl" \
        "$TMP/$name.sim:sm_75/log.jsonl" >"$TMP/losses"
    awk '{ l[NR] = $1 } END { d = l[1] - l[2]; exit !(NR == 2 && d * d <= 1e-10 * l[1] * l[1]) }' "$TMP/losses"
}
step mlp --data "$D" -D hidden=64 --batch 16
step lenet --data "$D" --batch 4
step char --data "$TMP" --batch 4
