# A stage of the training step, asked of a file that does not train: a message, not a crash.
set -eu
for graph in step eval metrics grad; do
    status=0
    "$NNC" emit graph "$SOURCE/examples/matmul/matmul.nn" --graph $graph 2>"$TMP/said" || status=$?
    cat "$TMP/said"
    [ "$status" = 1 ]
    grep -q 'no `train` block' "$TMP/said"
done
