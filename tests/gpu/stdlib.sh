# Every layer, activation and loss of the standard library, forward and backward, on the software GPU and on the
# CPU: the gradients of a step (SGD's momentum after it) and the states agree.
set -e
for device in cpu sim; do
    "$NNC" train "$SOURCE/tests/gpu/stdlib.nn" --quiet --data "$SOURCE/examples/mnist/data" --device $device \
        --out "$TMP/$device"
done
"$TOOL" near 1e-5 .momentum "$TMP/cpu/state.safetensors" "$TMP/sim/state.safetensors"
"$TOOL" near 1e-5 running_ "$TMP/cpu/last.safetensors" "$TMP/sim/last.safetensors"
