# Random graphs' gradients, lowered for a GPU: the interpreter agrees with the evaluator.
"$TOOL" "random backward 1 120 sm_75"
