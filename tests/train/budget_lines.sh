# --budget: noise goes in parts and stays what it was; what stands against parts is named, by the user's lines.
set -eu
cd "$TMP"
export NNC_CACHE="$TMP/cache"
printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': (400, 8), }" >x.npy
awk 'BEGIN { for (i = 0; i < 3200; i++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%c", 65 + s % 61 } }' >>x.npy
cat >noise.nn <<'N'
use std
dataset d { x: u8[8] from npy("x.npy"); test = 0.4 }
model G(z: f32[n, 4]) -> f32[n, 8] { a = Linear(64); b = Linear(8); return b(relu(a(z))) }
model D(x: f32[n, 8]) -> f32[n] { a = Linear(32); b = Linear(1); return b(dropout(relu(a(x)), 0.2)).reshape(n) }
train G on d {
  batch = 96; steps = 4; seed = 3
  real = f32(x) / 64
  loss = mse(G(random_normal(batch, 4)), real)
  metric far = mean(abs(G(random_normal(batch, 4)) - real))
  optimizer = Adam(1e-3)
}
N
figures() { sed -n 's/.*"loss":\([0-9.e-]*\),"far":\([0-9.e-]*\).*/\1 \2/p' "$1/log.jsonl" | tail -n 1; }
"$NNC" train noise.nn --out whole --quiet
for budget in 50KB 28KB; do
    rm -rf parts
    "$NNC" train noise.nn --out parts --budget $budget >said 2>&1
    cat said
    grep -q 'step: the batch in [0-9]* parts.*; eval: the batch in [0-9]* parts' said
    "$TOOL" near 1e-5 '' parts/last.safetensors whole/last.safetensors
    echo "$(figures whole) $(figures parts)" |
        awk '{ for (i = 1; i < 3; i++) { d = $i / $(i + 2) - 1; if (NF != 4 || d > 1e-6 || d < -1e-6) exit 1 } }'
done
# Factors of few bits: a step is as close.
sed 's/Adam(1e-3)/SGD(0.5); precision = f16/' noise.nn >few.nn
"$NNC" train few.nn --out few --steps 1 --quiet
rm -rf parts
"$NNC" train few.nn --out parts --steps 1 --budget 28KB >said 2>&1
grep -q 'step: the batch in [0-9]* parts' said
"$TOOL" near 1e-6 '' parts/last.safetensors few/last.safetensors
refused() { # TEXT FILE
    if "$NNC" check "$2" --budget 40KB 2>said; then exit 1; fi
    cat said
    grep -q -- "$1" said
}
# The generator's loss sees the new discriminator, which takes the whole batch.
sed 's/^train G/train G, D/; /metric/d
     s/  loss.*/  fake = G(random_normal(batch, 4))\
  loss[D] = bce_with_logits(D(real), ones(batch)) + bce_with_logits(D(stop_gradient(fake)), zeros(batch))\
  loss[G] = bce_with_logits(D(fake), ones(batch))/' noise.nn >gan.nn
refused 'Parts save little: each computes for the whole batch what hangs on gan.nn:8: random_normal, since gan.nn:4: D.a.matmul reads what the whole batch has updated' gan.nn
# Not a matter of the layer whose gradient it is.
sed 's/loss = .*/p = G(real[:, :4])\
  loss = mse(p, real) + exp(mean(p))/; /metric/d' noise.nn >mean.nn
refused 'does not go through in parts: mean.nn:9: exp is of the whole batch, and each sample.s gradient needs it' mean.nn
