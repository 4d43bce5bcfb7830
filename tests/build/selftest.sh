# The self-test notices a kernel that does nothing, whichever it is: each one in turn gets a return as its first byte.
for tool in nm readelf; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done
[ "$(uname -m)" = x86_64 ] || { echo "the byte is x86's"; exit 77; }
set -e
cd "$TMP"
cat >two.nn <<'END'
use std
dataset d { a: f32[6] from npy("a.npy"); t: i32[5] from npy("t.npy"); y: f32 from npy("y.npy") }
model Enc(a: f32[batch, 6], t: i32[batch, seq]) -> (z: f32[batch, 8], am: i32[batch]) {
  e = Embedding(9, 8); fc = Linear(8); n = BatchNorm()
  z = fc(a) + mean(e(t), 1)
  return n(z), argmax(z, -1)
}
model Head(z: f32[batch, 8]) -> f32[batch] { fc = Linear(1); return fc(z).reshape(batch) }
train Enc, Head on d {
  batch = 16; steps = 2000; seed = 2
  z, am = Enc(a, t)
  loss[Enc] = mse(Head(z), y)
  loss[Head] = l1(Head(stop_gradient(z)), y)
  metric r = mean(abs(Head(z) - y))
  optimizer = Adam(cosine(1e-2, warmup = 1000))
  optimizer["Head.*"] = SGD(cosine(0.1, warmup = 1000))
}
END
cat >prog.c <<'END'
#include "two.h"
#include <stdio.h>
int main(void)
{
    struct two *c;
    struct nn_options o = {.threads = 1};
    if (two_open(&o, &c)) {
        printf("%s\n", two_error(NULL));
        return 3;
    }
    int bad = two_selftest(c);
    printf("%s\n", bad ? two_error(c) : "passed");
    two_close(c);
    return bad ? 4 : 0;
}
END
"$NNC" build two.nn -o . --target x86-64 --max batch=16,seq=5 --no-code-hash
# shellcheck disable=SC2086
${CC:-cc} ${CFLAGS:-} -std=c11 -no-pie -I. -I"$SOURCE/runtime" prog.c libtwo.a "${NNC%/*}/libnnrt.a" -lm -pthread -o prog
./prog | grep -x passed
base=$(readelf -SW prog | sed -n 's/.*\] \.text *PROGBITS *\([0-9a-f]*\) *\([0-9a-f]*\) .*/0x\1 0x\2/p')
nm prog | sed -n 's/^\([0-9a-f]*\) t \(two\.x86_64\.k.*\)/0x\1 \2/p' | sort -u -k1,1 >kernels
[ "$(wc -l <kernels)" -ge 25 ]
while read -r at name; do
    cp prog broken
    printf '\303' | dd of=broken bs=1 seek=$((at - ${base% *} + ${base#* })) conv=notrunc status=none
    if ./broken >said 2>&1; then
        echo "$name does nothing, and the self-test passed"
        exit 1
    fi
done <kernels

# Opening finds a damaged byte of code before it runs, whoever linked it, and nothing where none is.
"$NNC" build two.nn -o . --target x86-64 --max batch=16,seq=5
for link in -no-pie -pie -static -fuse-ld=lld -fuse-ld=gold; do
    # shellcheck disable=SC2086
    ${CC:-cc} ${CFLAGS:-} $link -std=c11 -I. -I"$SOURCE/runtime" prog.c libtwo.a "${NNC%/*}/libnnrt.a" -lm -pthread -o prog 2>said || continue
    ./prog | grep -qx passed || { echo "$link: refused"; exit 1; }
    base=$(readelf -SW prog | sed -n 's/.*\] \.text *PROGBITS *\([0-9a-f]*\) *\([0-9a-f]*\) .*/0x\1 0x\2/p')
    at=$(nm prog | sed -n 's/^\([0-9a-f]*\) t \(two\.x86_64\.k[0-9]*.*\)/0x\1/p' | sort | tail -n 1)
    printf '\303' | dd of=prog bs=1 seek=$((at - ${base% *} + ${base#* })) conv=notrunc status=none
    ./prog >said && exit 1
    grep -qx 'Enc, level x86-64: the library is damaged: its machine code has another hash' said || { echo "$link:"; cat said; exit 1; }
done
