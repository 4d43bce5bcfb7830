# Random graphs, their gradients too, as PTX on the software GPU.
"$TOOL" "random ptx 1000 60 sm_80" && "$TOOL" "random ptx_backward 1000 20 sm_75"
