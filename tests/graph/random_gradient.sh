# Random graphs: gradients are those of central differences.
"$TOOL" "random gradient 1 200"
