"""The reader: text of a plate from its rectified 128 x 32 patch, by CTC over 64 positions.

usage: reader.py train|evaluate|export [--data DIR] [--work DIR] [--aligner FILE] [--minutes M] [--seed N] [--threads N] [--out FILE]

`train` goes on from its last checkpoint in WORK; its schedule is measured in minutes, so it fits the machine it runs on.
It mixes drawn plates with the real train plates that have a text, rectified by the trained aligner, both with the aligner's
errors and a camera's faults added.
"""
import argparse
import collections
import difflib
import itertools
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
from aligner import jitter
from common import Average, Graph, Net, ahead, export, gflop, load, take_up

W, H, POSITIONS = 128, 32, 64
DRAWN, REAL = 20, 12                                                     # samples of each kind in a batch
HARDNESS = 0.3                                                           # 0: plain loss; more: what is unreadable or labelled wrongly rules less


def network():
    """Input N x 1 x 32 x 128, output `text` N x 37 x 1 x 64."""
    g = Graph()
    x = g.s2d("s", "x", 2)                                               # 16 x 64 x 4
    x = g.conv("c1", x, 4, 32)
    x = g.conv("c2", x, 32, 48)
    x = g.pool("p1", x, 2, 1)                                            # 8 x 64
    x = g.conv("c3", x, 48, 64)
    x = g.conv("c4", x, 64, 64, add=x)
    x = g.pool("p2", x, 2, 1)                                            # 4 x 64
    x = g.conv("c5", x, 64, 96)
    x = g.conv("f1", x, 96, 128, (4, 1), pad="none")                     # 1 x 64
    x = g.conv("t1", x, 128, 128, (1, 5), add=x)
    x = g.conv("t2", x, 128, 128, (1, 9), add=x)
    x = g.conv("t3", x, 128, 128, (1, 9), add=x)
    x = g.conv("t4", x, 128, 128, (1, 9), add=x)                         # from here a position sees 38 of 64
    g.conv("text", x, 128, 37, 1, relu=False, bn=False)
    return Net(g.ops, ["text"])


# ---------------------------------------------------------------- the aligner's part

def corners(aligner, image, box, passes=1):
    """(quad 4 x 2 px, logit of a plate, logit of two lines) by the exported aligner; a second pass looks round the first's hull."""
    for _ in range(passes):
        x, y, w, h = plates.window_of(box)
        out = aligner(torch.from_numpy(plates.normal(plates.cut(image, (x, y, w, h))))[None, None])[0].flatten().numpy()
        quad = (out[:8].reshape(4, 2) + 1) / 2 * [w, h] + [x, y]
        lo, hi = quad.min(0), quad.max(0)
        box = (*lo, *(hi - lo))
    return quad.astype(np.float32), float(out[8]), float(out[9])


def aligned(aligner, real, passes=2, off=0.0):
    """Real plates with a text, each with its `quad` and its `lines` (True: two); `off` > 0 moves the box as a finder might."""
    out, r = [], random.Random(1)
    for p in real:
        if p.text and p.box[2] >= 24 and all(c in plates.ALPHABET for c in p.text):
            box = jitter(r, p.box, 1 - off) if off else p.box
            p.quad, _, two = corners(aligner, p.image, box, passes)
            p.lines = two > 0
            out.append(p)
    return out


# ---------------------------------------------------------------- samples

class Samples:
    def __init__(self, data, aligner, seed):
        real, pictures = plates_real.load(data)
        self.pictures = [p[0] for p in pictures]
        self.real = aligned(load(aligner), real)
        for p in self.real:
            p.lines = p.lines if p.two is None else bool(p.two)
        self.weights = list(itertools.accumulate(2.0 if p.country == "GB" else 1.5 if p.set == "ro_dashcam" else 1.0 for p in self.real))
        self.r, self.n, self.pool = random.Random(seed), np.random.default_rng(seed), []

    def off(self, quad):
        """The quadrilateral as an imperfect aligner gives it."""
        r = self.r
        s = abs(r.gauss(0, 1))
        right, down = (quad[1] + quad[2] - quad[0] - quad[3]) / 2, (quad[2] + quad[3] - quad[0] - quad[1]) / 2
        c = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        c = c * [math.exp(r.gauss(0, 0.04) * s), math.exp(r.gauss(0, 0.07) * s)] + [r.gauss(0, 0.02) * s, r.gauss(0, 0.04) * s]
        c = c + [[r.gauss(0, 0.008) * s, r.gauss(0, 0.03) * s] for _ in range(4)]
        c[:, 1] += c[:, 0] * r.gauss(0, 0.06) * s
        c[:, 0] += c[:, 1] * (r.gauss(0, 0.045) * s if r.random() < 0.7 else r.gauss(0, 0.1))
        base = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        d = c - base
        return (quad + d[:, :1] * right + d[:, 1:] * down).astype(np.float32)

    def drawn(self):
        """(patch H x W normalised, text); every drawn picture is rectified twice, the second patch waits for a later batch."""
        while len(self.pool) < 400:
            self.pool += self.pictured()
        i = self.r.randrange(len(self.pool))
        self.pool[i], self.pool[-1] = self.pool[-1], self.pool[i]
        return self.pool.pop()

    def pictured(self):
        """Two samples of one drawn picture."""
        r, n = self.r, self.n
        p = plates.draw(r, n)
        aspect = (p.quad[1, 0] - p.quad[0, 0]) / (p.quad[2, 1] - p.quad[1, 1])
        px = math.exp(r.uniform(math.log(40 if not p.two else 26), math.log(230)))
        q = plates.pose(r, aspect, 0.8) * px
        lo, hi = q.min(0), q.max(0)
        margin = 0.12 * px + 2
        q = (q - lo + margin).astype(np.float32)
        w, h = (int(v) for v in (hi - lo) + 2 * margin + 1)
        if r.random() < 0.5:
            image = r.choice(self.pictures)
            x, y = r.uniform(0, max(1, image.shape[1] - w)), r.uniform(0, max(1, image.shape[0] - h))
            k = r.uniform(0.5, 1.0)
            ground = plates.cut(image, (x, y, w * k, h * k), w, h).astype(np.float32)
        else:
            ground = np.full((h, w), r.uniform(10, 200), np.float32) + plates.clouds(n, (h, w)) * r.uniform(0, 40)
        a, alpha = plates.paste(p, q, ground)
        a = plates.spoil(r, n, a, px, alpha, 0.7)
        return [(plates.normal(plates.rectify(a, self.off(q), p.two)), p.text) for _ in range(2)]

    def photographed(self, p):
        """(patch, text) of a real plate, spoilt further, perhaps at a lower resolution."""
        r, n = self.r, self.n

        def faults(a):
            h, w = a.shape
            native = np.linalg.norm(p.quad[1] - p.quad[0])
            low = 38 if not p.lines else 26
            k = math.exp(r.uniform(math.log(low), math.log(max(low + 1, min(140, native))))) / (0.94 * w)
            if r.random() < 0.4 or k > 0.95:
                return plates.spoil(r, n, a.astype(np.float32), 60, strong=0.5) if r.random() < 0.8 else a
            a = cv2.resize(a, (max(16, round(w * k)), max(8, round(h * k))), interpolation=cv2.INTER_AREA).astype(np.float32)
            a = plates.spoil(r, n, a, 110 * k, strong=0.4)
            return cv2.resize(a, (w, h), interpolation=cv2.INTER_LINEAR)

        return plates.normal(plates.rectify(p.image, self.off(p.quad), p.lines, faults)), p.text

    def batch(self):
        rows = [self.drawn() for _ in range(DRAWN)]
        rows += [self.photographed(p) for p in self.r.choices(self.real, cum_weights=self.weights, k=REAL)]
        codes = [[plates.ALPHABET.index(c) + 1 for c in t] for _, t in rows]
        return torch.from_numpy(np.stack([a for a, _ in rows]))[:, None], torch.tensor([c for t in codes for c in t]), torch.tensor([len(t) for t in codes])


# ---------------------------------------------------------------- training

def train(a):
    torch.manual_seed(a.seed)
    net, work = network().to(memory_format=torch.channels_last), pathlib.Path(a.work)
    print(f"{gflop(net.ops, W, H) * 1e3:.1f} MFLOP, {sum(p.numel() for p in net.parameters())} weights")
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-3)
    ema, spent, n = Average(net, 0.998), 0.0, 0
    if (work / "reader.pt").exists():
        s = torch.load(work / "reader.pt", weights_only=False)
        net.load_state_dict(s["net"]), opt.load_state_dict(s["opt"])
        ema.state, ema.n, spent, n = s["ema"], s["n"], 0.0 if a.again else s["spent"], s["n"]
        a.start = None
    data = ahead(Samples, a.data, a.aligner, a.seed * 1000 + n)
    if a.start:
        take_up(net, a.start, torch.cat([next(data)[0] for _ in range(16)]))
        ema.state, n = {k: v.detach().clone() for k, v in net.state_dict().items()}, a.steps
    first, sums, last, saved = n, np.zeros(2), time.time(), time.time()
    while spent < a.minutes * 60:
        for g in opt.param_groups:
            g["lr"] = a.lr * min(1, (n - first + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * spent / (a.minutes * 60))) + 1e-6
        net.train()
        x, text, length = next(data)
        logits = net(x)[0].squeeze(2).permute(2, 0, 1).log_softmax(-1)   # 64 x N x 37
        each = F.ctc_loss(logits, text, torch.full((len(x),), POSITIONS), length, reduction="none", zero_infinity=True) / length
        loss = (-torch.expm1(-HARDNESS * each) / HARDNESS).mean() if n > 1500 else each.mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        opt.step()
        ema.update(net)
        n += 1
        spent += time.time() - last
        last = time.time()
        sums += [float(each[:DRAWN].detach().mean()), float(each[DRAWN:].detach().mean())]
        if n % 100 == 0:
            print(f"{n} {spent / 60:.1f} min  drawn {sums[0] / 100:.4f} real {sums[1] / 100:.4f}", flush=True)
            sums[:] = 0
        if time.time() - saved > 90 or spent >= a.minutes * 60:
            saved = time.time()
            torch.save({"net": net.state_dict(), "opt": opt.state_dict(), "ema": ema.state, "spent": spent, "n": n, "seed": a.seed}, work / "reader.new")
            (work / "reader.new").replace(work / "reader.pt")


def trained(work):
    """The averaged network of the last checkpoint, in inference mode, and the checkpoint."""
    s = torch.load(pathlib.Path(work) / "reader.pt", weights_only=False)
    net = network()
    net.load_state_dict(s["ema"])
    return net.eval(), s


# ---------------------------------------------------------------- judging

def greedy(logits):
    """logits 64 x 37 -> text of the best path."""
    return "".join(plates.ALPHABET[k - 1] for k, _ in itertools.groupby(logits.argmax(1)) if k)


def fold(t):
    return t.replace("O", "0").replace("I", "1")


def read_all(net, real):
    """logits len(real) x 64 x 37 of plates with `quad` and `lines`."""
    x = torch.from_numpy(np.stack([plates.normal(plates.rectify(p.image, p.quad, p.lines)) for p in real]))[:, None]
    with torch.no_grad():
        return np.concatenate([net(b)[0].squeeze(2).transpose(1, 2).numpy() for b in x.split(64)])


def probability(logits, texts, t=1.0):
    """Probability of each text (all its paths, 0 and O as one, 1 and I as one) at logits / t; logits N x 64 x 37."""
    p = torch.from_numpy(logits / t).softmax(-1)
    for keep, other in ("0O", "1I"):
        k, o = plates.ALPHABET.index(keep) + 1, plates.ALPHABET.index(other) + 1
        p[..., k] += p[..., o]
        p[..., o] = 0
    codes = [[plates.ALPHABET.index(c) + 1 for c in fold(x)] for x in texts]
    n = torch.tensor([len(c) for c in codes])
    loss = F.ctc_loss((p + 1e-12).log().transpose(0, 1), torch.tensor(sum(codes, [])), torch.full((len(n),), POSITIONS), n, reduction="none")
    return (-loss).exp().numpy()


def temperature(logits, texts, right):
    """The T under which the probability of the texts read at logits / T says best how often they are right."""
    best = (1e9, 1.0)
    for t in np.exp(np.linspace(math.log(0.2), math.log(4), 40)):
        p = probability(logits, texts, t).clip(1e-4, 1 - 1e-4)
        best = min(best, (-float(np.mean(np.where(right, np.log(p), np.log(1 - p)))), float(t)))
    return best[1]


def evaluate(a):
    """On `val`, from the labelled box through aligner and reader; returns the temperature."""
    net, s = trained(a.work)
    real, aligner = plates_real.load(a.data, "val")[0], load(a.aligner)
    seen = ([], [], [])
    for passes, off in ((1, 0.4), (2, 0.4), (1, 0), (2, 0)):
        val = aligned(aligner, real, passes, off)
        logits = read_all(net, val)
        got = [greedy(z) for z in logits]
        right = np.array([g == p.text for g, p in zip(got, val)])
        folded = np.array([fold(g) == fold(p.text) for g, p in zip(got, val)])
        seen[0].append(logits), seen[1].extend(got), seen[2].extend(folded)
        print(f"step {s['n']}, {'moved' if off else 'label'} boxes, {passes} aligner pass(es): {len(val)} texts")
        for name, keep in (("all", lambda p: True), ("GB", lambda p: p.country == "GB"), ("GB >= 70 px", lambda p: p.country == "GB" and p.box[2] >= 70), ("ro_dashcam", lambda p: p.set == "ro_dashcam"),
                           ("openimages", lambda p: p.set == "openimages_plates"), ("open_lpr", lambda p: p.set == "open_lpr"), ("two lines", lambda p: p.lines), ("two lines GB", lambda p: p.lines and p.country == "GB")):
            m = np.array([keep(p) for p in val])
            if m.any():
                print(f"  {name:>13} {m.sum():4d}  exact {right[m].mean():.3f}  folded {folded[m].mean():.3f}")
    logits, right = np.concatenate(seen[0]), np.array(seen[2])
    t = temperature(logits, seen[1], right)
    p = probability(logits, seen[1], t)
    print(f"  temperature {t:.2f}; right (0 = O, 1 = I) of reads at least so sure: " + ", ".join(f"{c}: {right[p >= c].mean():.3f} of {np.mean(p >= c):.2f}" for c in (0.2, 0.5, 0.7, 0.8, 0.9, 0.95)))
    wrong = collections.Counter()
    for p, g in zip(val, got):
        for kind, i0, i1, j0, j1 in difflib.SequenceMatcher(None, fold(p.text), fold(g), False).get_opcodes():
            if kind != "equal":
                wrong[f"{fold(p.text)[i0:i1] or '-'}>{fold(g)[j0:j1] or '-'}" if max(i1 - i0, j1 - j0) < 3 else "more"] += 1
    print("  confusions: " + " ".join(f"{k}:{v}" for k, v in wrong.most_common(30)))
    return t


def write(a):
    t = a.temperature or evaluate(a)
    net, s = trained(a.work)
    out = pathlib.Path(a.out)
    worst = export(net, out, "reader", W, H, 1, f"seed {s['seed']}, {s['n']} steps of {DRAWN} drawn plates and {REAL} photographs (openimages_plates, open_lpr, ro_dashcam)", {"temperature": round(t, 3)})
    out.chmod(0o644)
    print(f"{out}: differs from the network by {worst:.1e}")
    if a.vectors:
        x = torch.from_numpy(plates.normal(example()))[None, None]
        save_file({"input": x, "output": load(out)(x)[0].contiguous()}, a.vectors)


def example():
    """A drawn UK plate, rectified."""
    r, n = random.Random(3), np.random.default_rng(3)
    p = plates.draw(r, n, uk=True)
    quad = np.float32([[22, 20], [190, 14], [192, 50], [23, 58]])
    return plates.rectify(plates.paste(p, quad, np.full((72, 216), 90, np.float32))[0], quad, p.two)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["train", "evaluate", "export"])
    ap.add_argument("--data", default=plates_real.DATA)
    ap.add_argument("--work", default=plates_real.ROOT / "target" / "training")
    ap.add_argument("--aligner", default=plates_real.ROOT / "models" / "aligner.safetensors")
    ap.add_argument("--minutes", type=float, default=90)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--start", help="train: an exported model to start from where WORK has no checkpoint")
    ap.add_argument("--steps", type=int, default=0, help="train: steps that this model has behind it")
    ap.add_argument("--temperature", type=float, help="for export: instead of the one that fits reads of labelled boxes")
    ap.add_argument("--again", action="store_true", help="start a new schedule from the last weights")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--out", default=plates_real.ROOT / "models" / "reader.safetensors")
    ap.add_argument("--vectors", help="export: also write test vectors to this file")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    cv2.setNumThreads(1)
    pathlib.Path(a.work).mkdir(parents=True, exist_ok=True)
    {"train": train, "evaluate": evaluate, "export": write}[a.what](a)


if __name__ == "__main__":
    main()
