# Random graphs: fused and lowered, the interpreter agrees with the evaluator.
"$TOOL" "random interpreter 1 400"
