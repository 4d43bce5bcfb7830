# What `nnc build` refuses, in a line each; a shared library carries the runtime in itself.
model="$SOURCE/examples/mnist/mlp.nn"
refuses() { # STATUS TEXT ARGUMENTS
    want=$1 text=$2
    shift 2
    "$NNC" build "$@" >"$TMP/out" 2>"$TMP/err"
    status=$?
    if [ $status != "$want" ] || ! grep -qF -- "$text" "$TMP/err"; then
        echo "build $*: status $status, expected $want and: $text"
        cat "$TMP/err"
        exit 1
    fi
}
refuses 2 "-o DIR is missing" "$model"
refuses 2 "unknown target z80; known are x86-64" "$model" -o "$TMP/lib" --target z80
refuses 2 "one kind of processor" "$model" -o "$TMP/lib" --target x86-64,aarch64
refuses 2 "--emit tar: known are header, lib" "$model" -o "$TMP/lib" --emit tar
refuses 2 "no GPU is among the targets" "$model" -o "$TMP/lib" --emit ptx
refuses 2 "--target: a level is wanted" "$model" -o "$TMP/lib" --target ""
refuses 2 "nothing is to be written" "$model" -o "$TMP/lib" --emit ""
refuses 2 "no GPU is among the targets" "$model" -o "$TMP/lib" --gemm cublas
refuses 2 "own, cublas or auto is wanted" "$model" -o "$TMP/lib" --target sm_80 --gemm blas
refuses 2 "--with-gradient is for functions: with --kernels" "$model" -o "$TMP/lib" --with-gradient
refuses 2 "as in batch=64,seq=1024" "$model" -o "$TMP/lib" --max batch=1,x
refuses 2 "--max batch=0: names and bounds" "$model" -o "$TMP/lib" --max batch=0
refuses 2 "--max: batch is given twice" "$model" -o "$TMP/lib" --max batch=9,batch=8
refuses 2 "names and bounds" "$model" -o "$TMP/lib" --max ""
refuses 2 "--prefix a-b: no name in C" "$model" -o "$TMP/lib" --prefix a-b
refuses 2 "--prefix : no name in C" "$model" -o "$TMP/lib" --prefix ""
refuses 2 "--prefix m: m.h, libm.a or m_… are the system's" "$model" -o "$TMP/lib" --prefix m
refuses 2 "класс gives no name in C: give one with --prefix" "$TMP/класс.nn" -o "$TMP/lib"
refuses 2 "--runtime is for a model's --emit so" "$model" -o "$TMP/lib" --runtime "${NNC%/*}/libnnrt.a"
refuses 3 "--runtime /nowhere: No such file" "$model" -o "$TMP/lib" --emit so --runtime /nowhere
if [ "$(uname -m)" != aarch64 ]; then
    env PATH=/nowhere CC=none "$NNC" build "$model" -o "$TMP/lib" --target aarch64 --emit so 2>"$TMP/err" && exit 1
    grep -q "^nnc build: --emit so for aarch64: no compiler is found that links for it: install aarch64" "$TMP/err" || exit 1
fi
refuses 2 "no input of MLP has a dim seq that is free" "$model" -o "$TMP/lib" --max seq=8
refuses 2 "has a dim batch that is free" "$model" -o "$TMP/lib" --max batch=8 -D batch=3
refuses 1 "a slice's bound 129 is beyond 128" "$SOURCE/examples/gpt/char.nn" -o "$TMP/lib" --max seq=129
refuses 1 "--max seq=128 would do" "$SOURCE/examples/gpt/char.nn" -o "$TMP/lib" --max seq=129
printf 'model M(x: u8[batch, n]) -> u8[batch] = x[:, 4]\n' >"$TMP/at.nn"
refuses 1 "--max n=5 would do" "$TMP/at.nn" -o "$TMP/lib" --max n=4 -D batch=2
refuses 1 "give it with -D seq=" "$SOURCE/examples/gpt/char.nn" -o "$TMP/lib"
refuses 3 "cannot make the folder" "$model" -o /proc/nowhere
refuses 3 "cannot write to $model: Not a directory" "$model" -o "$model"
refuses 1 "error" tests/none.nn -o "$TMP/lib"
[ ! -e "$TMP/lib" ] || exit 1
# What files and functions are called: a keyword of C or C++, or a name that is the system's, gets a `_`.
for pair in m.nn:m_ Int.nn:int_ two.layers-a.nn:two_layers_a 2d.nn:_2d string.nn:string_ sem:sem_; do
    [ "$("$NNC" build "${pair%:*}" --print-prefix)" = "${pair#*:}" ] || { echo "$pair"; exit 1; }
done
[ "$("$NNC" build x.nn --model M --print-prefix)" = m_ ] || exit 1
if command -v nm >/dev/null && [ -z "$CFLAGS" ]; then
    "$NNC" build "$model" -o "$TMP/lib" --inference --emit so || exit 1
    [ "$(ls "$TMP/lib")" = libmlp.so ] || exit 1
    nm -D --defined-only "$TMP/lib/libmlp.so" | grep -q ' T mlp_forward$' || exit 1
    ! nm -D --defined-only "$TMP/lib/libmlp.so" | grep -v ' mlp_' || exit 1
fi
