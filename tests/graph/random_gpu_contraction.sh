# Random contractions for a GPU: the loops in the interpreter, the PTX on the software GPU.
"$TOOL" "random contraction 1 20 sm_80" && "$TOOL" "random contraction_backward 1 6 sm_75" &&
    "$TOOL" "random ptx_contraction 101 10 sm_80"
