# The prototypes of runtime/cuda/*.def and the constants of its private.h and blas*.[hc] agree with CUDA's own headers,
# where those are installed: as many parameters, of the same sizes, pointers where they have pointers,
# symbols of the same version.
for dir in "${CUDA_HOME:-/usr/local/cuda}/include" /usr/include; do
    [ -e "$dir/cuda.h" ] && break
done
[ -e "$dir/cuda.h" ] || { echo "no cuda.h is installed"; exit 77; }
cxx=$(command -v c++ || command -v g++ || command -v clang++) || { echo "no C++ compiler"; exit 77; }
blas=0 lt=0
if [ -e "$dir/cublas_v2.h" ]; then # without the overloads for C++ at its end
    blas=1
    sed '/^static inline cublasStatus_t cublasMigrateComputeType/,$d' "$dir/cublas_api.h" >"$TMP/plain.h"
    printf '#endif\n#endif\n' >>"$TMP/plain.h"
fi
sed -n '/^enum {/,/^};/p' "$SOURCE/runtime/cuda/private.h" | grep -o 'CU_[A-Z0-9_]* = [0-9]*' |
    sed 's/\(.*\) = \(.*\)/static_assert((int)\1 == \2, "\1");/' >"$TMP/values.inc"
[ "$(wc -l <"$TMP/values.inc")" -ge 10 ] || { echo "private.h's constants were not found"; exit 1; }
if [ $blas = 1 ] && [ -e "$dir/cublasLt.h" ]; then
    lt=1
    cat "$SOURCE/runtime/cuda/blas.h" "$SOURCE/runtime/cuda/blas_lt.c" | sed -n '/^enum {/,/^};/p' |
        grep -o 'CU[A-Z0-9_]* = -\?[0-9]*' | grep -v EPILOGUE_AUX' =' |
        sed 's/\(.*\) = \(.*\)/static_assert((int)\1 == \2, "\1");/' >"$TMP/blas_values.inc"
    [ "$(wc -l <"$TMP/blas_values.inc")" -ge 20 ] || { echo "cuBLAS's constants were not found"; exit 1; }
fi
cat >"$TMP/check.cpp" <<EOF
#include <cuda.h>
#if $blas
#include "plain.h"
#include <cublas_v2.h>
#endif
#if $lt
#include <cublasLt.h>
#include "blas_values.inc"
static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == 96, "struct found of blas_lt.c");
static_assert(((int)CUBLASLT_EPILOGUE_GELU_AUX_BIAS) == (32 | 128 | 4), "flags");
#endif
#include <type_traits>
#undef cuGraphInstantiate
#define cuGraphInstantiate cuGraphInstantiateWithFlags
#undef cuEventElapsedTime /* the first version is in every driver */
extern "C" CUresult cuEventElapsedTime(float *, CUevent, CUevent);
typedef unsigned long long cu_address;
#include "values.inc"
template <class A, class B> constexpr bool alike()
{
    return sizeof(A) == sizeof(B) && std::is_pointer<A>::value == std::is_pointer<B>::value;
}
template <class R, class... A, class S, class... B> constexpr bool same(R (*)(A...), S (*)(B...))
{
    static_assert(sizeof...(A) == sizeof...(B), "another number of parameters");
    return sizeof(R) == sizeof(S) && (alike<A, B>() && ...);
}
constexpr bool equal(const char *a, const char *b) { return *a == *b && (!*a || equal(a + 1, b + 1)); }
#define TEXT(x) #x
#define CHECK(name, symbol, params)                                              \\
    static_assert(same((decltype(&name))nullptr, (int(*) params)nullptr), #name); \\
    static_assert(equal(TEXT(name), symbol), symbol);
#define CALL(name, symbol, params) CHECK(name, symbol, params)
#include "cuda/driver.def"
#if $blas
#include "cuda/blas.def"
#endif
#if $lt
#include "cuda/blas_lt.def"
#endif
EOF
"$cxx" -std=c++17 -fsyntax-only -I"$dir" -I"$TMP" -I"$SOURCE/runtime" "$TMP/check.cpp"
