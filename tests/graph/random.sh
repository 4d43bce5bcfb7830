# Random graphs: the passes keep what the evaluator computes, gradients are those of differences.
"$TOOL" "random passes 1 4000" && "$TOOL" "random gradient 1 200"
