# Random graphs, their gradients too, as PTX on the software GPU.
"$TOOL" "random ptx 1000 120 sm_80" && "$TOOL" "random ptx_backward 1000 40 sm_75"
