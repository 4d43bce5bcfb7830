# Functions for another kind of processor: values, gradients, stages and a fault under an emulator.
set -e
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
"$NNC" build build/kernels.nn -o "$TMP" --kernels --with-gradient --target aarch64 \
    --instance 'norm64=norm:T=f64,s=[2,3],n=5' --instance norm16=norm:T=bf16,s=6,n=5 \
    --instance lookup:v=7,n=5,rows=2 --instance cube:n=9,by=2 --instance product:m=40,k=150,n=70 \
    --instance half:n=3,scale=0.5
aarch64-linux-gnu-gcc -std=c11 -static -I "$TMP" build/kernels.c "$TMP/libkernels.a" -lm -o "$TMP/test"
qemu-aarch64 "$TMP/test"
