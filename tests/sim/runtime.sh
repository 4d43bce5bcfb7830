# A program of the CUDA runtime, kernels and <<< >>> and all, as nvcc builds it with -cudart shared, runs on the
# software GPU from every form of compressed fat binary; one without PTX is told so, and one with the vendor's runtime.
for nvcc in "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" "$(command -v nvcc)"; do
    [ -x "$nvcc" ] && break
done
[ -x "$nvcc" ] || { echo "nvcc is not installed"; exit 77; }
case $("$nvcc" --version) in
*"release 13."*) ;; # the structures of its runtime are those that ours has
*) echo "this nvcc is not of CUDA 13"; exit 77 ;;
esac
lib=$(dirname "$NNC")/nncsim
nm -D "$(dirname "$NNC")/libnncsim.so" | grep -q __asan && { echo "a program without a sanitizer cannot load a library with one"; exit 77; }
run() { NN_SIM_DEVICES=2 LD_LIBRARY_PATH=$lib "$TMP/$1" >"$TMP/out" 2>"$TMP/err"; }
fail() { echo "$1"; cat "$TMP/out" "$TMP/err"; exit 1; }
for mode in size speed; do
    "$nvcc" -arch=compute_80 --compress-mode=$mode -cudart shared -o "$TMP/$mode" sim/runtime.cu || exit 1
    run $mode || fail "the program failed, compressed for $mode"
    grep -q 'all is well' "$TMP/out" || fail "the program ended early, compressed for $mode"
    grep -q 'cudaMallocArray is not simulated' "$TMP/err" || fail "nothing said of what is not there"
    grep -q '__managed__ variables of several devices are not simulated' "$TMP/err" || fail "nothing said of a second device"
    grep -q 'scale.*load of 4 bytes' "$TMP/err" || fail "no report of the bad address, compressed for $mode"
done
cat >"$TMP/small.cu" <<'END'
#include <cstdio>
__global__ void nothing() {}
int main()
{
    nothing<<<1, 1>>>();
    cudaError_t e = cudaGetLastError();
    puts(cudaGetErrorName(e));
    return e != cudaSuccess;
}
END
"$nvcc" -gencode arch=compute_80,code=sm_80 -cudart shared -o "$TMP/cubin" "$TMP/small.cu" || exit 1
run cubin && fail "machine code ran"
grep -q 'has no PTX for sm_80' "$TMP/err" || fail "nothing said of machine code"
grep -q cudaErrorNoKernelImageForDevice "$TMP/out" || fail "not the right error"
"$nvcc" -arch=compute_80 -cudart static -o "$TMP/static" "$TMP/small.cu" || exit 1
run static && fail "the vendor's runtime ran"
grep -q cudaErrorNotSupported "$TMP/out" || fail "not the right error"
grep -q 'nvcc -cudart shared' "$TMP/err" || fail "nothing said of the vendor's runtime"
