# Labels out of range are refused when the files are read, though cross_entropy replaces the ignored ones before it uses
# them; those that are ignored may stand there. A label that is moved differently from the condition is left to the run.
set -eu
cat >"$TMP/l.nn" <<'N'
use std
dataset d { x: u8 from bytes("x"); y: i64 from npy("y.npy") }
model M(x: u8[n]) -> f32[n, 4] { param w: f32[4] = 1; return unsqueeze(f32(x), 1) * w }
train M on d { batch = 2; steps = 2; loss = cross_entropy(M(x), y); optimizer = SGD(0.1) }
N
printf '\001\002\003\004' >"$TMP/x"
labels() { # the third and the fourth, as bytes
    header="{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }"
    { printf '\223NUMPY\001\000\166\000%-117s\n' "$header"; printf '\001\0\0\0\0\0\0\0\003\0\0\0\0\0\0\0'"$1$2"; } >"$TMP/y.npy"
}
minus100='\234\377\377\377\377\377\377\377' minus1='\377\377\377\377\377\377\377\377' four='\004\0\0\0\0\0\0\0'
labels $minus100 $minus100
"$NNC" train "$TMP/l.nn" --quiet --out "$TMP/o"
refused() { # TEXT
    status=0
    "$NNC" train "$TMP/l.nn" --quiet --out "$TMP/o" 2>"$TMP/said" || status=$?
    cat "$TMP/said"
    [ $status = 1 ] && grep -q "$1" "$TMP/said"
}
labels $minus100 $four
refused 'y.npy: entry 3 is 4; y must be in 0..4 or -100$'
labels $minus1 $minus100
refused 'y.npy: entry 2 is -1; y must be in 0..4 or -100$'
sed -i 's/cross_entropy(M(x), y)/cross_entropy(M(x), y, ignore = -1)/' "$TMP/l.nn"
labels $minus1 $minus1
"$NNC" train "$TMP/l.nn" --quiet --out "$TMP/o"
# Indexed as it is too: nothing is spared.
sed -i 's/loss = /loss = 0 * M(x)[0, y[0]] + /' "$TMP/l.nn"
refused 'y.npy: entry 2 is -1; y must be in 0..4$'
sed -i 's/loss = .*; opt/loss = sum([i: M(x)[i, where(y[1 - i] == 9, 0, y[i])]]); opt/' "$TMP/l.nn"
refused 'step 1: .*l.nn:4'
# A label of 64 bits is taken whole: 2^32 + 1 is not class 1.
printf 'use std\nmodel M(y: i64[4]) -> f32 { return cross_entropy(f32(arange(16)).reshape(4, 4), y) }\n' >"$TMP/m.nn"
labels "\001\0\0\0\001\0\0\0" $minus100
status=0
"$NNC" run "$TMP/m.nn" --input "y=$TMP/y.npy" --output "$TMP/o.npy" 2>"$TMP/said" || status=$?
cat "$TMP/said"
[ $status = 1 ] && grep -q 'index 4294967297' "$TMP/said"
