# Random graphs: passes and executors agree.
"$TOOL" "random 1 4000"
