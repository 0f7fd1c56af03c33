"""The aligner: finds the four corners of a plate in a 128 x 64 window round its box, and says whether it is one.

usage: aligner.py train|evaluate|export [--data DIR] [--work DIR] [--minutes M] [--seed N] [--threads N] [--out FILE]

`train` goes on from its last checkpoint in WORK; its schedule is measured in minutes, so it fits the machine it runs on.
Three kinds of samples: drawn plates with known corners on picture regions without plates; real plates, of which only the
upright box is known, so only the hull of the corners is judged; windows without a plate, half of them what the finder takes
for one. The finder's weights are needed, so train that first.
"""
import argparse
import math
import pathlib
import random
import time

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import plates
import plates_real
from common import Average, Graph, Net, ahead, export, gflop, load, take_up
from finder import find

W, H = 128, 64
DRAWN, REAL, NONE = 26, 20, 24                                           # samples of each kind in a batch
MISTAKEN = 0.12                                                          # the finder's score from which the car asks the aligner


def network():
    """Input N x 1 x 64 x 128, output `corners` N x 10 x 1 x 1."""
    g = Graph()
    x = g.s2d("s", "x", 4)                                               # 16 x 32 x 16
    x = g.conv("c1", x, 16, 32)
    x = g.conv("c2", x, 32, 48)
    x = g.conv("d1", x, 48, 64, 2, stride=2)                             # 8 x 16
    x = g.conv("r1", x, 64, 64, add=x)
    x = g.conv("r2", x, 64, 64, add=x)
    x = g.conv("d2", x, 64, 96, 2, stride=2)                             # 4 x 8
    x = g.conv("r3", x, 96, 96, add=x)
    x = g.conv("f1", x, 96, 128, (4, 8), pad="none")                     # 1 x 1
    g.conv("corners", x, 128, 10, 1, relu=False, bn=False)
    return Net(g.ops, ["corners"])


# ---------------------------------------------------------------- samples

def iou(a, b):
    ix = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    iy = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return ix * iy / (a[2] * a[3] + b[2] * b[3] - ix * iy)


def jitter(r, box, least=0.5):
    """A box as the finder might give it: IoU with the truth at least `least`, mostly better."""
    x, y, w, h = box
    while True:
        s = abs(r.gauss(0, 0.13))
        ww, hh = w * math.exp(r.gauss(0, s)), h * math.exp(r.gauss(0, s * 1.3))
        b = (x + w / 2 + r.gauss(0, s * 0.6) * w - ww / 2, y + h / 2 + r.gauss(0, s * 0.6) * h - hh / 2, ww, hh)
        if iou(b, box) >= least:
            return b


class Samples:
    def __init__(self, data, finder, seed, split="train"):
        self.real, pictures = plates_real.load(data, split)
        self.free = [p for p in pictures if p[2] in plates_real.COMPLETE]
        self.some = [p for p in pictures if p[2] not in plates_real.COMPLETE and p[1]]
        self.r, self.n = random.Random(seed), np.random.default_rng(seed)
        self.mistaken = list(self.mistakes(load(finder)))

    def mistakes(self, finder):
        """What the finder takes for a plate and is none: (image, box). Only of pictures whose plates are all labelled."""
        for image, boxes, _ in self.free:
            for *box, _ in find(finder, image, 640, MISTAKEN):
                if all(iou(box, b) < 0.1 for b in boxes):
                    yield image, box

    def region(self):
        """A view (x, y, w, h), twice as wide as high, of a picture, that touches no plate: (image, view)."""
        r = self.r
        while True:
            image, boxes, _ = r.choice(self.free)
            h, w = image.shape
            ww = math.exp(r.uniform(math.log(24), math.log(min(w, 2 * h) * 0.9)))
            v = (r.uniform(0, w - ww), r.uniform(0, h - ww / 2), ww, ww / 2)
            if all(iou(v, b) == 0 for b in boxes):
                return image, v

    def ground(self, ratio, cw, ch):
        """A picture, ch x cw, to paste a plate on: without any, or with the real one in its middle painted over."""
        r = self.r
        if r.random() < 0.5:
            image, v = self.region()
            return plates.cut(image, v, cw, ch).astype(np.float32)
        p = r.choice(self.real)
        x, y, w, h = p.box
        side = max(w, 2 * h) * ratio * r.uniform(0.7, 1.2)
        v = (x + w / 2 - side / 2, y + h / 2 - side / 4, side, side / 2)
        a = plates.cut(p.image, v, cw, ch).astype(np.float32)
        k = cw / side
        x0, x1 = (max(0, math.floor((x - 0.08 * w - v[0]) * k)), min(cw, math.ceil((x + 1.08 * w - v[0]) * k)))
        y0, y1 = (max(1, math.floor((y - 0.15 * h - v[1]) * k)), min(ch - 1, math.ceil((y + 1.15 * h - v[1]) * k)))
        if x1 > x0 and y1 > y0:
            t = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
            a[y0:y1, x0:x1] = a[y0 - 1, x0:x1] * (1 - t) + a[y1, x0:x1] * t + self.n.standard_normal((y1 - y0, x1 - x0), dtype=np.float32) * 3
        return a

    def drawn(self, strong=1.0):
        """(window H x W normalised, corners 4 x 2 in window units, two)"""
        r, n = self.r, self.n
        p = plates.draw(r, n)
        aspect = (p.quad[1, 0] - p.quad[0, 0]) / (p.quad[2, 1] - p.quad[1, 1])
        q = plates.pose(r, aspect, strong)                               # hull of width 1 round 0
        lo, hi = q.min(0), q.max(0)
        x, y, w, h = plates.window_of(jitter(r, (*lo, *(hi - lo))))
        q = (q - [x, y]) / [w, h]                                        # 0..1 of the window
        px = math.exp(r.uniform(math.log(12 if r.random() < 0.2 else 28), math.log(260)))             # width of the plate in the native picture
        cw = int(min(256, max(18, px * w)))
        ch = cw // 2
        a, alpha = plates.paste(p, (q * [cw, ch]).astype(np.float32), self.ground(w, cw, ch))
        a = plates.spoil(r, n, a, cw / w, alpha, 0.7)
        a = cv2.resize(a, (W, H), interpolation=cv2.INTER_AREA if cw > W else cv2.INTER_LINEAR)
        return plates.normal(a), (q * 2 - 1).astype(np.float32), p.two

    def photographed(self, p, plain=False):
        """(window, A, box): A 3 x 3 takes the window's units to units in which the plate's upright `box` x0, y0, x1, y1 is known."""
        r = self.r
        x, y, w, h = plates.window_of(p.box if plain else jitter(r, p.box))
        A = np.eye(3)
        if not plain and r.random() < 0.6:
            t, k = math.radians(r.gauss(0, 9)), 0.5                      # a turn in pixels, window units are 2 : 1
            c, s = math.cos(t), math.sin(t)
            A = np.array([[c, -s * k, 0], [s / k, c, 0], [r.gauss(0, 0.07), r.gauss(0, 0.05), 1]])
            A = A @ np.array([[math.exp(r.gauss(0, 0.08)), r.gauss(0, 0.08), 0], [r.gauss(0, 0.15), math.exp(r.gauss(0, 0.1)), 0], [0, 0, 1]])
        n = 1 if w < 150 else 2 if w < 290 else 4
        to = np.array([[w / 2, 0, x + w / 2 - 0.5], [0, h / 2, y + h / 2 - 0.5], [0, 0, 1]])
        unit = np.array([[2 / (W * n), 0, 1 / (W * n) - 1], [0, 2 / (H * n), 1 / (H * n) - 1], [0, 0, 1]])
        a = cv2.warpPerspective(p.image, to @ A @ unit, (W * n, H * n), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        a = cv2.resize(a, (W, H), interpolation=cv2.INTER_AREA) if n > 1 else a
        bx, by, bw, bh = p.box
        box = np.float32([(bx - x) / w, (by - y) / h, (bx + bw - x) / w, (by + bh - y) / h]) * 2 - 1
        return plates.normal(a if plain else self.worse(a.astype(np.float32), w)), A.astype(np.float32), box

    def worse(self, a, native):
        """A 64 x 128 cut spoilt further, perhaps at a lower resolution."""
        r = self.r
        if r.random() < 0.25:
            return a
        k = math.exp(r.uniform(math.log(0.15), 0)) if r.random() < 0.5 else 1.0
        k = min(1.0, max(k, 14 / min(W, native)))
        b = cv2.resize(a, (max(16, round(W * k)), max(8, round(H * k))), interpolation=cv2.INTER_AREA) if k < 1 else a
        b = plates.spoil(r, self.n, b, 80 * k, strong=0.5)
        return cv2.resize(b, (W, H), interpolation=cv2.INTER_LINEAR) if k < 1 else b

    def mistake(self, changed=True):
        """A window round what the finder takes for a plate and is none."""
        r, (image, (x, y, w, h)) = self.r, self.r.choice(self.mistaken)
        if not changed:
            return plates.normal(plates.cut(image, plates.window_of((x, y, w, h))).astype(np.float32))
        x, y = x + r.gauss(0, 0.06) * w, y + r.gauss(0, 0.06) * h
        w, h = w * math.exp(r.gauss(0, 0.08)), h * math.exp(r.gauss(0, 0.08))
        return plates.normal(self.worse(plates.cut(image, plates.window_of((x, y, w, h))).astype(np.float32), w * 1.5))

    def none(self):
        """A window without a plate."""
        r, n = self.r, self.n
        if r.random() < 0.5:
            return self.mistake()
        u = r.random()
        if u < 0.25:                                                     # beside a real plate
            image, boxes, _ = r.choice(self.some if r.random() < 0.5 else self.free)
            if boxes:
                b = r.choice(boxes)
                for _ in range(20):
                    c = (b[0] + r.gauss(0, 1.2) * b[2], b[1] + r.gauss(0, 1.5) * b[3], b[2] * math.exp(r.gauss(0, 0.4)), b[3] * math.exp(r.gauss(0, 0.4)))
                    if all(iou(c, o) < 0.05 for o in boxes):
                        return plates.normal(self.worse(plates.cut(image, plates.window_of(c)).astype(np.float32), c[2] * 1.5))
        image, v = self.region()
        a = plates.cut(image, v).astype(np.float32)
        if u > 0.85:                                                     # writing that is no plate
            level, y = r.uniform(0, 255), r.randint(4, 20)
            a = a.astype(np.uint8)
            while y < 60:
                s = r.uniform(0.25, 0.8)
                word = "".join(r.choice(plates.LETTERS.lower() + plates.LETTERS + "  ") for _ in range(r.randint(2, 16)))
                cv2.putText(a, word, (r.randint(-10, 50), y), r.choice((0, 2, 3)), s, level, r.choice((1, 2)), cv2.LINE_AA)
                y += round(s * r.uniform(25, 60))
            a = a.astype(np.float32)
        return plates.normal(self.worse(a, v[2]))

    def batch(self):
        """Tensors: windows N x 1 x H x W, drawn corners, real maps and boxes, lines (1, 0, or -1 unknown) of drawn and real."""
        drawn = [self.drawn() for _ in range(DRAWN)]
        real = [self.r.choice(self.real) for _ in range(REAL)]
        shot = [self.photographed(p) for p in real]
        x = np.stack([s[0] for s in drawn] + [s[0] for s in shot] + [self.none() for _ in range(NONE)])[:, None]
        two = [float(s[2]) for s in drawn] + [-1.0 if p.two is None else float(p.two) for p in real]
        t = lambda k, rows: torch.from_numpy(np.stack([s[k] for s in rows]))
        return torch.from_numpy(x), t(1, drawn), t(1, shot), t(2, shot), torch.tensor(two)


# ---------------------------------------------------------------- training

def hull(corners, A):
    """Upright hull x0, y0, x1, y1 of the corners (N x 4 x 2) seen through A (N x 3 x 3)."""
    q = torch.cat([corners, torch.ones_like(corners[..., :1])], -1) @ A.transpose(1, 2)
    q = q[..., :2] / q[..., 2:].clamp_min(0.2)
    return torch.cat([q.min(1).values, q.max(1).values], -1)


def loss_of(out, corners, A, box, two):
    """`out` N x 10. Returns the loss and its parts."""
    d, p = len(corners), len(corners) + len(A)
    l1 = lambda a, b: F.smooth_l1_loss(a, b, beta=0.02)
    drawn = l1(out[:d, :8].reshape(-1, 4, 2), corners)
    real = l1(hull(out[d:p, :8].reshape(-1, 4, 2), A), box)
    plate = torch.zeros(len(out))
    plate[:p] = 1
    is_plate = F.binary_cross_entropy_with_logits(out[:, 8], plate)
    known = two >= 0
    lines = F.binary_cross_entropy_with_logits(out[:p, 9][known], two[known])
    return drawn * 4 + real * 3 + is_plate * 0.3 + lines * 0.15, (drawn, real, is_plate, lines)


def train(a):
    torch.manual_seed(a.seed)
    net, work = network().to(memory_format=torch.channels_last), pathlib.Path(a.work)
    print(f"{gflop(net.ops, W, H) * 1e3:.1f} MFLOP, {sum(p.numel() for p in net.parameters())} weights")
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4)
    ema, spent, n = Average(net, 0.998), 0.0, 0
    if (work / "aligner.pt").exists():
        s = torch.load(work / "aligner.pt", weights_only=False)
        net.load_state_dict(s["net"]), opt.load_state_dict(s["opt"])
        ema.state, ema.n, spent, n = s["ema"], s["n"], 0.0 if a.again else s["spent"], s["n"]
        a.start = None
    data = ahead(Samples, a.data, a.finder, a.seed * 1000 + n)
    if a.start:
        take_up(net, a.start, torch.cat([next(data)[0] for _ in range(8)]))
        ema.state, n = {k: v.detach().clone() for k, v in net.state_dict().items()}, a.steps
    sums, last, saved = np.zeros(5), time.time(), time.time()
    while spent < a.minutes * 60:
        u = spent / (a.minutes * 60)
        for g in opt.param_groups:
            g["lr"] = a.lr * min(1, (n + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * u)) + 1e-6
        net.train()
        x, *truth = next(data)
        loss, parts = loss_of(net(x)[0].flatten(1), *truth)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        opt.step()
        ema.update(net)
        n += 1
        spent += time.time() - last
        last = time.time()
        sums += [float(v.detach()) for v in (loss, *parts)]
        if n % 50 == 0:
            print(f"{n} {spent / 60:.1f} min  loss {sums[0] / 50:.4f}  drawn {sums[1] / 50:.4f} real {sums[2] / 50:.4f} plate {sums[3] / 50:.4f} lines {sums[4] / 50:.4f}", flush=True)
            sums[:] = 0
        if time.time() - saved > 60 or spent >= a.minutes * 60:
            saved = time.time()
            torch.save({"net": net.state_dict(), "opt": opt.state_dict(), "ema": ema.state, "spent": spent, "n": n, "seed": a.seed}, work / "aligner.new")
            (work / "aligner.new").replace(work / "aligner.pt")


def trained(work):
    """The averaged network of the last checkpoint, in inference mode, and its step."""
    s = torch.load(pathlib.Path(work) / "aligner.pt", weights_only=False)
    net = network()
    net.load_state_dict(s["ema"])
    return net.eval(), s


def evaluate(a):
    """On `val`: hulls against boxes, plateness, and drawn plates."""
    net, _ = trained(a.work)
    data = Samples(a.data, a.finder, 77, "val")
    run = lambda rows: torch.cat([net(torch.from_numpy(np.stack(rows[i:i + 64]))[:, None])[0].flatten(1) for i in range(0, len(rows), 64)])
    with torch.no_grad():
        for name, plain in (("label box", True), ("jittered box", False)):
            shot = [data.photographed(p, plain) for p in data.real]
            out = run([s[0] for s in shot])
            got = hull(out[:, :8].reshape(-1, 4, 2), torch.from_numpy(np.stack([s[1] for s in shot]))).numpy()
            v = np.array([iou((g[0], g[1], g[2] - g[0], g[3] - g[1]), (b[0], b[1], b[2] - b[0], b[3] - b[1])) for g, b in zip(got, [s[2] for s in shot])])
            big = np.array([p.box[2] >= 60 for p in data.real])
            two = np.array([-1 if p.two is None else p.two for p in data.real])
            score = torch.sigmoid(out[:, 8]).numpy()
            print(f"{name}: {len(v)} plates, hull IoU mean {v.mean():.3f}, >=60 px {v[big].mean():.3f}, >0.7 {np.mean(v[big] > 0.7):.3f}, >0.8 {np.mean(v[big] > 0.8):.3f}; "
                  f"plate>0.5 {np.mean(score > 0.5):.3f} >0.3 {np.mean(score > 0.3):.3f} >0.1 {np.mean(score > 0.1):.3f}; lines right {np.mean((out[:, 9].numpy() > 0)[two >= 0] == two[two >= 0]):.3f} of {np.sum(two >= 0)} ({np.sum(two == 1)} two)")
        for name, rows in (("no plate", [data.none() for _ in range(1000)]), ("no plate, though the finder says so", [data.mistake(False) for _ in range(1000)])):
            none = torch.sigmoid(run(rows)[:, 8]).numpy()
            print(f"{name}: " + ", ".join(f">{t} {np.mean(none > t):.3f}" for t in (0.1, 0.3, 0.5, 0.7, 0.8)))
        drawn = [data.drawn() for _ in range(600)]
        out = run([s[0] for s in drawn])
        e = np.abs(out[:, :8].numpy().reshape(-1, 4, 2) - np.stack([s[1] for s in drawn])) * [64, 32]
        print(f"drawn: corner error px of 128 x 64: x {np.median(e[..., 0]):.2f} y {np.median(e[..., 1]):.2f} (90 %: {np.quantile(e[..., 0], 0.9):.2f}, {np.quantile(e[..., 1], 0.9):.2f}); lines right {np.mean((out[:, 9].numpy() > 0) == [s[2] for s in drawn]):.3f}")


def write(a):
    net, s = trained(a.work)
    out = pathlib.Path(a.out)
    worst = export(net, out, "aligner", W, H, 1, f"seed {s['seed']}, {s['n']} steps of {DRAWN} drawn plates, {REAL} photographs (openimages_plates, open_lpr, ro_dashcam, vn_moto), {NONE} windows without")
    out.chmod(0o644)
    print(f"{out}: differs from the network by {worst:.1e}")
    if a.vectors:
        x = torch.from_numpy(plates.normal(example()))[None, None]
        save_file({"input": x, "output": load(out)(x)[0].contiguous()}, a.vectors)


def example():
    """A drawn plate in a window, H x W."""
    r, n = random.Random(3), np.random.default_rng(3)
    p = plates.draw(r, n, uk=True)
    quad = np.float32([[22, 20], [106, 16], [107, 38], [23, 44]])
    return plates.paste(p, quad, np.full((H, W), 90, np.float32) + plates.clouds(n, (H, W)) * 20)[0]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["train", "evaluate", "export"])
    ap.add_argument("--data", default=plates_real.DATA)
    ap.add_argument("--work", default=plates_real.ROOT / "target" / "training")
    ap.add_argument("--finder", default=plates_real.ROOT / "models" / "finder.safetensors")
    ap.add_argument("--minutes", type=float, default=15)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--start", help="train: an exported model to start from where WORK has no checkpoint")
    ap.add_argument("--steps", type=int, default=0, help="train: steps that this model has behind it")
    ap.add_argument("--again", action="store_true", help="start a new schedule from the last weights")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--out", default=plates_real.ROOT / "models" / "aligner.safetensors")
    ap.add_argument("--vectors", help="export: also write test vectors to this file")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    cv2.setNumThreads(1)
    pathlib.Path(a.work).mkdir(parents=True, exist_ok=True)
    {"train": train, "evaluate": evaluate, "export": write}[a.what](a)


if __name__ == "__main__":
    main()
