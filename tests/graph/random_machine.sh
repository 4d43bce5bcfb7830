# Random graphs: machine code gives the interpreter's bits.
"$TOOL" "random machine 1 12"
