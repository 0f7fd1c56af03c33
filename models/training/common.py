"""What finder, aligner and reader share: networks written as the graph that the car runs, their export and their check.

A network is a list of operations (docs/design/models.md). `Net` trains that list, `export` folds batch normalisation and
writes weights and graph into one safetensors file, `run_graph` is the plain reference interpreter of such a file.
"""
import json
import multiprocessing

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn


# ---------------------------------------------------------------- the graph

class Graph:
    """Builds the list of operations. Every method returns the name of its result."""

    def __init__(self):
        self.ops = []

    def _put(self, **op):
        self.ops.append({k: v for k, v in op.items() if v is not None})
        return op["out"]

    def s2d(self, out, src, k):
        return self._put(op="s2d", out=out, **{"in": src}, k=k)

    def conv(self, out, src, ci, co, k=3, stride=1, pad=None, relu=True, add=None, bn=True):
        """`shape` [Co, Ci, Kh, Kw] and `bn` are for training only and are left out of the file."""
        kh, kw = (k, k) if isinstance(k, int) else k
        pad = pad or ("same" if kh % 2 and kw % 2 else "none")
        return self._put(op="conv", out=out, **{"in": src}, w=out, stride=stride, pad=pad, relu=relu, add=add,
                         shape=[co, ci, kh, kw], bn=bn)

    def pool(self, out, src, kh, kw):
        return self._put(op="pool", out=out, **{"in": src}, kh=kh, kw=kw)

    def up2(self, out, src):
        return self._put(op="up2", out=out, **{"in": src})

    def add(self, out, src, other, relu=False):
        return self._put(op="add", out=out, **{"in": src, "with": other}, relu=relu)


def step(op, maps, conv):
    """Run one operation on `maps` (name -> N x C x H x W); `conv(op, x)` is the bare convolution."""
    x, kind = maps[op["in"]], op["op"]
    if kind == "s2d":
        k, (n, c, h, w) = op["k"], x.shape
        y = x.reshape(n, c, h // k, k, w // k, k).permute(0, 3, 5, 1, 2, 4).reshape(n, k * k * c, h // k, w // k)
    elif kind == "conv":
        y = conv(op, x)
        y = y + maps[op["add"]] if "add" in op else y
        y = F.relu(y, inplace=True) if op["relu"] else y
    elif kind == "pool":
        y = F.max_pool2d(x, (op["kh"], op["kw"]))
    elif kind == "up2":
        y = F.interpolate(x, scale_factor=2, mode="nearest")
    elif kind == "add":
        y = x + maps[op["with"]]
        y = F.relu(y, inplace=True) if op["relu"] else y
    else:
        raise ValueError(f"unknown operation {kind}")
    maps[op["out"]] = y


def padding(op, kh, kw):
    return (kh // 2, kw // 2) if op["pad"] == "same" else (0, 0)


class Net(nn.Module):
    """A trainable graph. Input N x 1 x H x W; the result is a tuple of the maps named in `outputs`."""

    def __init__(self, ops, outputs):
        super().__init__()
        self.ops, self.outputs = ops, outputs
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        for op in ops:
            if op["op"] == "conv":
                co, ci, kh, kw = op["shape"]
                self.convs[op["w"]] = nn.Conv2d(ci, co, (kh, kw), op["stride"], padding(op, kh, kw), bias=not op["bn"])
                if op["bn"]:
                    self.norms[op["w"]] = nn.BatchNorm2d(co)

    def _conv(self, op, x):
        x = self.convs[op["w"]](x)
        return self.norms[op["w"]](x) if op["bn"] else x

    def forward(self, x):
        maps = {"x": x}
        for op in self.ops:
            step(op, maps, self._conv)
        return tuple(maps[o] for o in self.outputs)

    def folded(self):
        """Weights and biases with batch normalisation folded in, by tensor name."""
        out = {}
        for name, c in self.convs.items():
            w = c.weight.detach().double()
            b = c.bias.detach().double() if c.bias is not None else torch.zeros(w.shape[0], dtype=torch.float64)
            if name in self.norms:
                n = self.norms[name]
                g = n.weight.detach().double() / (n.running_var.double() + n.eps).sqrt()
                w, b = w * g[:, None, None, None], (b - n.running_mean.double()) * g + n.bias.detach().double()
            out[name + ".weight"], out[name + ".bias"] = w.float().contiguous(), b.float().contiguous()
        return out


def gflop(ops, width, height):
    """2 x multiply-adds of the convolutions, in 1e9, for one input."""
    size, total = {"x": (height, width)}, 0
    for op in ops:
        h, w = size[op["in"]]
        if op["op"] == "s2d":
            h, w = h // op["k"], w // op["k"]
        elif op["op"] == "pool":
            h, w = h // op["kh"], w // op["kw"]
        elif op["op"] == "up2":
            h, w = h * 2, w * 2
        elif op["op"] == "conv":
            co, ci, kh, kw = op["shape"]
            ph, pw = padding(op, kh, kw)
            h, w = (h + 2 * ph - kh) // op["stride"] + 1, (w + 2 * pw - kw) // op["stride"] + 1
            total += 2 * h * w * co * ci * kh * kw
        size[op["out"]] = (h, w)
    return total / 1e9


# ---------------------------------------------------------------- the file

def export(net, path, kind, width, height, stride, trained, calibration=None):
    """Write the model file and check it against `net` in inference mode (1e-4)."""
    graph = [{k: v for k, v in op.items() if k not in ("shape", "bn")} for op in net.ops]
    meta = {"outrider": kind, "version": "1", "input": json.dumps({"width": width, "height": height, "stride": stride}),
            "graph": json.dumps(graph), "outputs": json.dumps(net.outputs), "trained": trained}
    if calibration:
        meta["calibration"] = json.dumps(calibration)
    save_file(net.folded(), path, metadata=meta)
    x = smooth_noise(width, height)
    net.eval()
    with torch.no_grad():
        want, got = net(x), load(path)(x)
    worst = max(float((a - b).abs().max()) for a, b in zip(want, got))
    if not worst < 1e-4:
        raise RuntimeError(f"{path}: exported file and network differ by {worst:.2g}")
    return worst


def load(path):
    """The reference interpreter of a model file: a function from N x 1 x H x W to a tuple of maps."""
    with safe_open(str(path), "pt") as f:
        meta, w = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
    ops, outputs = json.loads(meta["graph"]), json.loads(meta["outputs"])
    return lambda x: run_graph(ops, outputs, w, x)


def run_graph(ops, outputs, w, x):
    def conv(op, x):
        k = w[op["w"] + ".weight"]
        return F.conv2d(x, k, w[op["w"] + ".bias"], op["stride"], padding(op, *k.shape[2:]))

    maps = {"x": x}
    with torch.no_grad():
        for op in ops:
            step(op, maps, conv)
    return tuple(maps[o] for o in outputs)


def smooth_noise(width, height, seed=1):
    """A made-up input, 1 x 1 x H x W, about -2..2."""
    z = torch.from_numpy(np.random.default_rng(seed).standard_normal((1, 1, height, width), dtype=np.float32))
    z = sum(F.interpolate(F.avg_pool2d(z, k), (height, width), mode="bilinear") * k for k in (1, 2, 4, 8, 16))
    return (z / z.abs().max() * 2).contiguous()


def save_vectors(model, path, output, width, height):
    """Test vectors for the car's engine: made-up input `x` and the exported model's first map, both N x C x H x W."""
    x = smooth_noise(width, height)
    save_file({"x": x, output: load(model)(x)[0].contiguous()}, path)


def take_up(net, path, x):
    """Give `net` the weights of an exported model, so that training goes on from a file without its checkpoint. The file holds
    folded weights: the statistics of every normalisation are measured on the samples `x`, and its gain and offset undo them.
    A kernel that is wider here is filled up with zeros; a layer that the file lacks starts as a tenth of a fresh one."""
    with safe_open(str(path), "pt") as f:
        w = {k: f.get_tensor(k) for k in f.keys()}

    def conv(op, x):
        name, c = op["w"], net.convs[op["w"]]
        if name + ".weight" not in w:
            n, z = net.norms[name], c(x)
            n.running_mean.copy_(z.mean((0, 2, 3)))
            n.running_var.copy_(z.var((0, 2, 3)))
            n.weight.fill_(0.1)
            return (z - n.running_mean[:, None, None]) / (n.running_var[:, None, None] + n.eps).sqrt() * 0.1
        k = w[name + ".weight"]
        dy, dx = (c.kernel_size[0] - k.shape[2]) // 2, (c.kernel_size[1] - k.shape[3]) // 2
        c.weight.copy_(F.pad(k, (dx, dx, dy, dy)))
        if name not in net.norms:
            c.bias.copy_(w[name + ".bias"])
            return c(x)
        n, z = net.norms[name], c(x)
        n.running_mean.copy_(z.mean((0, 2, 3)))
        n.running_var.copy_(z.var((0, 2, 3)))
        n.weight.copy_((n.running_var + n.eps).sqrt())
        n.bias.copy_(w[name + ".bias"] + n.running_mean)
        return z + w[name + ".bias"][:, None, None]

    maps = {"x": x}
    with torch.no_grad():
        for op in net.ops:
            step(op, maps, conv)


class Average:
    """Exponential moving average of a network's weights and statistics."""

    def __init__(self, net, decay):
        self.state, self.decay, self.n = {k: v.detach().clone() for k, v in net.state_dict().items()}, decay, 0

    def update(self, net):
        self.n += 1
        d = min(self.decay, (1 + self.n) / (10 + self.n))
        for k, v in net.state_dict().items():
            if v.dtype.is_floating_point:
                self.state[k].lerp_(v, 1 - d)
            else:
                self.state[k].copy_(v)


# ---------------------------------------------------------------- samples

def ahead(kind, *how):
    """Endless batches of `kind(*how)`, as tensors, drawn by a process of its own so that the trainer does not wait for them; in
    an order that `how` settles."""
    queue = multiprocessing.Queue(8)
    multiprocessing.Process(target=draw, args=(queue, kind, how), daemon=True).start()
    while True:
        yield tuple(map(torch.from_numpy, queue.get()))


def draw(queue, kind, how):
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    samples = kind(*how)
    while True:
        queue.put(tuple(t.numpy() for t in samples.batch()))
