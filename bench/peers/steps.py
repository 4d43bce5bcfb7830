#!/usr/bin/env python3
"""Times whole training steps (forward, backward, Adam) of the examples' networks in PyTorch, eager mode,
beside `nnc bench` on the same machine, alternating, medians of several rounds.

    bench/peers/steps.py [--nnc build/nnc] [--threads 2] [--rounds 3] [NAME ...]

PyTorch runs with the allocator settings that help it most (MALLOC_MMAP_MAX_=0). Skipped where PyTorch is
not installed.
"""
import argparse, json, os, statistics, subprocess, sys, time

os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "17179869184")
if os.environ.get("NNC_PEERS_CHILD") is None:  # malloc reads its settings when the process starts
    os.execve(sys.executable, [sys.executable] + sys.argv, dict(os.environ, NNC_PEERS_CHILD="1"))

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                         nn.Linear(512, 10)), torch.rand(128, 1, 28, 28), torch.randint(0, 10, (128,))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(500, 10)), torch.rand(128, 1, 28, 28), torch.randint(0, 10, (128,))


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc, self.out, self.heads = nn.Linear(d, 4 * d), nn.Linear(4 * d, d), heads

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = [z.reshape(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(self.ln1(x)).chunk(3, -1)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, heads, d, context, vocab):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, d), nn.Parameter(0.02 * torch.randn(context, d))
        self.h, self.ln = nn.Sequential(*[Block(d, heads) for _ in range(layers)]), nn.LayerNorm(d)

    def forward(self, tokens):
        x = self.ln(self.h(self.wte(tokens) + self.wpe[:tokens.shape[1]]))
        return (x @ self.wte.weight.T).flatten(0, 1)


def gpt():
    x = torch.randint(0, 256, (32, 128))
    return GPT(4, 4, 128, 128, 256), x, torch.randint(0, 256, (32 * 128,))


class Basic(nn.Module):
    def __init__(self, c, out, stride):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.na, self.nb = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out)) \
            if stride != 1 or c != out else nn.Identity()

    def forward(self, x):
        return F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))) + self.down(x))


def resnet18():
    blocks, c = [], 64
    for planes, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Basic(c, planes, stride), Basic(planes, planes, 1)]
        c = planes
    net = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), *blocks,
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return net, torch.rand(64, 3, 32, 32), torch.randint(0, 10, (64,))


CASES = {"mlp": (mlp, "examples/fashion/mlp.nn"), "lenet": (lenet, "examples/mnist/lenet.nn"),
         "gpt": (gpt, "examples/gpt/char.nn"), "resnet18": (resnet18, "bench/models/resnet18.nn")}


def torch_ms(make):
    torch.manual_seed(0)
    net, x, y = make()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)
    times, begin = [], time.perf_counter()
    while len(times) < 8 or (time.perf_counter() - begin < 2 and len(times) < 1000):
        t = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        times.append((time.perf_counter() - t) * 1e3)
    return statistics.median(times[3:])


def nnc_ms(nnc, model, threads):
    done = subprocess.run([nnc, "bench", model, "--json", "--threads", str(threads)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"nnc bench {model}: {done.stderr}")
    return json.loads(done.stdout)["step_ms"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nnc", default="build/nnc")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{'network':10} {'PyTorch ms':>11} {'nnc ms':>9} {'nnc / PyTorch':>14}   {args.threads} threads")
    for name in args.names or CASES:
        make, model = CASES[name]
        pairs = [(torch_ms(make), nnc_ms(args.nnc, model, args.threads)) for _ in range(args.rounds)]
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name:10} {statistics.median(a for a, _ in pairs):11.2f} "
              f"{statistics.median(b for _, b in pairs):9.2f} {ratio:14.2f}", flush=True)


main()
