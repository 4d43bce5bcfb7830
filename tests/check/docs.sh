# Every block marked `nn` in the reference is a whole file that `nnc check` accepts without a word.
set -eu
awk -v dir="$TMP" '/^```nn$/ { n++; next_file = dir "/block" n ".nn"; on = 1; next }
     /^```/ { on = 0 } on { print > next_file }' "$SOURCE/docs/language.md"
count=0
for f in "$TMP"/block*.nn; do
    "$NNC" check "$f" >"$TMP/said" 2>&1 || { cat "$f" "$TMP/said"; exit 1; }
    [ ! -s "$TMP/said" ] || { cat "$f" "$TMP/said"; exit 1; }
    count=$((count + 1))
done
[ "$count" -ge 8 ]
