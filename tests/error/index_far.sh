# A subscript that leaves 64 bits, or comes near: a located error, of `nnc check` too.
set -eu
refused() { # NAME TEXT
    echo "$2" >"$TMP/$1.nn"
    for command in check 'emit asm'; do
        status=0
        "$NNC" $command "$TMP/$1.nn" 2>"$TMP/said" || status=$?
        cat "$TMP/said"
        [ "$status" = 1 ]
        grep -q ': error: an index goes beyond 2\*\*55' "$TMP/said"
    done
}
refused affine 'model M(x: f32[3, 4]) -> f32[3, 4] = [i, j < 4: x[i, j*9000000000000000000]]'
refused offset 'model M(x: f32[3, 4]) -> f32[3, 4] = [i, j < 4: x[i, j - 9000000000000000000]]'
refused quotient 'model M(x: f32[3, 4]) -> f32[3, 4] = [i, j < 4: x[i, j*9000000000000000000 // 3]]'
# What the front end lets through compiles, whether or not a machine has the memory.
echo 'model M(x: f32[3, 4]) -> f32[3, 40000000000000] = [i, j < 40000000000000: x[i, 0]]' >"$TMP/large.nn"
"$NNC" emit asm "$TMP/large.nn" >"$TMP/said" || { cat "$TMP/said"; exit 1; }
