# Each precision learns; each has bits of its own; f16 comes down from a loss scale that overflows.
set -eu
D=$SOURCE/examples/mnist/data
learn() { # NAME SED
    sed "s/= 150/= 90/; $2" "$SOURCE/tests/train/small.nn" >"$TMP/$1.nn"
    "$NNC" train "$TMP/$1.nn" --data "$D" --out "$TMP/$1" --quiet
    best=$(sed -n 's/^{"event":"done".*"best":0\.\([0-9]\)[0-9.]*,.*/\1/p' "$TMP/$1/log.jsonl")
    echo "$1 $best"
    [ "$best" -ge 7 ]
}
learn f32 ''
for p in tf32 bf16 f16; do
    learn $p "s/^  batch /  precision = $p; batch /"
    ! cmp -s "$TMP/f32/best.safetensors" "$TMP/$p/best.safetensors"
    "$NNC" eval "$TMP/$p.nn" --data "$D" --weights "$TMP/$p/best.safetensors" --json | grep -q accuracy
done
learn overflow 's/^  batch /  precision = f16; batch /; s/= cross_entropy(logits, label)/= 4096 * cross_entropy(logits, label)/'
learn accumulated 's/^  batch /  precision = f16; accumulate = 2; batch /'
