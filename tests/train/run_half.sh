# In bf16 a library for any size up to bounds rounds what one of that very size does, also the factors of sums along a
# free size, and on a GPU tensor cores add them up.
cd "$TMP" || exit 1
cat >m.nn <<'EOF'
use std
dataset d { x: u8[seq, 16] from npy("none.npy") }
model A(x: u8[batch, seq, 16]) -> (f32[batch, seq, 16], f32[batch, 16, 16]) {
  q = sin(f32(x)); k = cos(f32(x)); v = sin(3*f32(x) + 1)
  s = q @ k.T
  return softmax([b, i, j: where(j <= i, s[b, i, j], -inf)]) @ v, q.T @ v
}
train A on d { precision = bf16; batch = 3; steps = 1; seq = 8; y, z = A(x); loss = mean(z) + mean(y); optimizer = none }
EOF
npy() { # FILE SEQ
    header="{'descr': '|u1', 'fortran_order': False, 'shape': (3, $2, 16), }"
    { printf '\223NUMPY\001\000\166\000%-117s\n' "$header"
      awk -v n="$((3 * 16 * $2))" 'BEGIN { for (i = 0; i < n; i++) printf "%c", 1 + i * 7 % 101 }'; } >"$1"
}
near() { # FILE FILE BOUND: of the largest magnitude
    for f in "$1" "$2"; do tail -c +129 "$f" | od -An -v -w4 -tf4 >"$f.txt"; done
    paste "$1.txt" "$2.txt" | awk -v bound="$3" 'function abs(x) { return x < 0 ? -x : x }
        { d = abs($1 - $2); if (!(d <= 4)) bad = 1; if (d > e) e = d; if (abs($2) > m) m = abs($2) }
        END { if (bad || !NR || !m || e > bound * m) { print "apart by", e, "of", m; exit 1 } }' || { echo "$1 $2"; exit 1; }
}
devices="cpu"
"$NNC" devices | grep -q '^sim  *none' || devices="cpu sim"
for seq in 40 13; do
    npy x.npy $seq
    for device in $devices; do
        "$NNC" run m.nn --input x=x.npy --device $device --output one.npy || exit 1
        "$NNC" run m.nn --input x=x.npy --device $device --max batch=3,seq=40 --output any.npy || exit 1
        for i in 0 1; do
            [ $seq != 40 ] || [ $device != cpu ] || cmp one.$i.npy any.$i.npy || exit 1
            near any.$i.npy one.$i.npy 1e-3
        done
        [ -e cpu.0.npy ] || { cp any.0.npy cpu.0.npy; cp any.1.npy cpu.1.npy; }
        for i in 0 1; do near any.$i.npy cpu.$i.npy 1e-2; done
    done
    rm cpu.*.npy
done
sed 's/precision = bf16; //' m.nn >f32.nn
"$NNC" run f32.nn --input x=x.npy --output f32.npy --max batch=3,seq=40 || exit 1
! cmp -s f32.1.npy any.1.npy && near f32.1.npy any.1.npy 1e-2 || exit 1
"$NNC" emit fused m.nn --graph forward --max batch=3,seq=40 --target sm_80 >fused.txt || exit 1
grep -q 'chain over (batch 3, seq 40) by tiles' fused.txt && grep -q 'contraction .*own mma bf16 16 x 16 x 40, batch 3' fused.txt || { cat fused.txt; exit 1; }
"$NNC" emit ptx m.nn --graph forward --max batch=3,seq=40 --target sm_80 >m.ptx || exit 1
[ "$(grep -c 'mma.sync.*bf16' m.ptx)" -gt 8 ] && ! grep -q 'fma.rn.f32.*acc' m.ptx || exit 1
