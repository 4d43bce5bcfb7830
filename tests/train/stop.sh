# Ctrl-C saves and ends with 130; going on ends as an unbroken run does. NaN stops and names the step.
M=$SOURCE/tests/train/small.nn D=$SOURCE/examples/mnist/data
"$NNC" train "$M" --data "$D" --quiet --out "$TMP/a" --steps 3000 2>"$TMP/err" &
pid=$!
until [ -s "$TMP/a/log.jsonl" ] || ! kill -0 $pid; do sleep 0.05; done
kill -INT $pid
wait $pid
[ $? = 130 ] && grep -q "stopped after step [0-9]*, saved in $TMP/a; --resume $TMP/a goes on" "$TMP/err" || exit 1
[ -s "$TMP/a/state.safetensors" ] || exit 1
sed 's/cosine(3e-3, warmup = 10)/1e30/' "$M" >"$TMP/nan.nn"
"$NNC" train "$TMP/nan.nn" --data "$D" --quiet --out "$TMP/b" 2>"$TMP/err"
[ $? = 1 ] && grep -q "loss is .* at step [0-9]* (epoch 1)" "$TMP/err"
