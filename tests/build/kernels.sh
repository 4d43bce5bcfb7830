# Functions without a model: values, gradients, stages and faults from C, launches on the software GPU, ptxas,
# C++, their graphs against the evaluator; the programs of examples/kernels.
set -e
build=${NNC%/*} flags="-Wall -Wextra -Werror -pedantic"
mkdir "$TMP/cuda" "$TMP/example"
# What a program finds in cuda.h, from the software GPU's own headers.
cat >"$TMP/cuda/cuda.h" <<'END'
#ifdef __cplusplus
#define _Alignas alignas
extern "C" {
#endif
#include "driver/cuda_calls.h"
#ifdef __cplusplus
}
#endif
#define cuMemAlloc cuMemAlloc_v2
#define cuMemFree cuMemFree_v2
#define cuMemcpyHtoD cuMemcpyHtoD_v2
#define cuMemcpyDtoH cuMemcpyDtoH_v2
#define cuDevicePrimaryCtxRelease cuDevicePrimaryCtxRelease_v2
END
"$NNC" build build/kernels.nn -o "$TMP/lib" --kernels --with-gradient --target x86-64,sm_75 --emit header,lib,ptx \
    --instance 'norm64=norm:T=f64,s=[2,3],n=5' --instance norm16=norm:T=bf16,s=6,n=5 \
    --instance lookup:v=7,n=5,rows=2 --instance cube:n=9,by=2 --instance product:m=40,k=150,n=70 \
    --instance half:n=3,scale=0.5 --depfile "$TMP/d"
grep -q ' build/kernels.nn' "$TMP/d"
grep -q '^.visible .entry half($' "$TMP/lib/kernels.sm_75.ptx"
# shellcheck disable=SC2086
$CC $CFLAGS -std=c11 $flags -I "$TMP/lib" build/kernels.c "$TMP/lib/libkernels.a" -lm -o "$TMP/test"
"$TMP/test"
if command -v c++ >/dev/null; then
    printf '#include "kernels.h"\nint main() { return kernels_ptx[0] == 1; }\n' >"$TMP/x.cc"
    # shellcheck disable=SC2086
    c++ $CFLAGS $flags -I "$TMP/lib" -include "$TMP/cuda/cuda.h" -I "$SOURCE/runtime/ptxsim" "$TMP/x.cc" "$TMP/lib/libkernels.a" -o "$TMP/x"
fi
if command -v ptxas >/dev/null || [ -x /usr/local/cuda/bin/ptxas ]; then
    "$NNC" build build/kernels.nn -o "$TMP/cubin" --kernels --target sm_75 --emit cubin --instance half:n=3,scale=2
    test -s "$TMP/cubin/kernels.sm_75.cubin"
fi

# Their graphs in every executor, and on the software GPU.
for graph in product norm.grad lookup.grad; do
    "$NNC" emit graph build/kernels.nn --graph $graph -D m=8 -D k=20 -D n=12 -D s=[2,3] -D v=5 -D rows=4 >"$TMP/x.graph"
    "$TOOL" exec "$TMP/x.graph" && "$TOOL" gpu sm_75 "$TMP/x.graph"
done

example="$SOURCE/examples/kernels"
"$NNC" build "$example/kernels.nn" -o "$TMP/example" --kernels --with-gradient --target host,sm_80 --emit header,lib,so
# shellcheck disable=SC2086
$CC $CFLAGS $flags -I "$TMP/example" "$example/cpu.c" "$TMP/example/libkernels.so" -pthread -o "$TMP/cpu"
"$TMP/cpu" >"$TMP/out"
grep -q 'the same bits' "$TMP/out" && grep -q '^y\[0\] = -1.59041' "$TMP/out"

"$NNC" devices | grep -q '^sim  *none' && exit 0
sim="-I $TMP/cuda -I $SOURCE/runtime/ptxsim"
# shellcheck disable=SC2086
$CC $CFLAGS -std=gnu11 $flags -I "$TMP/lib" $sim build/kernels_gpu.c "$TMP/lib/libkernels.a" -L "$build" -lnncsim -lm -o "$TMP/gpu"
LD_LIBRARY_PATH="$build" "$TMP/gpu"
# shellcheck disable=SC2086
$CC $CFLAGS -std=gnu11 $flags -I "$TMP/example" $sim "$example/gpu.c" "$TMP/example/libkernels.a" -L "$build" -lnncsim -lm \
    -o "$TMP/launch"
LD_LIBRARY_PATH="$build" "$TMP/launch" | grep -q '^out\[0\] = 7.02993e-05, at most '
