# Random graphs, lowered for a GPU: the interpreter agrees with the evaluator.
"$TOOL" "random interpreter 1 300 sm_80"
