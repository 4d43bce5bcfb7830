#!/usr/bin/env python3
"""Compares the standard library's losses, optimizers and schedules with PyTorch's, in f32.

    bench/peers/training.py [--nnc build/nnc] [NAME ...]

A loss: value and gradient of one batch by `nnc grad`, within 1e-5 of the largest magnitude. An optimizer:
the weights after some steps of `nnc train` from the same start on the same batch, within 1e-5 of
the largest change. Skipped where PyTorch is not installed.
"""
import argparse, os, subprocess, sys, tempfile

from layers import close, save_safetensors  # exits with 77 where PyTorch is missing
import json, struct
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

STEPS = 12
DTYPES = {"F32": np.float32, "I64": np.int64}


def load_safetensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            lo, hi = t["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + lo:8 + n + hi], DTYPES[t["dtype"]]).reshape(t["shape"])
    return out


def labels(ignored=0):
    y = torch.randint(0, 9, (16,))
    y[:ignored] = -100
    return y


def losses():
    """name, nn expression, PyTorch function, target"""
    yes = lambda: torch.randint(0, 2, (16, 9)).float()
    yield "cross_entropy", "cross_entropy(z, y)", F.cross_entropy, labels
    yield "cross_entropy_smooth", "cross_entropy(z, y, smooth = 0.1)", \
        lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1), labels
    yield "cross_entropy_ignore", "cross_entropy(z, y, smooth = 0.2)", \
        lambda z, y: F.cross_entropy(z, y, label_smoothing=0.2), lambda: labels(5)
    yield "mse", "mse(z, y)", F.mse_loss, lambda: torch.randn(16, 9)
    yield "l1", "l1(z, y)", F.l1_loss, lambda: torch.randn(16, 9)
    yield "huber", "huber(z, y, delta = 0.7)", lambda z, y: F.huber_loss(z, y, delta=0.7), lambda: torch.randn(16, 9)
    yield "smooth_l1", "smooth_l1(z, y, beta = 0.5)", lambda z, y: F.smooth_l1_loss(z, y, beta=0.5), \
        lambda: torch.randn(16, 9)
    yield "bce_with_logits", "bce_with_logits(z, y)", F.binary_cross_entropy_with_logits, yes
    yield "bce", "bce(sigmoid(z), y)", lambda z, y: F.binary_cross_entropy(torch.sigmoid(z), y), yes
    yield "kl_div", "kl_div(log_softmax(z), y)", \
        lambda z, y: F.kl_div(F.log_softmax(z, -1), y, reduction="batchmean"), \
        lambda: torch.softmax(torch.randn(16, 9), -1)


def optimizers():
    """name, nn expression, PyTorch's optimizer, PyTorch's factor of the rate at a step"""
    one = lambda k: 1.0
    O = torch.optim
    yield "sgd", "SGD(0.1)", lambda p: O.SGD(p, 0.1), one
    yield "sgd_momentum", "SGD(0.1, momentum = 0.9)", lambda p: O.SGD(p, 0.1, momentum=0.9), one
    yield "sgd_nesterov", "SGD(0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01)", \
        lambda p: O.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01), one
    yield "sgd_dampening", "SGD(0.1, momentum = 0.8, dampening = 0.5)", \
        lambda p: O.SGD(p, 0.1, momentum=0.8, dampening=0.5), one
    yield "adam", "Adam(0.01)", lambda p: O.Adam(p, 0.01), one
    yield "adam_decay", "Adam(0.01, beta1 = 0.8, weight_decay = 0.1)", \
        lambda p: O.Adam(p, 0.01, betas=(0.8, 0.999), weight_decay=0.1), one
    yield "adamw", "AdamW(0.01, weight_decay = 0.1)", lambda p: O.AdamW(p, 0.01, weight_decay=0.1), one
    yield "rmsprop", "RMSprop(0.01)", lambda p: O.RMSprop(p, 0.01), one
    yield "rmsprop_centered", "RMSprop(0.01, centered = true, momentum = 0.9)", \
        lambda p: O.RMSprop(p, 0.01, centered=True, momentum=0.9), one
    warm = lambda k, w: min(1, (k + 1) / w)
    yield "schedule_constant", "SGD(constant(0.1, warmup = 4))", lambda p: O.SGD(p, 0.1), lambda k: warm(k, 4)
    yield "schedule_step", "SGD(step_decay(0.1, every = 3, gamma = 0.5))", lambda p: O.SGD(p, 0.1), \
        lambda k: 0.5 ** (k // 3)
    yield "schedule_linear", "SGD(linear(0.1))", lambda p: O.SGD(p, 0.1), lambda k: 1 - k / STEPS
    yield "schedule_cosine", "SGD(cosine(0.1, warmup = 4, floor = 0.02))", lambda p: O.SGD(p, 0.1), \
        lambda k: warm(k, 4) if k < 4 else 0.2 + 0.8 * (1 + np.cos(np.pi * (k - 4) / (STEPS - 4))) / 2


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def loss_case(nnc, tmp, expression, function, target):
    y, x = target(), torch.randn(16, 9)
    dtype = "i64" if y.dtype == torch.int64 else "f32[9]"
    path = lambda *s: os.path.join(tmp, *s)
    open(path("m.nn"), "w").write(f"""use std
dataset d {{ x: f32[9] from npy("x.npy"); y: {dtype} from npy("y.npy") }}
model M(x: f32[batch, 9]) -> f32[batch, 9] {{
  param shift: f32[9] = 0
  return x + shift
}}
train M on d {{
  batch = 16
  steps = 1
  z = M(x)
  loss = {expression}
  optimizer = SGD(0.1)
}}
""")
    shift = nn.Parameter(torch.randn(9) / 10)
    save_safetensors(path("w.safetensors"), {"shift": shift})
    np.save(path("x.npy"), x.numpy())
    np.save(path("y.npy"), y.numpy())
    wrong = call(nnc, "grad", path("m.nn"), "--weights", path("w.safetensors"), "--input", "x=" + path("x.npy"),
                 "--input", "y=" + path("y.npy"), "--output-dir", path("out"))
    if wrong:
        return ["nnc grad failed: " + wrong], 0.0
    loss = function(x + shift, y)
    loss.backward()
    problems = []
    worst = close("loss", np.load(path("out", "loss.npy")), loss, problems)
    return problems, max(worst, close("gradient", np.load(path("out", "grad", "shift.npy")), shift.grad, problems))


def optimizer_case(nnc, tmp, expression, make, factor):
    x, y = torch.randn(16, 5), torch.randn(16, 3)
    path = lambda *s: os.path.join(tmp, *s)
    open(path("m.nn"), "w").write(f"""use std
dataset d {{ x: f32[5] from npy("x.npy"); y: f32[3] from npy("y.npy") }}
model M(x: f32[batch, 5]) -> f32[batch, 3] {{
  net = Linear(3)
  return net(x)
}}
train M on d {{
  batch = 16
  steps = {STEPS}
  loss = mse(M(x), y)
  optimizer = {expression}
}}
""")
    net = nn.Linear(5, 3)
    start = {"net." + k: v.detach().clone() for k, v in net.named_parameters()}
    save_safetensors(path("w.safetensors"), start)
    np.save(path("x.npy"), x.numpy())
    np.save(path("y.npy"), y.numpy())
    wrong = call(nnc, "train", path("m.nn"), "--data", tmp, "--out", path("out"), "--no-shuffle", "--quiet",
                 "--init", path("w.safetensors"))
    if wrong:
        return ["nnc train failed: " + wrong], 0.0
    rule = make(net.parameters())
    rate = rule.param_groups[0]["lr"]
    for k in range(STEPS):
        rule.param_groups[0]["lr"] = rate * factor(k)
        rule.zero_grad()
        F.mse_loss(net(x), y).backward()
        rule.step()
    got, problems, worst = load_safetensors(path("out", "last.safetensors")), [], 0.0
    for name, p in net.named_parameters():
        before = start["net." + name]
        change = torch.tensor(got["net." + name]) - before
        worst = max(worst, close(name, change.numpy(), (p - before), problems))
    return problems, worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nnc", default="build/nnc")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    failed = total = 0
    for run, cases in ((loss_case, losses()), (optimizer_case, optimizers())):
        for name, *case in cases:
            if args.names and name not in args.names:
                continue
            torch.manual_seed(0)
            total += 1
            with tempfile.TemporaryDirectory() as tmp:
                problems, worst = run(args.nnc, tmp, *case)
            failed += bool(problems)
            print(f"{name:22} {'FAILED' if problems else 'ok':7} largest relative error {worst:.1e}")
            for p in problems:
                print("    " + p)
    print(f"{total - failed} of {total} agree")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
