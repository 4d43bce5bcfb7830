# From an installed prefix: find_package, nnc_add_model and nnc_add_kernels, pkg-config, the programs of examples/,
# the man page, the completion.
set -e
for tool in cmake pkg-config c++; do
    command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
build=${NNC%/*} prefix="$TMP/prefix" data="$SOURCE/examples/mnist/data"
cmake --install "$build" --prefix "$prefix" >"$TMP/log" || { cat "$TMP/log"; exit 1; }
cp -r "$prefix"/share/doc/nnc/examples "$TMP/examples"
level=$("$NNC" devices | sed -n 's/^cpu *\([^,]*\),.*/\1/p')
cmake -S "$TMP/examples/embed" -B "$TMP/build" -DCMAKE_PREFIX_PATH="$prefix" -DLEVELS="$level" \
    -DCMAKE_C_FLAGS="$CFLAGS" -DCMAKE_CXX_FLAGS="$CFLAGS" >"$TMP/log"
cmake --build "$TMP/build" >"$TMP/log" || { cat "$TMP/log"; exit 1; }
cd "$TMP"
build/train "$data" 3 >log
grep -q 'self-test passed' log && grep -q '^step 3 ' log && test -s lenet.safetensors
build/train_two "$data" 3 | grep -q '^right of 1000: '

# Nothing is made again while no source changes; a module's change is seen.
cmake --build build >log
! grep -q 'Compiling the model' log
touch prefix/share/nnc/stdlib/std/layers.nn
cmake --build build >log
grep -q 'Compiling the model' log

# A name that C or the system has, and one that gives none.
mkdir -p names
printf 'use std\nmodel M(x: f32[batch, 3]) -> f32[batch, 2] = Linear(2)(x)\n' >names/int.nn
printf 'cmake_minimum_required(VERSION 3.20)\nproject(n LANGUAGES C)\nfind_package(nnc REQUIRED)\n' >names/head
cat names/head - >names/CMakeLists.txt <<'END'
nnc_add_model(i int.nn TARGETS x86-64)
add_library(t OBJECT t.c)
target_link_libraries(t i)
END
printf '#include "int_.h"\nint t(struct int_ *c);\nint t(struct int_ *c) { return int__forward(c, 1, 0, 0); }\n' >names/t.c
cmake -S names -B n -DCMAKE_PREFIX_PATH="$prefix" >log && cmake --build n >log || { cat log; exit 1; }
printf 'nnc_add_model(i int.nn PREFIX m)\n' | cat names/head - >names/CMakeLists.txt
! cmake -S names -B n2 -DCMAKE_PREFIX_PATH="$prefix" >log 2>err
tr -s ' \n' ' ' <err | grep -qF "nnc_add_model: nnc build: --prefix m: m.h, libm.a or m_… are the system's"

# Functions alone.
cmake -S examples/kernels -B kernels -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="$CFLAGS" >log
cmake --build kernels >log || { cat log; exit 1; }
kernels/cpu | grep -q 'the same bits'

# The same by hand; what pkg-config says holds where the prefix was moved to, too.
mv prefix moved
libdir=$(dirname "$(find moved -name nnrt.pc)")
export PKG_CONFIG_PATH="$TMP/$libdir"
moved/bin/nnc build examples/mnist/lenet.nn -o lib
# shellcheck disable=SC2046,SC2086
$CC $CFLAGS examples/embed/train.c -I lib lib/liblenet.a $(pkg-config --cflags --libs nnrt) -lz -o train
./train "$data" 3 | grep -q '^step 3 '
grep -q '^\.SS build' moved/share/man/man1/nnc.1
grep -q '^\.B \\-\\-target T' moved/share/man/man1/nnc.1
if command -v bash >/dev/null; then
    PATH="$TMP/moved/bin:$PATH" bash -c '. moved/share/bash-completion/completions/nnc
        COMP_WORDS=(nnc build --ma) COMP_CWORD=2; _nnc; [ "${COMPREPLY[*]}" = --max ]
        COMP_WORDS=(nnc tra) COMP_CWORD=1; _nnc; [ "${COMPREPLY[*]}" = train ]'
fi
