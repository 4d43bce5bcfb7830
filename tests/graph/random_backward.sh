# Random graphs' gradients, fused and lowered: the interpreter agrees with the evaluator.
"$TOOL" "random backward 1 200"
