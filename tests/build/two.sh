# Several models in one C program and one C++ unit, of which one takes its part of another's weights; contexts on three threads at once, the caller's allocator.
set -e
cat >"$TMP/ab.nn" <<'END'
use std
dataset d {
  x: f32[6] from npy("x.npy")
  t: f32[2] from npy("t.npy")
}
model A(x: f32[batch, 6]) -> f32[batch, 2] {
  fc = Linear(2)
  return fc(x)
}
model B(x: f32[batch, 6]) -> f32[batch, 2] {
  fc1 = Linear(80)
  fc2 = Linear(2)
  return fc2(relu(fc1(x)))
}
train A, B on d {
  batch = 16
  steps = 20
  loss[A] = mse(A(x), t)
  loss[B] = mse(B(x), t)
  optimizer = SGD(0.1)
}
END
cat >"$TMP/wide.nn" <<'END'
use std
model Wide(x: f32[batch, 40]) -> f32[batch, 1] {
  fc = Linear(1, bias = false)
  return fc(x)
}
END
"$NNC" build "$TMP/ab.nn" -o "$TMP/lib" --model B --prefix ab
"$NNC" build "$TMP/ab.nn" -o "$TMP/lib" --model B --inference
"$NNC" build "$TMP/wide.nn" -o "$TMP/lib" --max batch=2 --emit header,lib,obj,asm
test -s "$TMP"/lib/wide.o && grep -q '\.globl.wide_forward' "$TMP/lib/wide.s"
# shellcheck disable=SC2086
$CC $CFLAGS -std=c11 -Wall -Wextra -Werror -pedantic -I "$TMP/lib" -I "$SOURCE/runtime" build/two.c \
    "$TMP/lib/libab.a" "$TMP/lib/libb.a" "$TMP/lib/libwide.a" "${NNC%/*}/libnnrt.a" -lm -pthread -o "$TMP/two"
"$TMP/two" "$TMP/w"
if [ -z "$CFLAGS" ] && command -v valgrind >/dev/null; then
    # The limits: unrolled kernels are longer blocks than valgrind has room for.
    valgrind -q --vex-guest-chase=no --vex-guest-max-insns=20 --error-exitcode=9 --leak-check=full \
        "$TMP/two" "$TMP/w"
fi
if command -v c++ >/dev/null; then
    printf '#include "ab.h"\n#include "wide.h"\nint main() { return wide_open(nullptr, nullptr) != ab_save(nullptr, ""); }\n' >"$TMP/x.cc"
    c++ -Wall -Wextra -Werror -pedantic -I "$TMP/lib" -I "$SOURCE/runtime" -c "$TMP/x.cc" -o "$TMP/x.o"
fi
