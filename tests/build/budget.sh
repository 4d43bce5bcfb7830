# A library built with --budget trains in parts to the very bytes that `nnc train` writes with it, and takes no more.
set -e
data="$SOURCE/examples/mnist/data"
cd "$TMP"
sed 's/512/64/; s/lr = cosine(1e-3/lr = cosine(1e-2/' "$SOURCE/examples/mnist/mlp.nn" >mlp.nn
"$NNC" build mlp.nn -o lib --max batch=8 --budget 950KB 2>said
cat said
[ "$(grep -c 'step: the batch in 4 parts' said)" = 1 ]
[ "$(sed -n 's/#define MLP_PEAK_BYTES *\([0-9]*\).*/\1/p' lib/mlp.h)" -le 950000 ]
# shellcheck disable=SC2086
${CC:-cc} ${CFLAGS:-} -std=c11 -I lib -I "$SOURCE/runtime" "$SOURCE/tests/build/mlp.c" lib/libmlp.a "${NNC%/*}/libnnrt.a" \
    -lz -lm -pthread -o mlp
./mlp "$data" w.safetensors
"$NNC" train mlp.nn --data "$data" --steps 6 --no-shuffle --quiet --out out --budget 950KB
cmp w.safetensors out/last.safetensors
if "$NNC" build mlp.nn -o none --budget 10KB 2>said; then exit 1; fi
grep -q '10.0 KB is less than what is fixed' said
[ ! -e none ]
if "$NNC" build mlp.nn -o none --budget 1MB --kernels 2>said; then exit 1; fi
grep -q -e '--budget is for models' said
