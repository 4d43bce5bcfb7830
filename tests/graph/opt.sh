# nnc opt: unknown passes, broken files, --print-after and --stop-after.
cat > "$TMP/a.graph" <<'END'
graph g {
  %x = input x : f32[i 3]
  %y = neg %x : f32[i 3]
  %z = neg %y : f32[i 3]
  output z %z
}
END
fail() { echo "$1"; exit 1; }
"$NNC" opt --passes=simplfy "$TMP/a.graph" 2>"$TMP/err" && fail "an unknown pass is accepted"
grep -q 'did you mean `simplify`' "$TMP/err" || fail "no suggestion"
"$NNC" opt --passes=simplify,dce --stop-after=simplify --print-after=simplify "$TMP/a.graph" >"$TMP/out" || fail "opt"
[ "$(grep -c '^# after simplify' "$TMP/out")" = 1 ] || fail "not printed after the pass"
[ "$(grep -c 'neg' "$TMP/out")" = 2 ] || fail "dce ran, or a double negation stayed in use"
sed 's/neg %x/neg %w/' "$TMP/a.graph" > "$TMP/b.graph"
"$NNC" opt --passes=dce "$TMP/b.graph" >"$TMP/out" 2>"$TMP/err"; [ $? = 1 ] || fail "a broken file is accepted"
grep -q 'b.graph:3:12: error: %w is not defined before this line' "$TMP/err" || fail "no located message"
"$NNC" opt --passes=dce "$TMP/none.graph" 2>"$TMP/err"; [ $? = 1 ] || fail "a missing file"
exit 0
