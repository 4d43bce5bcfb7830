# Random graphs: the passes keep what the evaluator computes.
"$TOOL" "random passes 1 4000"
