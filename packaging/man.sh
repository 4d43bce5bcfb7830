#!/bin/sh
# Writes the man page of the given nnc to standard output. Commands and options are those that it lists
# itself, so that the page says what the program does.
set -eu
nnc=$1
roff() { sed 's/\\/\\e/g; s/-/\\-/g; s/^\./\\\&./'; }

cat <<'EOF' | sed "s/@VERSION@/$("$nnc" --version)/"
.TH NNC 1 "" "@VERSION@" "User Commands"
.SH NAME
nnc \- compiler for neural networks
.SH SYNOPSIS
.B nnc
.I COMMAND
.RI [ options ]
.SH DESCRIPTION
.B nnc
reads a model file: a network, its loss, optimiser and data in a small language. It checks all shapes,
differentiates, fuses, compiles the whole training step to machine code, and trains or infers.
.B nnc build
writes the compiled model as a C library, which runs without the compiler (see
.BR nnrt (3));
with
.B \-\-kernels
the file's exported functions alone, as C functions and PTX entries that need no library at all.
.SH COMMANDS
EOF
"$nnc" --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' | while read -r command; do
    "$nnc" "$command" --help | roff | awk -v command="$command" '
        NR == 1 { sub(/^usage: */, ""); printf ".SS %s\n.B %s\n.PP\n", command, $0; next }
        /^ +\\-/ { sub(/^ +/, ""); at = index($0, "  "); option = at ? substr($0, 1, at - 1) : $0
                   text = at ? substr($0, at) : ""; sub(/^ +/, "", text)
                   printf ".TP\n.B %s\n%s\n", option, text; next }
        { print }'
done
cat <<'EOF'
.SH EXIT STATUS
.TP
0
done
.TP
1
the input was refused: the model, its data, its weights; a message says where and why
.TP
2
the command line is wrong
.TP
3
memory, disk or device failed
.TP
130
training was interrupted; its state was saved
.SH ENVIRONMENT
.TP
.B NNC_STDLIB
the folder of the standard library, instead of the one beside the program
.TP
.B NNC_CACHE
the folder of the compile cache, instead of nnc in XDG_CACHE_HOME or ~/.cache; off: none
.SH EXAMPLES
.EX
nnc train mlp.nn \-\-out out
nnc eval mlp.nn \-\-weights out/best.safetensors
nnc build mlp.nn \-o lib \-\-target x86\-64\-v3,x86\-64\-v4
nnc build kernels.nn \-\-kernels \-\-with\-gradient \-o lib \-\-target host,sm_80
.EE
.SH SEE ALSO
.BR nnrt (3)
EOF
