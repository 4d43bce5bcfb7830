# What is said where a device or a level is not there, or not one.
says() { # STATUS PATTERN ARGS
    want=$1 pattern=$2
    shift 2
    "$NNC" "$@" >"$TMP/out" 2>"$TMP/err"
    status=$?
    if [ $status != "$want" ] || ! grep -q -e "$pattern" "$TMP/err"; then
        echo "nnc $*: status $status, wanted $want and: $pattern"
        cat "$TMP/err"
        exit 1
    fi
}
M=$TMP/small.nn
sed '/^  test {/,/^  }/d; /^  evaluate/d; /^  best/d' "$SOURCE/tests/train/small.nn" >"$M"
T="train $M --data $SOURCE/examples/mnist/data --quiet --steps 1 --out $TMP/out.d"
says 2 '^nnc: --device gpu: auto, cpu, cuda, cuda:N, sim or sim:CHIP is wanted$' $T --device gpu
says 2 '^nnc: --device cuda:x: ' $T --device cuda:x
says 2 '^nnc: --target sm_80 is a GPU.s: --device cuda or --device sim runs it$' $T --device cpu --target sm_80
says 2 '^nnc: unknown target sm_1; known are x86-64, .*' $T --device cpu --target sm_1
says 2 'sm_75, sm_80' $T --device sim --target sm_1
says 2 '^nnc: the software GPU has no chip sm_1; it has sm_75, .*, sm_120a$' $T --device sim:sm_1
says 2 '^nnc: the software GPU has no chip sm_80,sm_90a; it has sm_75, ' $T --device sim:sm_80,sm_90a
says 2 '^nnc: --gemm mine: own, cublas or auto is wanted$' $T --device cpu --gemm mine
says 1 '^nnc: --target sm_86 does not run on .* of compute capability 8.0$' $T --device sim:sm_80 --target sm_86
says 1 '^nnc: --target sm_90a does not run on .* of compute capability 10.0$' $T --device sim:sm_100a --target sm_90a
NNC_SIM_LIBRARY=/nowhere/libnncsim.so says 3 'the software GPU is not there; looked for /nowhere/libnncsim.so$' $T --device sim:sm_75
NN_SIM_MEMORY=100000 says 3 '^nnc: out of memory: the model needs .* MB on the GPU; nncsim sm_75 has 0.1 MB free of 0.1 MB' $T --device sim:sm_75
"$NNC" devices >"$TMP/list"
grep -q '^cpu  ' "$TMP/list" && grep -q '^sim     nncsim sm_80, sm_80, ' "$TMP/list" || { cat "$TMP/list"; exit 1; }
"$NNC" devices --json | grep -q '"name":"sim","title":"nncsim sm_80","level":"sm_80"' || exit 1
for chip in sm_75 sm_86 sm_89 sm_90a sm_100a; do # whatever LLVM knows, a card has a level
    "$NNC" $T --device sim:$chip || exit 1
done
if "$NNC" devices | grep -q '^cuda    none: '; then # no GPU on this machine
    says 3 '^nnc: .*libcuda.so.1' $T --device cuda
    says 3 '^nnc: .*libcuda.so.1' $T --target sm_80
    says 0 '^nnc: computing on the CPU: .*libcuda.so.1' $T --device auto
fi
