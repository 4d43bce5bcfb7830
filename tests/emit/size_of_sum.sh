# On a GPU a sum along a free size costs what the run's size does, not the bound.
cd "$TMP" || exit 1
"$NNC" devices | grep -q '^sim  *none' && { echo "no software GPU"; exit 77; }
echo 'model M(x: f32[seq, 64]) -> f32[64, 64] = [i, j: sum(k: x[k, i] * x[k, j])]' >m.nn
"$NNC" emit ptx m.nn --graph forward --max seq=900 --target sm_80 >m.ptx || exit 1
"$NNC" emit loops m.nn --graph forward --max seq=900 --target sm_80 >m.loop || exit 1
entry=$(sed -n 's/^\.visible \.entry \(.*_p0\)($/\1/p' m.ptx)
grid=$(sed -n 's/^phase \([0-9]*\) %c threads \([0-9]*\) .*/\1 \2/p' m.loop | head -n 1)
args=$(sed -n 's/^kernel [^(]*(\(.*\))$/\1/p' m.loop | tr ',' '\n' | sed 's/.* \(.*\)\[\(.*\)\]/\1:\2/; s/i64:1/@size.npy/' | tr '\n' ',')
fmas() { # SIZE
    { printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }"
      # shellcheck disable=SC2059
      printf "\\$(printf %o "$(($1 % 256))")\\$(printf %o "$(($1 / 256))")\0\0\0\0\0\0"; } >size.npy
    "$SIM" run m.ptx --entry "$entry" --grid "${grid% *}" --block "${grid#* }" --args "${args}u8:64" >"out.$1" || exit 1
    sed -n 's/^fma  *//p' "out.$1"
}
few=$(fmas 40) most=$(fmas 900)
[ "$few" -gt 0 ] && [ $((few * 8)) -lt "$most" ] || { echo "fma: $few for 40, $most for 900"; exit 1; }
