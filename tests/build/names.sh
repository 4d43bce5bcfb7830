# Names in headers: parameters that C, its headers' macros or the gradient's own arguments have, too; nothing warns in C or C++.
set -e
cd "$TMP"
cat >k.nn <<'N'
## Its result is called as an input is, and another input as that result's derivative will be.
export fn h(x: T[n], d_x: T[n], i: T[n]) -> (x: T[n], d_out: T[n]) = (x*d_x*i, x+d_x)
export fn macros(NULL: T[n], EOF: T[n], stdin: T[n], errno: T[n], NAN: T[n], INFINITY: T[n], linux: T[n], I: T[n], M_PI: T[n],
    int64_t: T[n], nullptr: T[n], size_t: T[n], CUdeviceptr: T[n], CUDA_SUCCESS: T[n], NULL_: T[n]) -> (stdout: T[n], stderr: T[n]) =
    (NULL - NULL_ + EOF*stdin*errno, NAN + INFINITY + linux + I + M_PI + int64_t + nullptr + size_t + CUdeviceptr + CUDA_SUCCESS)
N
cat >all.h <<'N'
#include <complex.h>
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
N
cat >k.c <<'N'
#include "all.h"
#include "k.h"
int main(void)
{
    float x[] = {2, 3}, d[] = {5, 7}, i[] = {11, 13}, gx[] = {17, 19}, go[] = {23, 29}, a[2], b[2], c[2];
    h_grad(x, d, i, gx, go, a, b, c, NULL);
    for (int k = 0; k < 2; k++)
        if (a[k] != gx[k] * d[k] * i[k] + go[k] || b[k] != gx[k] * x[k] * i[k] + go[k] || c[k] != gx[k] * x[k] * d[k])
            return 1;
    macros(x, d, i, gx, x, x, x, x, x, x, x, x, x, x, x, a, b, NULL);
    return a[0] == 2 - 2 + 5 * 11 * 17 && b[1] == 30 ? 0 : 2;
}
N
cat >m.nn <<'N'
use std
model M(x: f32[batch, 4]) -> f32[batch, 2] = Linear(2)(x)
dataset d {
  NULL: f32[4] from npy("x.npy")
  EOF: i32 from npy("y.npy")
}
train M on d {
  batch = 8
  steps = 1
  loss = cross_entropy(M(NULL), EOF)
  metric stdin = mean(argmax(M(NULL), -1) == EOF)
  optimizer = SGD(0.1)
}
N
mkdir cuda
cat >cuda/cuda.h <<'N'
#ifdef __cplusplus
#define _Alignas alignas
extern "C" {
#endif
#include "driver/cuda_calls.h"
#ifdef __cplusplus
}
#endif
N
flags="-Wall -Wextra -Wshadow -pedantic -Werror"
"$NNC" build k.nn -o . --kernels --with-gradient --target x86-64,sm_80 -D n=2
# shellcheck disable=SC2086
$CC $CFLAGS -std=gnu11 $flags k.c libk.a -lm -o k
./k
# shellcheck disable=SC2086
$CC $CFLAGS -std=gnu11 $flags -include cuda/cuda.h -I "$SOURCE/runtime/ptxsim" -c k.c -o /dev/null
"$NNC" build m.nn -o . --target x86-64 --emit header
printf '#include "all.h"\n#include "m_.h"\nint main(void) { struct m__measured m = {0}; return (int)m.stdin_; }\n' >m.c
# shellcheck disable=SC2086
$CC $CFLAGS -std=gnu11 $flags -I "$SOURCE/runtime" -c m.c -o /dev/null
command -v c++ >/dev/null || exit 0
printf '#include "all.h"\n#include "k.h"\n#include "m_.h"\nint main() { m__measured m; m.loss = 0; return (int)m.loss; }\n' >x.cc
# shellcheck disable=SC2086
c++ $CFLAGS $flags -include cuda/cuda.h -I "$SOURCE/runtime" -I "$SOURCE/runtime/ptxsim" -c x.cc -o /dev/null
