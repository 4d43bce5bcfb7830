# The compile cache: a second start finds what the first kept and does the same; another size is another
# entry; damaged, foreign and missing entries are misses; the folder is only its owner's.
export NNC_CACHE="$TMP/cache"
model="$SOURCE/examples/mnist/mlp.nn"
run() { # OUT ARGUMENTS
    out=$1
    shift
    "$NNC" train "$model" --steps 3 --quiet --out "$TMP/$out" "$@" 2>"$TMP/err" || { cat "$TMP/err"; exit 1; }
    [ ! -s "$TMP/err" ] || { cat "$TMP/err"; exit 1; }
}
same() { cmp "$TMP/$1/last.safetensors" "$TMP/$2/last.safetensors" || exit 1; }
entries() { [ "$(ls "$TMP/cache" | wc -l)" = "$1" ] || { echo "$2: not $1 entries"; ls -l "$TMP/cache"; exit 1; }; }

run first
entries 1 "after the first run"
entry=$(ls "$TMP/cache")
inode=$(ls -i "$TMP/cache/$entry")
run second
same first second
entries 1 "after the second run"
[ "$inode" = "$(ls -i "$TMP/cache/$entry")" ] || { echo "the second run compiled"; exit 1; }
run half -D hidden=256
entries 2 "after another size"

# A changed byte, a file cut short, an empty one.
size=$(wc -c <"$TMP/cache/$entry")
for damage in "seek=$((size / 2)) conv=notrunc" "seek=100" "seek=0"; do
    # shellcheck disable=SC2086
    printf x | dd of="$TMP/cache/$entry" bs=1 $damage 2>"$TMP/dd"
    run third
    same first third
    [ "$(wc -c <"$TMP/cache/$entry")" = "$size" ] || { echo "$damage: not made again"; exit 1; }
done

# Others could have written there; there is no place; it is switched off.
chmod 777 "$TMP/cache"
rm "$TMP/cache/$entry"
run open
entries 1 "in a folder open to all"
same first open
NNC_CACHE="$TMP/err/x" run none
same first none
NNC_CACHE=off run off
same first off

# Four at once, from nothing.
export NNC_CACHE="$TMP/new"
for i in 1 2 3 4; do
    "$NNC" train "$model" --steps 3 --quiet --out "$TMP/p$i" &
done
wait
for i in 1 2 3 4; do
    same first p$i
done
[ "$(ls "$TMP/new" | wc -l)" = 1 ] || { ls -l "$TMP/new"; exit 1; }
