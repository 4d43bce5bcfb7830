# Random contractions: each level's loops, and what they run as here, agree with the evaluator; so do the gradients.
"$TOOL" "random contraction 1 40" && "$TOOL" "random contraction_backward 1 12" &&
    "$TOOL" "random contraction 101 30 x86-64-v4" && "$TOOL" "random contraction_backward 101 8 aarch64" &&
    "$TOOL" "random machine_contraction 201 8"
