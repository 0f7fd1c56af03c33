#!/usr/bin/env python3
"""The finder: where number plates are in a whole frame. Train, evaluate, export.

usage: finder.py train    --out DIR [--minutes N]        resumes from DIR/last.pt
       finder.py evaluate --model FILE [--scales 640 ...] [--threshold T]
       finder.py export   --out DIR --model FILE [--vectors FILE]

Boxes are [x, y, w, h] in pixels throughout, top-left origin. `--data` is the folder of the labelled photographs.
"""
import argparse
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import common

STRIDE, CELL = 64, 8                     # of the network's input size, of its output
SIZE = (640, 384)                        # 1080p at a third, padded
DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SETS = {"openimages_plates": 0.45, "open_lpr": 0.35, "ro_dashcam": 0.16, "vn_moto": 0.04}   # share of training samples
ALL_LABELLED = {"openimages_plates"}     # elsewhere an unlabelled plate may be in the background


def network():
    """Strides 4 to 64 down, then up again by addition to one head at stride 8; N x 1 x H x W -> N x 7 x H/8 x W/8."""
    g = common.Graph()
    c4 = g.conv("c4", g.s2d("s4", "x", 4), 16, 16)
    d8 = g.conv("d8", c4, 16, 32, 2, 2)
    c8 = g.conv("c8", d8, 32, 32, add=d8)
    d16 = g.conv("d16", c8, 32, 64, 2, 2)
    c16 = g.conv("b16", g.conv("a16", d16, 64, 64), 64, 64, add=d16)
    d32 = g.conv("d32", c16, 64, 88, 2, 2)
    c32 = g.conv("b32", g.conv("a32", d32, 88, 88), 88, 88, add=d32)
    d64 = g.conv("d64", c32, 88, 88, 2, 2)
    c64 = g.conv("b64", g.conv("a64", d64, 88, 88), 88, 88, add=d64)
    m32 = g.add("m32", g.up2("v32", g.conv("u32", c64, 88, 88, 1, relu=False)), c32, True)
    m16 = g.add("m16", g.up2("v16", g.conv("u16", m32, 88, 64, 1, relu=False)), c16, True)
    m8 = g.add("m8", g.up2("v8", g.conv("u8", m16, 64, 32, 1, relu=False)), c8, True)
    g.conv("heat", g.conv("n8", m8, 32, 32), 32, 7, 1, relu=False, bn=False)
    net = common.Net(g.ops, ["heat"])
    head = net.convs["heat"]
    with torch.no_grad():                # few cells are plates; a first guess of 48 x 20 px; channels 5 and 6 stay 0
        head.weight.normal_(0, 0.01)
        head.weight[5:] = 0
        head.bias.copy_(torch.tensor([-5.0, 1.1, 0.22, 1.1, 0.22, 0, 0]))
    return net


# ---------------------------------------------------------------- pictures

class Picture:
    """A labelled photograph: `luma` H x W uint8, `boxes` N x 4 float32."""

    def __init__(self, folder, name, row):
        self.set, self.row = name, row
        self.luma = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if self.luma is None:
            raise SystemExit(f"{folder / row['file']}: not a readable picture")
        self.half = cv2.resize(self.luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        self.boxes = np.array([[p[k] for k in "xywh"] for p in row["plates"]], np.float32).reshape(-1, 4)


def pictures(data, sets, split):
    out = []
    for name in sets:
        folder = Path(data) / name
        rows = [json.loads(line) for line in open(folder / "labels.jsonl") if line.strip()]
        out += [Picture(folder, name, r) for r in rows if r["split"] == split]
    return out


# ---------------------------------------------------------------- samples

class Sampler:
    """Makes training samples: a crop with its plates at a chosen size, made worse in the ways a car camera is."""

    def __init__(self, pics, seed):
        self.rng = np.random.default_rng(seed)
        self.by_set = {s: [p for p in pics if p.set == s] for s in SETS}
        share = np.array([SETS[s] for s in SETS])
        self.share = share / share.sum()
        self.grain = self.rng.standard_normal((1024, 1024), dtype=np.float32)
        self.hard = 1.0                  # how often light and optics are changed

    def batch(self, n, size):
        xs, ts = zip(*[self.sample(size) for _ in range(n)])
        x = torch.from_numpy(np.stack(xs))[:, None]
        return x, {k: torch.from_numpy(np.stack([t[k] for t in ts])) for k in ts[0]}

    def sample(self, size):
        """`size` (w, h); returns the input h x w float32 and its targets."""
        r = self.rng
        pic = self.pick(r.choice(list(SETS), p=self.share))
        if r.random() < 0.06:
            pic = self.swap_plate(pic)
        luma, boxes, s, shift = pic.luma, pic.boxes, *self.place(pic, size)
        M = self.matrix(luma.shape, s, shift, size)
        if r.random() < 0.5:
            M = np.array([[-1, 0, size[0]], [0, 1, 0], [0, 0, 1.0]]) @ M
        patch, quads = warp(pic, M, size), project(M, boxes)
        inside = project(M, np.array([[0, 0, luma.shape[1], luma.shape[0]]], np.float32))[0]
        near = max(2.0, 3 * max([hull(q)[2] for q in quads], default=0))
        certain = np.full((size[1] // CELL, size[0] // CELL), 1.0 if pic.set in ALL_LABELLED else 0.12, np.float32)
        if pic.set not in ALL_LABELLED:
            for q in quads:
                x, y, w, h = hull(q)
                x0, y0, x1, y1 = (int(v) // CELL for v in (x - near / 3, y - near / 3, x + w + near / 3, y + h + near / 3))
                certain[max(0, y0):max(0, y1 + 1), max(0, x0):max(0, x1 + 1)] = 1
        patch, quads, certain = self.surround(patch, quads, certain, inside, size)
        return self.look(patch, quads), targets([hull(q) for q in quads], certain, size)

    def pick(self, name):
        return self.by_set[name][self.rng.integers(len(self.by_set[name]))]

    def swap_plate(self, pic):
        """The picture with one plate replaced by another picture's."""
        r, other = self.rng, self.pick(self.rng.choice(list(SETS), p=self.share))
        if not len(pic.boxes) or not len(other.boxes):
            return pic
        a, b = pic.boxes[r.integers(len(pic.boxes))], other.boxes[r.integers(len(other.boxes))]
        if abs(math.log(a[2] / a[3] / (b[2] / b[3]))) > 0.35 or b[2] < 0.5 * a[2]:
            return pic
        (ax, ay, aw, ah), (bx, by, bw, bh) = (np.round(v).astype(int).clip(0) for v in (a, b))
        part, there = other.luma[by:by + bh, bx:bx + bw], pic.luma[ay:ay + ah, ax:ax + aw]
        if min(part.shape + there.shape) < 4:
            return pic
        part = cv2.resize(part, there.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        new = Picture.__new__(Picture)
        new.set, new.boxes, new.luma = pic.set, pic.boxes, pic.luma.copy()
        new.luma[ay:ay + ah, ax:ax + aw] = np.clip(part * np.clip(there.mean() / max(part.mean(), 1), 0.5, 1.6), 0, 255)
        new.half = cv2.resize(new.luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return new

    def place(self, pic, size):
        """Scale of the picture, and where in it (picture pixels) the middle of the crop lies."""
        r, (h, w) = self.rng, pic.luma.shape
        if r.random() < 0.12 or not len(pic.boxes):
            s = np.exp(r.uniform(math.log(0.5), math.log(1.5)))
            return s, (r.uniform(0, w), r.uniform(0, h))
        x, y, bw, bh = pic.boxes[r.integers(len(pic.boxes))]
        top = 0.95 * size[0]
        u = r.random()
        want = np.exp(r.uniform(math.log(8), math.log(40)) if u < 0.45 else
                      r.uniform(math.log(24), math.log(150)) if u < 0.85 else r.uniform(math.log(100), math.log(top)))
        s = float(np.clip(want / bw, 0.1, 2.0 if bw < 40 else 1.6))
        fx, fy = max(0.0, size[0] / s - bw) / 2, max(0.0, size[1] / s - bh) / 2   # room to move with the plate inside
        return s, (x + bw / 2 + 1.05 * r.uniform(-fx, fx), y + bh / 2 + 1.05 * r.uniform(-fy, fy))

    def matrix(self, shape, s, centre, size):
        """Picture to crop: scale, slight turn, squeeze and perspective."""
        r = self.rng
        a = math.radians(r.normal(0, 2.0)) if r.random() < 0.6 else 0.0
        q = math.exp(r.normal(0, 0.07)) if r.random() < 0.5 else 1.0
        c, n = math.cos(a) * s, math.sin(a) * s
        R = np.array([[c * q, -n, 0], [n * q, c, 0], [0, 0, 1.0]])
        if r.random() < 0.3:
            R = np.array([[1, 0, 0], [0, 1, 0], [*r.uniform(-0.15, 0.15, 2) / max(size), 1.0]]) @ R
        return move(size[0] / 2, size[1] / 2) @ R @ move(-centre[0], -centre[1])

    def surround(self, patch, quads, certain, inside, size):
        """Fill what the picture does not cover: with nothing, as beyond the frame's edge, or with another picture, softly joined."""
        r, (w, h) = self.rng, size
        x, y, iw, ih = hull(inside)
        if x <= 1 and y <= 1 and x + iw >= w - 1 and y + ih >= h - 1 and r.random() < 0.97:
            return patch, quads, certain
        mask = cv2.fillConvexPoly(np.zeros((h, w), np.float32), np.round(inside).astype(np.int32), 1.0)
        if r.random() < 0.35:
            return (patch * mask + 128 * (1 - mask)).astype(np.uint8), quads, np.where(shrink(mask) > 0.05, certain, 1).astype(np.float32)
        other = self.pick("openimages_plates" if r.random() < 0.75 else "ro_dashcam")
        s = max(w / other.luma.shape[1], h / other.luma.shape[0]) * r.uniform(1.0, 2.0)
        ow, oh = other.luma.shape[1] * s, other.luma.shape[0] * s
        B = np.array([[s, 0, -r.uniform(0, ow - w)], [0, s, -r.uniform(0, oh - h)], [0, 0, 1.0]])
        back = warp(other, B, size).astype(np.float32)
        if r.random() < 0.3:
            back = cv2.GaussianBlur(back, (0, 0), r.uniform(0.7, 2.0))
        back *= np.clip(patch[mask > 0.5].mean() / max(back.mean(), 1), 0.6, 1.5) if (mask > 0.5).any() else 1
        if r.random() < 0.8:             # a soft edge, but not over the plates
            F_ = max(2.0, 0.16 * min(iw, ih) * r.uniform(0.3, 1))
            d = cv2.distanceTransform((np.pad(mask, 1) > 0.5).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
            for q in quads:
                px, py, pw, ph = hull(q)
                gap = min(px - x, py - y, x + iw - px - pw, y + ih - py - ph)
                F_ = min(F_, max(1.0, gap))
            t = np.clip(d / F_, 0, 1)
            mask = mask * t * t * (3 - 2 * t)
        out = np.clip(patch * mask + back * (1 - mask), 0, 255).astype(np.uint8)
        small = shrink(mask)
        certain = np.where(small > 0.5, certain, 1.0 if other.set in ALL_LABELLED else 0.12).astype(np.float32)
        kept = list(quads)
        for q in project(B, other.boxes):
            bx, by, bw, bh = hull(q)
            x0, y0, x1, y1 = max(0, int(bx)), max(0, int(by)), min(w, int(bx + bw) + 1), min(h, int(by + bh) + 1)
            if x1 <= x0 or y1 <= y0:
                continue
            over = mask[y0:y1, x0:x1].mean()
            if over < 0.1:
                kept.append(q)
            elif over < 0.95:            # half hidden: neither plate nor not
                certain[y0 // CELL:y1 // CELL + 1, x0 // CELL:x1 // CELL + 1] = 0
        return out, kept, certain

    def look(self, patch, quads):
        """Light, optics, sensor and coder; returns the network's input."""
        r, (h, w) = self.rng, patch.shape
        p = self.darken(patch.astype(np.float32), quads)
        patch = np.clip(p, 0, 255).astype(np.uint8)
        kind, u = (r.random() if r.random() < self.hard else 1.0 for _ in range(2))
        if kind < 0.22:
            p = self.night(p, quads)
        elif kind < 0.28:
            p = self.infrared(p, quads)
        elif kind < 0.75:
            p = curve(patch, math.exp(r.normal(0, 0.3)))
            p = (p - p.mean()) * math.exp(r.normal(0, 0.25)) + p.mean() * math.exp(r.normal(0, 0.25))
            if r.random() < 0.08:
                p = 255 - p if r.random() < 0.15 else p * 0.5 + r.uniform(20, 120)   # negative; fog
        if u < 0.25:
            p = streak(p, r.exponential(2.0) + 0.5, r.uniform(0, math.pi) if r.random() < 0.3 else r.normal(0, 0.3))
        elif u < 0.5:
            p = cv2.GaussianBlur(p, (0, 0), r.uniform(0.3, 1.3))
        elif u < 0.6:
            k = r.uniform(0.45, 0.9)     # a smaller picture enlarged
            p = cv2.resize(cv2.resize(p, None, fx=k, fy=k, interpolation=cv2.INTER_AREA), (w, h), interpolation=cv2.INTER_LINEAR)
        if r.random() < 0.5:
            p = p + self.noise(p.shape) * r.exponential(4.0)
        p = np.clip(p, 0, 255)
        if r.random() < 0.35:
            coded = cv2.imencode(".jpg", p.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(r.uniform(25, 90))])[1]
            p = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.float32)
        if r.random() < 0.1:             # beyond the frame's right and lower edge
            n = CELL * int(r.integers(1, 5))
            p[h - n:] = 128
        return (p - 128) / 64

    def darken(self, p, quads):
        """Some plates white or silver on black, as old vehicles carry them: the photographs have hardly any."""
        r = self.rng
        for q in quads:
            if r.random() > 0.12:
                continue
            m = np.zeros(p.shape, np.uint8)
            cv2.fillConvexPoly(m, np.round(q).astype(np.int32), 255)
            x, y, w, h = (int(v) for v in hull(q))
            x0, y0, x1, y1 = max(0, x), max(0, y), min(p.shape[1], x + w + 1), min(p.shape[0], y + h + 1)
            if x1 - x0 < 4 or y1 - y0 < 3:
                continue
            part = p[y0:y1, x0:x1]
            lo, hi = np.percentile(part, (5, 80))
            paper, ink = r.uniform(5, 60), r.uniform(120, 235)
            turned = np.clip((hi - part) / max(hi - lo, 15), -0.1, 1.1) * (ink - paper) + paper
            p[y0:y1, x0:x1] += (turned - part) * (m[y0:y1, x0:x1] / 255)
        return p

    def noise(self, shape):
        y, x = (int(self.rng.integers(1024 - n + 1)) for n in shape)
        return self.grain[y:y + shape[0], x:x + shape[1]]

    def shine(self, p, quads, strength):
        """What the plates throw back of the car's own light, and its bloom."""
        r, add = self.rng, np.zeros_like(p)
        for q in quads:
            x, y, w, h = hull(q)
            x0, y0, x1, y1 = max(0, int(x)), max(0, int(y)), min(p.shape[1], int(x + w) + 1), min(p.shape[0], int(y + h) + 1)
            if x1 - x0 < 3 or y1 - y0 < 2:
                continue
            part = p[y0:y1, x0:x1]
            lo, hi = np.percentile(part, (30, 85))
            m = np.zeros(p.shape, np.uint8)
            cv2.fillConvexPoly(m, np.round(q).astype(np.int32), 255)
            t = np.clip((part - lo) / max(hi - lo, 20), 0, 1) * (m[y0:y1, x0:x1] / 255)
            add[y0:y1, x0:x1] = np.maximum(add[y0:y1, x0:x1], t * part * strength * 215 / max(hi, 60))
            if r.random() < 0.6:
                g = 4 + int(0.3 * w)
                a, b, c, d = max(0, y0 - g), min(p.shape[0], y1 + g), max(0, x0 - g), min(p.shape[1], x1 + g)
                add[a:b, c:d] += r.uniform(0.2, 0.6) * cv2.GaussianBlur(add[a:b, c:d], (0, 0), max(0.6, 0.06 * w))
        return add

    def night(self, p, quads):
        r, (h, w) = self.rng, p.shape
        yy, xx = np.mgrid[0:h:4, 0:w:4].astype(np.float32)
        fx, fy, s = r.uniform(0.2, 0.8) * w, r.uniform(0.3, 0.9) * h, r.uniform(0.3, 1.0) * w
        pool = np.exp(-((xx - fx) / s) ** 2 - ((yy - fy) / (0.7 * s)) ** 2)
        gain = cv2.resize((r.uniform(0.08, 0.4) + r.uniform(0.1, 0.6) * pool).astype(np.float32), (w, h))
        out = p * gain * min(2.2, max(0.8, 105 / max(p.mean(), 1)))
        if r.random() < 0.8:
            out += self.shine(p, quads, r.uniform(0.3, 1.4))
        for _ in range(r.poisson(1.2)):  # lamps
            cx, cy, sd = r.uniform(0, w), r.uniform(0, h), np.exp(r.uniform(0, 2.5))
            n = int(4 * sd) + 1
            x0, x1, y0, y1 = max(0, int(cx) - n), min(w, int(cx) + n), max(0, int(cy) - n), min(h, int(cy) + n)
            d = ((np.arange(x0, x1) - cx) ** 2)[None] + ((np.arange(y0, y1) - cy) ** 2)[:, None]
            out[y0:y1, x0:x1] += r.uniform(100, 500) * np.exp(-d / (2 * sd * sd))
        return out + self.noise(p.shape) * r.uniform(1, 8)

    def infrared(self, p, quads):
        """Lit from the camera: plates bright, paint flat, the rest dark."""
        r = self.rng
        return curve(p.astype(np.uint8), r.uniform(1.2, 2)) * r.uniform(0.4, 0.9) + self.shine(p, quads, r.uniform(0.5, 1.2))


def curve(p, gamma):
    """Gamma curve of uint8 pixels."""
    return cv2.LUT(p, (255 * (np.arange(256) / 255) ** gamma).astype(np.float32))


def move(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def project(M, boxes):
    """Corners N x 4 x 2 of boxes N x 4 under the homography M."""
    x, y, w, h = (boxes[:, i].astype(np.float64) for i in range(4))
    q = np.stack([np.stack([x, x + w, x + w, x], 1), np.stack([y, y, y + h, y + h], 1), np.ones((len(boxes), 4))], -1) @ M.T
    return q[..., :2] / q[..., 2:]


def hull(q):
    (x0, y0), (x1, y1) = q.min(0), q.max(0)
    return x0, y0, x1 - x0, y1 - y0


def warp(pic, M, size):
    """Warp with area averaging when shrinking; the edge is drawn out."""
    s = math.sqrt(abs(np.linalg.det(M[:2, :2])))
    luma = pic.luma if s > 0.5 else pic.half
    if s < 0.35:
        luma = cv2.resize(luma, None, fx=2 * s, fy=2 * s, interpolation=cv2.INTER_AREA)
    fx, fy = pic.luma.shape[1] / luma.shape[1], pic.luma.shape[0] / luma.shape[0]
    M = M @ np.array([[fx, 0, 0.5 * fx - 0.5], [0, fy, 0.5 * fy - 0.5], [0, 0, 1]])
    return cv2.warpPerspective(luma, M, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def shrink(mask):
    return cv2.resize(mask, None, fx=1 / CELL, fy=1 / CELL, interpolation=cv2.INTER_AREA)


def streak(p, length, angle):
    """Motion blur of `length` pixels."""
    r = int(math.ceil(length / 2)) + 1
    k = np.zeros((2 * r + 1, 2 * r + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 4 * int(length) + 3):
        k[int(round(r + t * math.sin(angle))), int(round(r + t * math.cos(angle)))] += 1
    return cv2.filter2D(p, -1, k / k.sum(), borderType=cv2.BORDER_REPLICATE)


# ---------------------------------------------------------------- targets and loss

def targets(boxes, certain, size):
    """Per cell of h/8 x w/8: `box` left, top, right, bottom in px, `pos` weight of a plate cell, `neg` weight of the background."""
    (w, h), (rows, cols) = size, certain.shape
    box, pos, neg = np.ones((4, rows, cols), np.float32), np.zeros((rows, cols), np.float32), certain.copy()
    cx, cy = (np.arange(cols) + 0.5) * CELL, (np.arange(rows) + 0.5) * CELL
    for x, y, bw, bh in sorted(boxes, key=lambda b: -b[2] * b[3]):      # a small plate's cells override a large one's
        x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(w, x + bw), min(h, y + bh)
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        mx, my = (x0 + x1) / 2, (y0 + y1) / 2
        dx, dy = np.abs(cx - mx)[None], np.abs(cy - my)[:, None]
        near = (dx < (x1 - x0) / 2 + 4) & (dy < (y1 - y0) / 2 + 4)
        neg[near] *= 0.25
        if (x1 - x0) * (y1 - y0) < 0.6 * bw * bh or bw < 5:             # cut off, or too small to ask for
            neg[near] = 0
            continue
        cells = (dx < 0.2 * (x1 - x0) + 2) & (dy < 0.2 * (y1 - y0) + 2)
        inner = cells & (dx < (x1 - x0) / 2) & (dy < (y1 - y0) / 2)
        cells = inner if inner.any() else cells
        cells[min(rows - 1, int(my / CELL)), min(cols - 1, int(mx / CELL))] = True
        j, i = np.nonzero(cells)
        # a cell beside a tiny plate describes the box round both
        box[:, j, i] = np.maximum(0.5, np.stack([cx[i] - x0, cy[j] - y0, x1 - cx[i], y1 - cy[j]]))
        pos[j, i], neg[j, i] = len(j) ** -0.8, 0
    return {"box": box, "pos": pos, "neg": neg}


def loss(heat, t):
    """Scaled by the plates in the batch: quality focal loss of the score, GIoU and log-distance loss of the boxes."""
    pos, count = t["pos"], max(1.0, float(t["pos"].sum()))
    m = pos > 0
    w, v = pos[m], heat[:, 1:5].permute(0, 2, 3, 1)[m].clamp(-4, 5)
    want = t["box"].permute(0, 2, 3, 1)[m]
    iou, giou = overlap(CELL * v.exp(), want)
    shape = F.smooth_l1_loss(v, (want / CELL).log(), beta=0.2, reduction="none").mean(1)
    boxes = (w * (2 * (1 - giou) + 0.5 * shape)).sum() / count
    logit, p = heat[:, 0], heat[:, 0].detach().sigmoid()
    good = iou.detach().clamp(0, 1).sqrt()
    hit = (w * F.binary_cross_entropy_with_logits(logit[m], good, reduction="none")).sum() / count
    miss = (t["neg"] * 0.75 * p * p * F.softplus(logit)).sum() / count
    return boxes, hit, miss, float((w * iou.detach()).sum() / count)


def overlap(a, b):
    """IoU and GIoU of boxes given as distances from one point, N x 4."""
    area = lambda d: (d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3])
    i, hull_ = area(torch.minimum(a, b)), area(torch.maximum(a, b))
    u = area(a) + area(b) - i
    return i / u, i / u - (hull_ - u) / hull_


# ---------------------------------------------------------------- finding

def find(run, luma, long_side, threshold=0.05, iou=0.45):
    """Run at one scale; boxes N x 5 [x, y, w, h, score] in pixels of `luma`, best first."""
    (h, w), s = luma.shape, long_side / max(luma.shape)
    sw, sh = max(8, round(w * s)), max(8, round(h * s))
    small = cv2.resize(luma, (sw, sh), interpolation=cv2.INTER_AREA if s < 1 else cv2.INTER_LINEAR)
    x = np.zeros((-(-sh // STRIDE) * STRIDE, -(-sw // STRIDE) * STRIDE), np.float32)
    x[:sh, :sw] = (small.astype(np.float32) - 128) / 64
    with torch.no_grad():
        heat = run(torch.from_numpy(x)[None, None])[0][0].numpy()
    score = 1 / (1 + np.exp(-heat[0]))
    j, i = np.nonzero(score > threshold)
    l, t, r, b = CELL * np.exp(heat[1:5, j, i].clip(-4, 5))
    cx, cy = (i + 0.5) * CELL, (j + 0.5) * CELL
    x0, y0, x1, y1 = (cx - l).clip(0, sw), (cy - t).clip(0, sh), (cx + r).clip(0, sw), (cy + b).clip(0, sh)
    boxes = np.stack([x0 * w / sw, y0 * h / sh, (x1 - x0) * w / sw, (y1 - y0) * h / sh, score[j, i]], 1)
    return suppress(boxes, iou)


def suppress(boxes, iou):
    boxes, keep = boxes[np.argsort(-boxes[:, 4])], []
    while len(boxes):
        keep.append(boxes[0])
        boxes = boxes[1:][ious(boxes[0], boxes[1:]) < iou]
    return np.array(keep).reshape(-1, 5)


def ious(a, b):
    """IoU of one box with N boxes."""
    ix = np.minimum(a[0] + a[2], b[:, 0] + b[:, 2]) - np.maximum(a[0], b[:, 0])
    iy = np.minimum(a[1] + a[3], b[:, 1] + b[:, 3]) - np.maximum(a[1], b[:, 1])
    i = ix.clip(0) * iy.clip(0)
    return i / np.maximum(a[2] * a[3] + b[:, 2] * b[:, 3] - i, 1e-9)


def measure(run, pics, scales, merge=0.45):
    """For every labelled plate (width, country, best score of a box with IoU >= 0.5 or 0), and the scores of the false boxes
    (IoU < 0.2 with every label)."""
    plates, false = [], []
    for p in pics:
        got = suppress(np.concatenate([find(run, p.luma, s) for s in scales]), merge)
        best = np.zeros(len(got))
        for box, lab in zip(p.boxes, p.row["plates"]):
            v = ious(box, got)
            plates.append((box[2] * 640 / max(p.luma.shape), lab.get("country"), p.set, got[v >= 0.5, 4].max(initial=0)))
            best = np.maximum(best, v)
        false += list(got[best < 0.2, 4])
    return plates, np.array(false)


def found(plates, threshold, keep=lambda p: True):
    hits = [p[3] >= threshold for p in plates if keep(p)]
    return 100 * float(np.mean(hits)) if hits else float("nan"), len(hits)


def at_false(false, images, rate):
    """The score threshold at which `rate` false boxes an image are left."""
    k = int(rate * images)
    return float(np.sort(false)[::-1][k]) if len(false) > k else 0.05


def drive(run, video, truth, scales):
    """Plates found in every third frame of a drive, by their width in pixels of the video, day and night."""
    passes = [r for r in map(json.loads, open(truth)) if "boxes" in r]
    labels, cap, n, rows, stray = {}, cv2.VideoCapture(video), 0, [], 0
    for p in passes:
        labels.update({b[0]: (np.array(b[1:]), p["night"]) for b in p["boxes"]})
    while True:
        if not cap.grab():
            break
        if n in labels:
            box, night = labels[n]
            luma = cv2.cvtColor(cap.retrieve()[1], cv2.COLOR_BGR2GRAY)
            got = suppress(np.concatenate([find(run, luma, s) for s in scales]), 0.45)
            v = ious(box, got) if len(got) else np.zeros(0)
            cx, cy = got[:, 0] + got[:, 2] / 2, got[:, 1] + got[:, 3] / 2
            held = (abs(cx - box[0] - box[2] / 2) < 0.3 * box[2]) & (abs(cy - box[1] - box[3] / 2) < 0.3 * box[2])   # the aligner's reach
            rows.append((box[2], night, got[v >= 0.5, 4].max(initial=0), got[held, 4].max(initial=0)))
            stray += int(np.sum((got[:, 4] >= 0.3) & (v < 0.2)))
        n += 1
    print(f"drive, scales {scales}: {len(rows)} frames, {stray / max(1, len(rows)):.2f} stray boxes a frame at score 0.3")
    for dark in (False, True):
        for lo, hi in ((35, 45), (45, 60), (60, 90), (90, 140), (140, 999)):
            part = np.array([r[2:] for r in rows if r[1] == dark and lo <= r[0] < hi]).reshape(-1, 2)
            if len(part):
                print(f"  {'night' if dark else 'day':>5} {lo}-{hi} px: {len(part)} boxes,", ", ".join(
                    f"score {t}: IoU {100 * np.mean(part[:, 0] >= t):.0f} % near {100 * np.mean(part[:, 1] >= t):.0f} %" for t in (0.2, 0.3, 0.5)))


def report(run, data, scales, thresholds):
    pics, empty = pictures(data, ("openimages_plates", "open_lpr"), "val"), pictures(data, ("bg_camvid",), "val")
    plates, false = measure(run, pics, scales)
    _, roads = measure(run, empty, scales)
    print(f"scales {scales}: {len(pics)} pictures, {len(plates)} plates, {len(empty)} roads without plates")
    for name, t in [(f"{r} false/image", at_false(false, len(pics), r)) for r in (0.1, 0.3, 1.0)] + [("fixed", t) for t in thresholds]:
        groups = {"GB": lambda p: p[1] == "GB", "openimages": lambda p: p[2] == "openimages_plates", "open_lpr": lambda p: p[2] == "open_lpr"}
        line = "  ".join(f"{k} {found(plates, t, f)[0]:.1f}" for k, f in groups.items())
        print(f"  {name:>15} (score {t:.2f}): found {found(plates, t)[0]:.1f} %  {line}  false/image {np.mean(false >= t) * len(false) / len(pics):.2f}"
              f"  roads {np.sum(roads >= t) / max(1, len(empty)):.2f}")
    t = at_false(false, len(pics), 0.3)
    edges = (0, 10, 16, 24, 40, 80, 160, 1e9)
    print("  by width at long side 640:", "  ".join(
        "{:g}-{:g}: {:.0f} % of {}".format(a, b, *found(plates, t, lambda p: a <= p[0] < b)) for a, b in zip(edges, edges[1:])))


# ---------------------------------------------------------------- commands

def train(a):
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(a.seed)
    pics, val = pictures(a.data, SETS, "train"), pictures(a.data, ("openimages_plates", "open_lpr"), "val")
    net, spent, n, best = network().to(memory_format=torch.channels_last), 0.0, 0, -1.0
    decay = [p for k, p in net.named_parameters() if p.ndim > 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 5e-4}, {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0}], lr=1e-3)
    ema = common.Average(net, 0.999)
    if (out / "last.pt").exists():
        c = torch.load(out / "last.pt")
        net.load_state_dict(c["net"]), opt.load_state_dict(c["opt"])
        ema.state, ema.n, spent, n, best = c["ema"], c["ema_n"], c["spent"], c["n"], c["best"]
        a.start = None
    print(f"{len(pics)} pictures, {sum(p.numel() for p in net.parameters())} weights, {common.gflop(net.ops, *SIZE):.3f} GFLOP at {SIZE}; {spent / 60:.1f} min done", flush=True)
    sampler, rng = Sampler(pics, [a.seed, n]), np.random.default_rng([a.seed, n, 1])
    if a.start:
        common.take_up(net, a.start, torch.cat([sampler.batch(8, (512, 384))[0] for _ in range(4)]))
        ema.state, n = {k: v.detach().clone() for k, v in net.state_dict().items()}, a.steps
    shapes, budget = [((256, 256), 16), ((320, 320), 10), ((512, 384), 6)], a.minutes * 60
    mark, log, seen, busy, checked = time.time(), np.zeros(4), 0, 0.0, spent
    while spent < budget:
        net.train()
        lr = a.lr * min(1, (n + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, spent / budget))))
        for g in opt.param_groups:
            g["lr"] = lr
        sampler.hard = 1.0 if spent < 0.6 * budget else 0.6
        size, count = shapes[rng.choice(3, p=(0.5, 0.25, 0.25))]
        t0 = time.time()
        x, t = sampler.batch(count, size)
        busy += time.time() - t0
        boxes, hit, miss, q = loss(net(x.to(memory_format=torch.channels_last))[0], t)
        opt.zero_grad()
        (boxes + hit + miss).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        opt.step()
        ema.update(net)
        n, seen = n + 1, seen + count
        log += [float(boxes.detach()), float(hit.detach()), float(miss.detach()), q]
        spent += time.time() - t0
        if n % 200 == 0:
            d = time.time() - mark
            print(f"step {n}  {spent / 60:.1f} min  lr {lr:.2g}  box {log[0] / 200:.3f} hit {log[1] / 200:.3f} miss {log[2] / 200:.3f} iou {log[3] / 200:.3f}"
                  f"  {seen / d:.1f} images/s, samples {100 * busy / d:.0f} %", flush=True)
            mark, log, seen, busy = time.time(), np.zeros(4), 0, 0.0
        if spent - checked > a.every * 60 or spent >= budget:
            checked = spent
            judge = network()
            judge.load_state_dict(ema.state)
            judge.eval()
            plates, false = measure(judge, val, [640])
            t = at_false(false, len(val), 0.3)
            score = found(plates, t)[0]
            print(f"  val: found {score:.2f} % at 0.3 false/image (score {t:.2f}), GB {found(plates, t, lambda p: p[1] == 'GB')[0]:.1f} %,"
                  f" under 16 px {found(plates, t, lambda p: p[0] < 16)[0]:.1f} %, any score {found(plates, 0.05)[0]:.1f} %", flush=True)
            if score > best:
                best = score
                torch.save({"net": ema.state, "steps": n, "score": score, "seed": a.seed}, out / "best.pt")
                if a.model:
                    save(out / "best.pt", a.model)
            torch.save({"net": net.state_dict(), "opt": opt.state_dict(), "ema": ema.state, "ema_n": ema.n, "spent": spent, "n": n, "best": best}, out / "last.pt")
            mark, seen, busy = time.time(), 0, 0.0


def save(checkpoint, model):
    c, net = torch.load(checkpoint), network()
    net.load_state_dict(c["net"])
    net.eval()
    Path(model).parent.mkdir(parents=True, exist_ok=True)
    worst = common.export(net, str(model), "finder", *SIZE, STRIDE,
                          f"finder.py, seed {c['seed']}, {c['steps']} steps on {', '.join(SETS)} (train); {c['score']:.1f} % of val plates found at 0.3 false an image",
                          {"threshold": 0.3, "nms_iou": 0.45})
    print(f"{model}: differs from the network by {worst:.1g}", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    t, e, x = (sub.add_parser(c) for c in ("train", "evaluate", "export"))
    for p in (t, e):
        p.add_argument("--data", default=DATA, type=Path)
    t.add_argument("--out", required=True, help="folder of checkpoints")
    t.add_argument("--model", help="export here whenever val improves")
    t.add_argument("--minutes", type=float, default=100)
    t.add_argument("--every", type=float, default=10, help="minutes between checks on val")
    t.add_argument("--lr", type=float, default=2e-3)
    t.add_argument("--start", help="an exported model to start from where OUT has no checkpoint")
    t.add_argument("--steps", type=int, default=0, help="steps that this model has behind it")
    t.add_argument("--seed", type=int, default=1)
    e.add_argument("--model", required=True)
    e.add_argument("--scales", type=int, nargs="+", default=[640], help="long sides; boxes of all are merged")
    e.add_argument("--drive", nargs=2, metavar=("VIDEO", "TRUTH"), help="a drive instead of the stills")
    e.add_argument("--threshold", type=float, nargs="*", default=[0.3])
    x.add_argument("--out", required=True)
    x.add_argument("--model", required=True)
    x.add_argument("--vectors")
    a = ap.parse_args()
    if a.command == "train":
        train(a)
    elif a.command == "evaluate":
        torch.set_num_threads(1)
        run = common.load(a.model)
        drive(run, *a.drive, a.scales) if a.drive else report(run, a.data, a.scales, a.threshold)
    else:
        save(Path(a.out) / "best.pt", a.model)
        if a.vectors:
            common.save_vectors(a.model, a.vectors, "heat", 128, 64)


if __name__ == "__main__":
    main()
