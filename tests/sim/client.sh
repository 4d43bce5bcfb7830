# A program of the Driver API that knows nothing of us, built with CUDA's own header and linked to a library called
# libcuda.so.1, runs on the software GPU: so does one that looks for leaks and one that is made to fail.
for dir in "${CUDA_HOME:-/usr/local/cuda}/include" /usr/include; do
    [ -e "$dir/cuda.h" ] && break
done
[ -e "$dir/cuda.h" ] || { echo "no cuda.h is installed"; exit 77; }
lib=$(dirname "$NNC")
nm -D "$(dirname "$NNC")/libnncsim.so" | grep -q __asan && { echo "a program without a sanitizer cannot load a library with one"; exit 77; }
cc=$(command -v cc) || { echo "no C compiler"; exit 77; }
# what a toolkit has for linking: a library of that name with the entries' names
nm -D --defined-only "$lib/libnncsim.so" | sed -n 's/.* T \(cu[A-Z].*\)/void \1(void); void \1(void) {}/p' >"$TMP/stub.c"
"$cc" -w -shared -fPIC -Wl,-soname,libcuda.so.1 "$TMP/stub.c" -o "$TMP/libcuda.so" &&
    "$cc" -std=c11 -I"$dir" sim/client.c -o "$TMP/client" -L"$TMP" -lcuda || exit 1
run() { LD_LIBRARY_PATH=$lib/nncsim NN_SIM_CHIP=sm_90 "$TMP/client" sim/client.ptx >"$TMP/out" 2>"$TMP/err"; }
fail() { echo "$1"; cat "$TMP/out" "$TMP/err"; exit 1; }
run || fail "the client failed"
grep -q 'all is well' "$TMP/out" || fail "the client ended early"
grep -q 'kernel saxpy: out of bounds: load of 4 bytes' "$TMP/err" || fail "no report of the bad address"
NN_SIM_LEAKS=1 run || fail "the client failed with NN_SIM_LEAKS"
grep -q 'leaks of the process: 3 allocations, 36000 bytes' "$TMP/err" || fail "no report of the leaks"
NN_SIM_COUNTERS=1 run
grep -q 'saxpy: 4 launches' "$TMP/err" || fail "no counters"
NN_SIM_FAIL=cuMemAlloc_v2:2 run && fail "the second cuMemAlloc did not fail"
grep -q 'cuMemAlloc.*CUDA_ERROR_OUT_OF_MEMORY' "$TMP/out" || fail "another call failed"
NN_SIM_CHIP=sm_1 LD_LIBRARY_PATH=$lib/nncsim "$TMP/client" sim/client.ptx >"$TMP/out" 2>"$TMP/err" &&
    fail "there is no sm_1"
grep -q CUDA_ERROR_NO_DEVICE "$TMP/out" || fail "not the right error for an unknown chip"
