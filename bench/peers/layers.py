#!/usr/bin/env python3
"""Compares stdlib layers and losses with PyTorch: output, loss, gradients, states, in f32.

    bench/peers/layers.py [--nnc build/nnc] [NAME ...]

Every case is a model file of one layer. The weights come from PyTorch's own initialisation through a
safetensors file under PyTorch's names; `nnc grad` then gives loss, output, gradients and new states,
which must agree within 1e-5 of each tensor's largest magnitude. A parameter `shift` of the input's
shape, added to the input, makes the input's gradient visible (where it is not 0 by nature). Skipped where PyTorch is not installed.
"""
import argparse, json, os, struct, subprocess, sys, tempfile

try:
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8"}


def save_safetensors(path, tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        raw = t.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": DTYPES[t.dtype], "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


class Case:
    """layer: the nn expression; torch: makes the module; shape: the input's (batch first)."""

    def __init__(self, name, layer, module, shape, out_rank, integer=0, shifted=True, evaluate=False):
        self.__dict__.update(locals())


def cases():
    yield Case("linear", "Linear(7)", lambda: nn.Linear(5, 7), (6, 5), 2)
    yield Case("linear_nobias", "Linear(7, bias = false)", lambda: nn.Linear(5, 7, bias=False), (6, 3, 5), 3)
    yield Case("conv", "Conv2d(6, 3)", lambda: nn.Conv2d(4, 6, 3), (2, 4, 9, 8), 4)
    yield Case("conv_strided", "Conv2d(6, 3, stride = 2, pad = 1)",
               lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 8), 4)
    yield Case("conv_dilated", "Conv2d(6, 3, dilation = 2, pad = 2)",
               lambda: nn.Conv2d(4, 6, 3, dilation=2, padding=2), (2, 4, 9, 8), 4)
    yield Case("conv_groups", "Conv2d(6, 3, groups = 2, pad = 1)",
               lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 9, 8), 4)
    yield Case("conv_depthwise", "Conv2d(4, 3, groups = 4, pad = 1)",
               lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1), (2, 4, 9, 8), 4)
    yield Case("conv_transpose", "ConvTranspose2d(6, 4, stride = 2, pad = 1)",
               lambda: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (2, 4, 5, 6), 4)
    yield Case("conv_transpose_plain", "ConvTranspose2d(3, 3)",
               lambda: nn.ConvTranspose2d(4, 3, 3), (2, 4, 5, 6), 4)
    yield Case("max_pool", "MaxPool2d(2)", lambda: nn.MaxPool2d(2), (2, 3, 8, 6), 4)
    yield Case("max_pool_pad", "MaxPool2d(3, stride = 2, pad = 1)",
               lambda: nn.MaxPool2d(3, stride=2, padding=1), (2, 3, 9, 8), 4)
    yield Case("avg_pool", "AvgPool2d(2)", lambda: nn.AvgPool2d(2), (2, 3, 8, 6), 4)
    yield Case("avg_pool_pad", "AvgPool2d(3, stride = 2, pad = 1)",
               lambda: nn.AvgPool2d(3, stride=2, padding=1), (2, 3, 9, 8), 4)
    yield Case("batch_norm", "BatchNorm()", lambda: nn.BatchNorm2d(5), (4, 5, 3, 3), 4)
    yield Case("batch_norm_1d", "BatchNorm()", lambda: nn.BatchNorm1d(5), (8, 5), 2, shifted=False)
    yield Case("batch_norm_eval", "BatchNorm()", lambda: nn.BatchNorm2d(5), (4, 5, 3, 3), 4, evaluate=True)
    yield Case("layer_norm", "LayerNorm()", lambda: nn.LayerNorm(9), (4, 3, 9), 3)
    yield Case("group_norm", "GroupNorm(2)", lambda: nn.GroupNorm(2, 6), (3, 6, 4, 5), 4)
    yield Case("rms_norm", "RMSNorm(eps = 1e-6)", lambda: nn.RMSNorm(9, eps=1e-6), (4, 3, 9), 3)
    yield Case("embedding", "Embedding(11, 6)", lambda: nn.Embedding(11, 6), (4, 5), 3, integer=11)
    for name, fn in (("relu", F.relu), ("gelu", F.gelu), ("silu", F.silu), ("sigmoid", torch.sigmoid),
                     ("softmax", lambda x: F.softmax(x, -1)), ("log_softmax", lambda x: F.log_softmax(x, -1)),
                     ("tanh", torch.tanh)):
        yield Case(name, name, lambda fn=fn: Function(fn), (5, 9), 2)
    yield Case("gelu_tanh", "[gelu_tanh]", lambda: nn.GELU(approximate="tanh"), (5, 9), 2)
    yield Case("attention", "MultiHeadAttention(3)", lambda: Attention(12, 3, False), (2, 5, 12), 3)
    yield Case("attention_causal", "MultiHeadAttention(3, causal = true)",
               lambda: Attention(12, 3, True), (2, 5, 12), 3)


class Function(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, x):
        return self.fn(x)


class Attention(nn.MultiheadAttention):
    def __init__(self, dim, heads, causal):
        super().__init__(dim, heads, batch_first=True)
        self.causal = causal

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        return super().forward(x, x, x, attn_mask=mask, need_weights=False)[0]


def source(case):
    dims = ", ".join(str(d) for d in case.shape[1:])
    dtype = "i32" if case.integer else "f32"
    shifted = case.shifted and not case.integer
    shift = "" if not shifted else f"  param shift: f32[{dims}] = 0\n"
    x = "x + shift" if shifted else "x"
    layer = case.layer.strip("[]") if case.layer.startswith("[") else case.layer
    is_function = "(" not in layer
    net = "" if is_function else f"  net = {layer}\n"
    call = f"{layer}({x})" if is_function else f"net({x})"
    return f"""use std
fn gelu_tanh(v: T[...s]) -> T[...s] = gelu(v, tanh_form = true)
dataset d {{ x: {dtype}[{dims}] from npy("x.npy") }}
model M(x: {dtype}[batch, {dims}]) {{
{shift}{net}  return {call}
}}
train M on d {{
  batch = {case.shape[0]}
  steps = 1
  loss = mean(exp(sin(2 * M(x))))
  optimizer = SGD(0.1)
}}
"""


class Shifted(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.net = case.module()
        self.shift = None if case.integer or not case.shifted else nn.Parameter(torch.zeros(case.shape[1:]))

    def forward(self, x):
        return self.net(x if self.shift is None else x + self.shift)


def close(what, got, want, problems, bound=1e-5, scale=None):
    """scale: the largest magnitude of what was added up to `want`, where that may cancel."""
    want = want.detach().numpy()
    if tuple(got.shape) != tuple(want.shape):
        problems.append(f"{what}: shape {got.shape}, PyTorch has {want.shape}")
        return 0.0
    scale = scale or (float(np.max(np.abs(want))) if want.size else 1.0)
    error = float(np.max(np.abs(got.astype(np.float64) - want))) / (scale or 1.0) if want.size else 0.0
    if not error <= bound:
        problems.append(f"{what}: relative error {error:.2e}")
    return error


def run(case, nnc):
    torch.manual_seed(0)
    problems, worst = [], 0.0
    model = Shifted(case)
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.data += 0.1 * torch.randn_like(p)
    model.train(not case.evaluate)
    with tempfile.TemporaryDirectory() as tmp:
        path = lambda *s: os.path.join(tmp, *s)
        open(path("m.nn"), "w").write(source(case))
        save_safetensors(path("w.safetensors"), model.state_dict())
        x = torch.randint(0, case.integer, case.shape, dtype=torch.int32) if case.integer else torch.randn(case.shape)
        np.save(path("x.npy"), x.numpy())
        command = [nnc, "grad", path("m.nn"), "--weights", path("w.safetensors"), "--input", "x=" + path("x.npy"),
                   "--output-dir", path("out")] + (["--eval"] if case.evaluate else [])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return [f"nnc grad failed: {done.stderr.strip()}"], 0.0
        x.requires_grad_(not case.integer)
        y = model(x)
        loss = torch.mean(torch.exp(torch.sin(2 * y)))
        loss.backward()
        worst = max(worst, close("loss", np.load(path("out", "loss.npy")), loss, problems))
        worst = max(worst, close("output", np.load(path("out", "output.npy")), y, problems))
        for name, p in model.named_parameters():
            got = np.load(path("out", "grad", name + ".npy"))
            terms = float(x.grad.abs().sum(0).max()) if name == "shift" else None
            worst = max(worst, close("grad " + name, got, p.grad, problems, scale=terms))
        for name, b in model.named_buffers():
            got = np.load(path("out", "state", name + ".npy"))
            worst = max(worst, close("state " + name, got, b, problems))
    return problems, worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nnc", default="build/nnc")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    failed = total = 0
    for case in cases():
        if args.names and case.name not in args.names:
            continue
        total += 1
        problems, worst = run(case, args.nnc)
        failed += bool(problems)
        print(f"{case.name:22} {'FAILED' if problems else 'ok':7} largest relative error {worst:.1e}")
        for p in problems:
            print("    " + p)
    print(f"{total - failed} of {total} agree")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
