# Kernels move at most a tenth more of global memory than they must (attention: than its tiles imply), by the
# software GPU's counters.
traffic=$(dirname "$NNC")/bench-traffic
[ -x "$traffic" ] || { echo "bench-traffic is not built"; exit 77; }
cd "$SOURCE/bench/traffic" || exit 1
"$traffic" sm_80 --most 1.1 softmax.graph softmax_50257.graph layer_norm.graph layer_norm_backward.graph gelu_backward.graph \
    adamw.graph attention_causal_backward.graph
