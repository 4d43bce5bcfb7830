#!/usr/bin/env python3
"""Latency of one sample on one thread: libraries by `nnc build --inference` beside ONNX Runtime and
PyTorch, with the same weights, alternating on the same machine; medians. The outputs are compared first.

    bench/peers/latency.py [--nnc build/nnc] [--rounds 5] [NAME ...]

Skipped where PyTorch, onnx or ONNX Runtime is not installed.
"""
import argparse, ctypes, io, os, statistics, subprocess, sys, tempfile, time, warnings

try:
    import numpy as np
    import onnxruntime
    import onnx  # what torch.onnx needs
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

from layers import save_safetensors


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Basic(nn.Module):
    def __init__(self, c, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.downsample = nn.Sequential(nn.Conv2d(c, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)) \
            if stride != 1 or c != planes else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        c = 64
        for i, (planes, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2))):
            setattr(self, f"layer{i + 1}", nn.Sequential(Basic(c, planes, stride), Basic(planes, planes, 1)))
            c = planes
        self.fc = nn.Linear(512, 10)
        for m in self.modules():  # statistics as after training, not 0 and 1
            if isinstance(m, nn.BatchNorm2d):
                nn.init.uniform_(m.running_mean, -0.1, 0.1)
                nn.init.uniform_(m.running_var, 0.5, 1.5)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


CASES = {"mlp": (MLP, (1, 784)), "lenet": (LeNet, (1, 1, 28, 28)), "resnet18": (ResNet18, (1, 3, 32, 32))}


class Nnc:
    def __init__(self, nnc, name, weights, folder, x):
        subprocess.run([nnc, "build", f"bench/models/{name}.nn", "-o", folder, "--inference", "--emit", "so"],
                       check=True)
        self.lib, self.ctx = ctypes.CDLL(f"{folder}/lib{name}.so"), ctypes.c_void_p()
        options = (ctypes.c_uint64 * 16)(1)  # struct nn_options: threads = 1, the rest zeros
        self.call("open", name, options, ctypes.byref(self.ctx))
        path = f"{folder}/w.safetensors"
        save_safetensors(path, weights)
        self.call("load", name, self.ctx, path.encode())
        self.x, self.y = np.ascontiguousarray(x), np.zeros((1, 10), np.float32)
        self.forward = getattr(self.lib, f"{name}_forward")
        self.args = (self.ctx, ctypes.c_int64(1), ctypes.c_void_p(self.x.ctypes.data),
                     ctypes.c_void_p(self.y.ctypes.data))

    def call(self, function, name, *args):
        error = getattr(self.lib, f"{name}_error")
        error.restype = ctypes.c_char_p
        if getattr(self.lib, f"{name}_{function}")(*args):
            sys.exit(f"{name}_{function}: {error(self.ctx).decode()}")

    def run(self):
        self.forward(*self.args)


class Ort:
    def __init__(self, net, x):
        model = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net, (torch.from_numpy(x),), model, dynamo=False, input_names=["x"],
                              output_names=["y"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(model.getvalue(), options, ["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.y = np.zeros((1, 10), np.float32)
        self.binding.bind_cpu_input("x", x)
        self.binding.bind_output("y", "cpu", 0, np.float32, self.y.shape, self.y.ctypes.data)

    def run(self):
        self.session.run_with_iobinding(self.binding)


class Torch:
    def __init__(self, net, x):
        self.net, self.x = net, torch.from_numpy(x)

    def run(self):
        with torch.inference_mode():
            self.y = self.net(self.x).numpy()


def median_us(peer, seconds=0.3):
    times, begin = [], time.perf_counter()
    while len(times) < 20 or time.perf_counter() - begin < seconds:
        t = time.perf_counter()
        peer.run()
        times.append(time.perf_counter() - t)
    return statistics.median(times) * 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nnc", default="build/nnc")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'network':10} {'ORT us':>9} {'PyTorch us':>11} {'nnc us':>9} {'nnc / ORT':>10}")
    for name in args.names or CASES:
        torch.manual_seed(0)
        make, shape = CASES[name]
        net, x = make().eval(), np.random.default_rng(0).random(shape, np.float32)
        with tempfile.TemporaryDirectory() as folder:
            weights = net.state_dict()
            peers = [Ort(net, x), Torch(net, x), Nnc(args.nnc, name, weights, folder, x)]
            for p in peers:
                p.run()
            worst = max(np.abs(p.y - peers[1].y).max() for p in peers) / np.abs(peers[1].y).max()
            if worst > 1e-4:
                sys.exit(f"{name}: the outputs differ by {worst:.1e}")
            rows = [[median_us(p) for p in peers] for _ in range(args.rounds)]
        ort, pytorch, ours = (statistics.median(r[k] for r in rows) for k in range(3))
        ratio = statistics.median(r[2] / r[0] for r in rows)
        print(f"{name:10} {ort:9.1f} {pytorch:11.1f} {ours:9.1f} {ratio:10.2f}", flush=True)


main()
