# The software GPU's driver is the real one to a caller: every constant, structure and call of its headers is that
# of CUDA's own cuda.h and cublas headers, where those are installed; and it exports every name that cuda.h declares.
for dir in "${CUDA_HOME:-/usr/local/cuda}/include" /usr/include; do
    [ -e "$dir/cuda.h" ] && break
done
[ -e "$dir/cuda.h" ] || { echo "no cuda.h is installed"; exit 77; }
cxx=$(command -v c++ || command -v g++ || command -v clang++) || { echo "no C++ compiler"; exit 77; }
own=$SOURCE/runtime/ptxsim/driver
lib=$(dirname "$NNC")/libnncsim.so
blas=0
[ -e "$dir/cublasLt.h" ] && [ -e "$dir/cublas_v2.h" ] && blas=1

constants() { grep -oE '\b(CU|CUDA|CUBLAS|CUBLASLT)_[A-Z0-9_a-z]+ = ' "$@" | sed 's/.*:\([A-Z]\)/\1/; s/ = //' | sort -u; }
structs() { # FILE: "struct field" lines of its typedef'd structs without inner ones
    awk '/^typedef struct/ { depth = 1; n = 0; next }
         depth && /\{/ { depth++; next }
         depth && /^}/ { name = $2; sub(";", "", name); print name
                         for (i = 0; i < n; i++) print name, field[i]; depth = 0; next }
         depth && /}/ { depth--; next }
         depth == 1 && /;/ { sub(/;.*/, ""); k = split($0, part, ",")
                             for (i = 1; i <= k; i++) { s = part[i]; sub(/\[.*/, "", s); sub(/.*[ *]/, "", s)
                                                        field[n++] = s } }' "$1"
}
calls() { grep -oE '\b(cu|cublas|cublasLt)[A-Z][A-Za-z0-9_]*\(' "$1" | tr -d '(' | sort -u; }

{
    constants "$own/cuda_types.h" | sed 's/.*/VALUE(&)/'
    sed -n 's/^ERROR([0-9]*, \([A-Z_0-9]*\),.*/VALUE(\1)/p' "$own/errors.def"
    sed -n 's/^ATTRIBUTE([0-9]*, \([A-Z_0-9a-z]*\),.*/VALUE(CU_DEVICE_ATTRIBUTE_\1)/p' "$own/attributes.def"
    structs "$own/cuda_types.h" | sed -n 's/^\([^ ]*\) \([^ ]*\)$/FIELD(\1, \2)/p; s/^\([^ ]*\)$/SIZE(\1)/p'
    # cuProfilerStart and -Stop are in a header of their own
    calls "$own/cuda_calls.h" | grep -vE '^cuProfiler|_pt[sd][sz]$|^cuMemcpy.*_v2$|^cuMemset.*_v2$' |
        sed 's/.*/CALL(&)/'
    if [ $blas = 1 ]; then
        constants "$own/blas_types.h" | sed 's/.*/VALUE(&)/'
        structs "$own/blas_types.h" | sed -n 's/^\([^ ]*\) \([^ ]*\)$/FIELD(\1, \2)/p; s/^\([^ ]*\)$/SIZE(\1)/p'
        calls "$own/blas_calls.h" | sed 's/.*/CALL(&)/'
    fi
} >"$TMP/list.inc"
[ "$(grep -c VALUE "$TMP/list.inc")" -ge 400 ] && [ "$(grep -c FIELD "$TMP/list.inc")" -ge 100 ] &&
    [ "$(grep -c CALL "$TMP/list.inc")" -ge 200 ] || { echo "our headers were not read"; exit 1; }

# Forms that this cuda.h has no more, or hides from programs, are left out: what is declared is looked up.
# What it has as macros is kept under another name, and its macros are taken away.
"$cxx" -E -dD -I"$dir" -include cuda.h $([ $blas = 1 ] && echo "-include cublas_v2.h -include cublasLt.h") \
    -x c++ /dev/null >"$TMP/all.h"
grep -v '^#' "$TMP/all.h" | tr -c 'A-Za-z0-9_' '\n' | sort -u >"$TMP/words"
sed -n 's/^#define \(C[UA-Z]*_[A-Z0-9_]*\) .*/\1/p' "$TMP/all.h" | sort -u >"$TMP/macros"
sed -n 's/^#define \(cu[A-Za-z0-9_]*\) .*/#undef \1/p' "$TMP/all.h" >"$TMP/undef.inc"
sed -n 's/^VALUE(\(.*\))/\1/p' "$TMP/list.inc" | sort -u | comm -12 - "$TMP/macros" >"$TMP/both"
sed 's/.*/constexpr long real_& = (long)&;/' "$TMP/both" >"$TMP/real.inc"
sed 's/.*/#undef &/' "$TMP/macros" >>"$TMP/undef.inc"
sed 's/[A-Z]*(\([A-Za-z0-9_]*\).*/\1/' "$TMP/list.inc" | paste - "$TMP/list.inc" |
    awk -F'\t' 'FILENAME == ARGV[1] { word[$1]; next } FILENAME == ARGV[2] { macro[$1]; next }
                $1 in macro { print "MACRO(" $1 ")"; next } $1 in word { print $2 }' \
        "$TMP/words" "$TMP/both" - >"$TMP/kept.inc"
[ "$(wc -l <"$TMP/kept.inc")" -ge 800 ] || { echo "CUDA's headers were not read"; exit 1; }

runtime=$(sed -n 's/^#define CUDART_VERSION *\([0-9][0-9]\).*/\1/p' "$dir/cuda_runtime_api.h" 2>/dev/null)
[ "$runtime" ] || runtime=0
if [ $blas = 1 ]; then # without the overloads for C++ at its end
    sed '/^static inline cublasStatus_t cublasMigrateComputeType/,$d' "$dir/cublas_api.h" >"$TMP/plain.h"
    printf '#endif\n#endif\n' >>"$TMP/plain.h"
fi
cat >"$TMP/check.cpp" <<EOF
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <cuda.h>
#if $blas
#include "plain.h"
#include <cublas_v2.h>
#include <cublasLt.h>
#endif
#include "real.inc"
#include "undef.inc"
#define _Alignas alignas
namespace mine {
#include "cuda_calls.h"
#include "blas_calls.h"
}
template <class A, class B> constexpr bool alike()
{
    return sizeof(A) == sizeof(B) && std::is_pointer<A>::value == std::is_pointer<B>::value;
}
template <class R, class... A, class S, class... B> constexpr bool same(R (*)(A...), S (*)(B...))
{
    if constexpr (sizeof...(A) != sizeof...(B))
        return false;
    else
        return sizeof(R) == sizeof(S) && (alike<A, B>() && ...);
}
#define MACRO(x) static_assert(real_##x == (long)mine::x, #x);
#define VALUE(x) static_assert((long)::x == (long)mine::x, #x);
#define SIZE(x) static_assert(sizeof(::x) == sizeof(mine::x), #x);
#define FIELD(x, f) static_assert(offsetof(::x, f) == offsetof(mine::x, f) && \\
                                  sizeof(((::x *)nullptr)->f) == sizeof(((mine::x *)nullptr)->f), #x #f);
#define CALL(x) static_assert(same((decltype(&::x))nullptr, (decltype(&mine::x))nullptr), #x);
#include "kept.inc"
#define CUDART $runtime
#if CUDART == 12 || CUDART == 13
#include <cuda_runtime_api.h>
namespace mine {
#include "../cudart/cudart.h"
}
SIZE(cudaDeviceProp)
FIELD(cudaDeviceProp, totalGlobalMem)
FIELD(cudaDeviceProp, major)
FIELD(cudaDeviceProp, multiProcessorCount)
FIELD(cudaDeviceProp, memoryBusWidth)
FIELD(cudaDeviceProp, regsPerMultiprocessor)
FIELD(cudaDeviceProp, cooperativeLaunch)
FIELD(cudaDeviceProp, sharedMemPerBlockOptin)
FIELD(cudaDeviceProp, clusterLaunch)
FIELD(cudaDeviceProp, reserved)
SIZE(cudaFuncAttributes)
FIELD(cudaFuncAttributes, numRegs)
FIELD(cudaFuncAttributes, preferredShmemCarveout)
SIZE(cudaPointerAttributes)
FIELD(cudaPointerAttributes, hostPointer)
SIZE(cudaLaunchConfig_t)
FIELD(cudaLaunchConfig_t, stream)
FIELD(cudaLaunchConfig_t, numAttrs)
#endif
EOF
"$cxx" -std=c++17 -fsyntax-only -w -I"$dir" -I"$TMP" -I"$own" "$TMP/check.cpp" || exit 1

nm -D --defined-only "$lib" | sed 's/.* //' | sort -u >"$TMP/exported"
"$cxx" -E -I"$dir" -include cuda.h -x c++ /dev/null | grep -oE '\bcu[A-Z][A-Za-z0-9_]*\(' | tr -d '(' | sort -u |
    comm -23 - "$TMP/exported" >"$TMP/missing"
[ ! -s "$TMP/missing" ] || { echo "cuda.h has, and $lib has not:"; cat "$TMP/missing"; exit 1; }
