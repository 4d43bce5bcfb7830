# --timings: when each part of the start was done, in order, up to the first step; once, and only where asked for.
set -eu
cat >"$TMP/one.nn" <<'N'
model MLP(x: u8[n]) -> f32[n] { param w: f32 = 1; return f32(x) * w }
dataset d { x: u8 from bytes("x"); test = 0.5 }
optimizer Down(lr: float)(p, g, step) { return p - lr * g }
train MLP on d { batch = 1; steps = 2; loss = mean(MLP(x)**2); optimizer = Down(1e-4) }
N
printf '\001\002\003\004\005\006\007\010' >"$TMP/x"
cd "$TMP"
"$NNC" train one.nn --out a --quiet --timings 2>said
cat said
grep ' ms  ' said | sort -s -n -c
[ "$(grep -c 'the first step is done' said)" = 1 ] && tail -n 1 said | grep -q 'the first step is done'
"$NNC" train one.nn --out b --quiet 2>said
[ ! -s said ]
if "$NNC" eval one.nn --weights a/last.safetensors --timings 2>said; then exit 1; fi
grep -q -- '--timings' said
