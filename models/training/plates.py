"""Draws number plates, and spoils them the way a camera in a car does.

`draw` makes a flat plate, `pose` a view of it, `spoil` the picture's faults; `window` and `rectify` are the two cuts of
docs/design/models.md (128 x 64 for the aligner, 128 x 32 for the reader). Pictures are luma, uint8 or float32 of 0..255.
Every random choice comes from the `random.Random` or `numpy` generator handed in.

usage: plates.py sheet OUT.png [SEED]
"""
import json
import math
import pathlib
import random
import re
import sys

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTERS, DIGITS, CONSONANTS = ALPHABET[10:], ALPHABET[:10], "BCDFGHJKLMNPRSTVWXYZ"
UK_FILE = pathlib.Path(__file__).resolve().parent.parent / "glyphs" / "uk.json"
TALL = 48            # rows of a cached character bitmap
PX = 0.5             # canvas pixels a millimetre
FONT_DIRS = ("/usr/share/fonts",)
FONTS = ("NationalPark-Regular", "NationalPark-Heavy", "OSP-DIN", "RG2014B", "RG2014C", "RG2014D", "RG2014E", "RG2014EM",
         "routed-gothic", "routed-gothic-narrow", "BebasNeue-Bold", "BebasNeue-Regular", "Dosis-Bold", "Dosis-ExtraBold",
         "Dosis-SemiBold", "DejaVuSans-Bold", "DejaVuSans", "DejaVuSansCondensed-Bold", "DejaVuSansMono-Bold", "FreeSansBold",
         "LiberationSans-Bold", "LiberationSansNarrow-Bold", "LiberationMono-Bold", "LiberationSerif-Bold", "OpenSans-CondBold",
         "RobotoCondensed-Bold", "Roboto-Medium", "B612-Bold", "Lato-Bold", "Play-Bold")


# ---------------------------------------------------------------- characters

def uk_glyphs(path=UK_FILE):
    """The UK characters as ink masks, TALL rows high, by character."""
    spec, out = json.loads(path.read_text()), {}
    k = TALL / spec["height"]
    for c, g in spec["glyphs"].items():
        rings = [np.array([[float(v) for v in p.split(",")] for p in re.findall(r"[-\d.]+,[-\d.]+", r)]) for r in g["path"].split("Z")]
        m = np.zeros((TALL * 4, round(g["width"] * k) * 4), np.uint8)
        cv2.fillPoly(m, [np.round(r * k * 4 * 16).astype(np.int32) for r in rings if len(r)], 255, cv2.LINE_AA, shift=4)
        out[c] = cv2.resize(m, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return out


def font_glyphs(path):
    """The characters of a font file as ink masks cut to their ink, TALL rows high."""
    font, out = ImageFont.truetype(str(path), 120), {}
    top, bottom = font.getbbox("H")[1], font.getbbox("H")[3]
    for c in ALPHABET:
        im = Image.new("L", (260, 260))
        ImageDraw.Draw(im).text((60, 60), c, 255, font)
        a = np.asarray(im)
        xs = np.flatnonzero(a.max(0))
        ys = np.flatnonzero(a.max(1))
        y0, y1 = min(60 + top, ys[0]), max(60 + bottom, min(ys[-1] + 1, 60 + bottom + 8))
        a = a[y0:y1, xs[0]:xs[-1] + 1]
        out[c] = cv2.resize(a, (max(3, round(a.shape[1] * TALL / a.shape[0])), TALL), interpolation=cv2.INTER_AREA)
    return out


class Faces:
    """All character sets: `uk`, and `other` as far as the fonts are installed."""

    def __init__(self):
        self.uk = uk_glyphs()
        files = {p.stem: p for d in FONT_DIRS for p in sorted(pathlib.Path(d).rglob("*.[ot]tf"))}
        self.other = [font_glyphs(files[n]) for n in FONTS if n in files] or [self.uk]


# ---------------------------------------------------------------- texts

def fill(r, pattern, letters=LETTERS):
    """L letter, C consonant, N digit, 9 digit 1-9; everything else stands for itself."""
    sets = {"L": letters, "C": CONSONANTS, "N": DIGITS, "9": "123456789"}
    return "".join(r.choice(sets[c]) if c in sets else c for c in pattern)


def uk_text(r):
    """A UK mark with a blank between its groups."""
    memory, serial = "ABCDEFGHJKLMNOPRSTUVWXY", "ABCDEFGHJKLMNOPRSTUVWXYZ"
    digits = lambda n: "1" * n if r.random() < 0.06 else str(r.randint(1, 9)) + "".join(r.choice(DIGITS) for _ in range(n - 1))
    some = lambda s, n: "".join(r.choice(s) for _ in range(n))
    u = r.random()
    if u < 0.70:
        year = r.randint(1, 30) if r.random() < 0.55 else r.randint(51, 80)
        if r.random() < 0.12:
            year = r.choice((11, 11, 10, 12, 61, r.randint(0, 99)))
        return f"{some(memory, 2)}{year:02d} {some(serial, 3)}"
    if u < 0.80:
        return f"{some('ABCDEFGHJKLMNPRSTVWXY', 1)}{digits(r.choice((1, 2, 3, 3, 3)))} {some(memory, 3)}"
    if u < 0.85:
        return f"{some(memory, 3)} {digits(r.choice((1, 2, 3, 3, 3)))}{some('ABCDEFGHJKLMNPRSTVWXY', 1)}"
    if u < 0.91:
        a, b = some(memory + "I", r.randint(1, 3)), digits(r.randint(1, 4))
        return f"{a} {b}" if r.random() < 0.5 else f"{b} {a}"
    if u < 0.95:
        return f"{some(memory, 1)}{r.choice('IZ')}{some(memory, 1) if r.random() < 0.7 else ''} {digits(4)}"
    if u < 0.96:
        return f"Q{digits(3)} {some(memory, 3)}"
    if u < 0.97:
        return f"{digits(3)}{r.choice('DX')}{digits(3)}"
    if u < 0.985:
        return f"{some(LETTERS, 2)} {some(DIGITS, 2)} {some(LETTERS, 2)}"
    return digits(5) if r.random() < 0.5 else f"{digits(r.randint(3, 5))} {some(memory, 2)}"


# country -> (patterns, plate sizes mm, character height mm, character width / height, side band)
ABROAD = {
    "DE": (("L:L N", "L:LL NN", "L:LL NNN", "LL:L NNN", "LL:LL NNN", "LL:LL NNNN", "LLL:L NNN", "LLL:LL NN", "L:LL NNNN", "LL:L NNNN", "LL:LL NNE"), ((520, 110),), 75, 0.62, "left"),
    "NL": (("NN-LL-LL", "NN-LLL-N", "L-NNN-LL", "LL-NNN-L", "N-LLL-NN", "CC-NN-CC", "NN-CC-CC", "C-NNN-CC"), ((520, 110),), 75, 0.55, "left"),
    "FR": (("LL-NNN-LL", "LL-NNN-LL", "NNN LLL NN", "NNNN LL NN"), ((520, 110),), 75, 0.55, "both"),
    "ES": (("NNNN CCC", "NNNN CCC", "LL NNNN LL", "L NNNN LL"), ((520, 110),), 77, 0.52, "left"),
    "IT": (("LLNNNLL", "LL NNNLL"), ((520, 110),), 75, 0.55, "both"),
    "RO": (("LL NN LLL", "LL NN LLL", "B NN LLL", "B NNN LLL", "B NNN LLL", "IF NN LLL", "LL NNNNNN"), ((520, 110),), 75, 0.58, "left"),
    "CZ": (("NLN NNNN", "NLL NNNN"), ((520, 110),), 75, 0.55, "left"),
    "PL": (("LL NNNNN", "LLL NNNN", "LL NNNNL", "LLL LNNN"), ((520, 114),), 80, 0.55, "left"),
    "BE": (("N-LLL-NNN", "LLL-NNN"), ((520, 110),), 75, 0.55, "left"),
    "IE": (("NN-L-NNNN", "NNN-L-NNNN", "NN-LL-NNNN", "NN-L-NNNNN", "NNN-LL-NNNN"), ((520, 110),), 70, 0.5, "left"),
    "AT": (("LL:NNNLL", "L:NNNNNL", "LL:NLLL", "L:NNNNLL", "LL:NNLLL", "LL:NNNNL"), ((520, 120),), 67, 0.6, "left"),
    "CH": ((":LL NNNNNN", ":LL NNNNN:", ":LL:NNNN", "LL:NNNNNN", ":LL NN:", ":LL NNN"), ((500, 110), (300, 160)), 65, 0.58, ""),
    "SE": (("LLL NNN", "LLL NNL"), ((520, 110),), 77, 0.55, "left"),
    "EU": (("LL-NNNN", "LLL NNN", "LL NN NNN", "LL NNNNN", "NN-LL-NN", "LL NNNN LL", "LLLNNN", "NN LLL NNN", "LL-NNN LL", "LNNNLL NN", "LNNNLL NNN", "LL NNNNNN"), ((520, 112),), 75, 0.56, "left"),
    "US": (("NLLLNNN", "LLL NNNN", "LLL-NNN", "LLL NNN", "NNN LLL", "NNN-LLL", "NLL NNN", "LNN NNN", "LLLNN", "LLL-NNNN", "LLLL", "LLLLLL", "LLLLLLL", "LLNNNNN", "LL NNNN", "NNNNNN"), ((305, 152),), 66, 0.46, ""),
    "AU": (("LLL NNN", "LLL-NNN", "LLNNLL", "NLLNLL", "LL NN LL", "NNN LLL", "LLL NNL", "NLL NLL", "LNNNLLL"), ((372, 134), (372, 107)), 72, 0.5, ""),
    "BR": (("LLL-NNNN", "LLLNLNN", "LLLNLNN"), ((400, 130),), 65, 0.6, "top"),
    "AS": (("NNNNN", "L NNNNN", "NNN-NN-NNN", "NN-NNN-NN", "LL NN LL NNNN", "LLL NNNN", "LL-NNNN", "L NNNN", "NNLNNNNN", "LLNNNN"), ((520, 110), (440, 140)), 78, 0.5, ""),
    "ANY": (("LLLLLLL", "LNLNLNL", "NLNLNL", "NNNNNNN", "LLLLLL", "LNNLLN", "LLLNLLL", "NLLLLN"), ((520, 110), (400, 110), (305, 152)), 75, 0.52, ""),
}
WEIGHTS = {"DE": 20, "NL": 5, "FR": 6, "ES": 6, "IT": 4, "RO": 14, "CZ": 3, "PL": 3, "BE": 2, "IE": 3, "AT": 4, "CH": 3, "SE": 2, "EU": 8, "US": 18, "AU": 8, "BR": 4, "AS": 6, "ANY": 12}


# ---------------------------------------------------------------- the flat plate

class Plate:
    """`image` and `alpha`: H x W uint8, the plate and its frame; `quad`: 4 x 2 corners of the plate itself in it, px;
    `text`: A-Z 0-9; `two`: the text has two lines."""

    def __init__(self, image, alpha, quad, text, two):
        self.image, self.alpha, self.quad, self.text, self.two = image, alpha, quad, text, two


def ink(glyphs, c, w, h, weight):
    """Mask of character c, h x w px, its stroke made thicker (weight > 0) or thinner."""
    m = glyphs[c]
    if weight:
        k = np.ones((abs(weight) + 1,) * 2, np.uint8)
        m = cv2.dilate(m, k) if weight > 0 else cv2.erode(m, k) if min(m.shape) > 8 else m
    return cv2.resize(m, (max(2, round(w)), max(2, round(h))), interpolation=cv2.INTER_AREA)


def set_line(mask, glyphs, text, x0, x1, y, height, width, gap, space, r, weight, seals, spread):
    """Set `text` centred between x0 and x1 with its top at y; all in canvas px. Returns places for seals."""
    total, items = 0.0, []
    for c in text:
        if c == " ":
            items.append((None, space - gap))
        elif c == ":":
            items.append((":", space * 1.3))
        elif c == "-":
            items.append(("-", space * 0.7))
        else:
            m = glyphs[c]
            w = width * (m.shape[1] / (TALL * spread) if spread else 1.0)
            if c in "1I" and m.shape[1] < 0.45 * TALL:
                w = min(w, height * m.shape[1] / TALL * (width / (0.6 * height) if glyphs is not FACES.uk else 1))
            items.append((c, w))
        total += items[-1][1] + gap
    total -= gap
    k = min(1.0, (x1 - x0) / max(1.0, total))
    x = (x0 + x1) / 2 - total * k / 2
    for c, w in items:
        w *= k
        if c == ":":
            seals.append((x + w / 2, y + height / 2))
        elif c == "-":
            cv2.rectangle(mask, (round(x + 0.1 * w), round(y + height * 0.45)), (round(x + 0.9 * w), round(y + height * 0.55)), 255, -1)
        elif c:
            g = ink(glyphs, c, w, height, weight)
            xi, yi = round(x), round(y)
            part = mask[yi:yi + g.shape[0], xi:xi + g.shape[1]]
            np.maximum(part, g[:part.shape[0], :part.shape[1]], out=part)
        x += w + gap * k
    return seals


def small_print(r, image, mask_level, x0, x1, y, h):
    """A line of supplier's or state's name, unreadably small: y is its base line."""
    words = "".join(r.choice(LETTERS + "   .") for _ in range(r.randint(5, 22)))
    scale = max(0.18, h / 22)
    (w, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = (x0 + x1) / 2 - w / 2 if r.random() < 0.8 else x0 + 4
    cv2.putText(image, words, (round(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, scale, mask_level, r.choice((1, 1, 2)) if h > 6 else 1, cv2.LINE_AA)


def clouds(n, shape, cells=4):
    """Smooth random field, about -1..1, of the given shape."""
    z = n.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(z, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def draw(r, n, uk=None):
    """A random flat Plate."""
    uk = r.random() < 0.45 if uk is None else uk
    return draw_uk(r, n) if uk else draw_abroad(r, n)


def levels(r, style):
    """(background, ink) luma."""
    if style == "yellow":
        return r.uniform(120, 215), r.uniform(5, 50)
    if style == "dark":
        return r.uniform(8, 60), r.uniform(140, 245)
    if style == "coloured":
        b, f = r.uniform(30, 230), r.uniform(20, 235)
        return (b, f) if abs(b - f) > 60 else (r.uniform(190, 245), r.uniform(20, 120))
    return r.uniform(170, 250), r.uniform(5, 60)


def draw_uk(r, n):
    glyphs, spread = FACES.uk, 0
    if r.random() < 0.12:
        glyphs, spread = r.choice(FACES.other), r.choice((0, 0.6))
    text, shape = uk_text(r), r.random()
    two = shape > 0.84 and " " in text
    bike = two and r.random() < 0.4
    ch, cw, gap, space, margin = (64, 44, 10, 30, 11) if bike else (79, 50, 11, 33, 11)
    if r.random() < 0.15:                                                # unlawful or personal spacing
        gap, space = gap * r.uniform(0.5, 1.6), space * r.uniform(0.3, 1.8)
    if r.random() < 0.08:
        text = text.replace(" ", "") if r.random() < 0.6 else shift_blank(r, text)
        two = two and " " in text
    if r.random() < 0.15:
        ch, cw = ch * r.uniform(0.8, 1.0), cw * r.uniform(0.8, 1.0)
    W, H = (229, 178) if bike else (285, 203) if two else (520, 111)
    if not two and r.random() < 0.15:
        W = max(W * r.uniform(0.6, 1.0), (len(text) * (cw + gap) + 20))
    if r.random() < 0.1:
        W, H = W * r.uniform(0.96, 1.1), H * r.uniform(0.9, 1.12)
    style = r.choices(("white", "yellow", "dark"), (50, 42, 8))[0]
    band = 0 if two else r.choices((0, 45), (60, 40))[0]
    lines = text.split(" ", 1) if two else [text]
    lines = [l for l in lines if l]
    return assemble(r, n, W, H, margin, lines, glyphs, spread, ch, cw, gap, space, levels(r, style), (band, 0, 0), bottom=r.random() < 0.6,
                    border=r.random() < 0.25, weight=r.choice((0, 0, 0, 0, -1, 1, 2)), uk=True)


def shift_blank(r, text):
    """The text with its blank at another place."""
    bare = text.replace(" ", "")
    i = r.randint(1, len(bare) - 1)
    return bare[:i] + " " + bare[i:]


def edged(r, text):
    """The text with I or 1 at an end, where the edge of a plate is easily taken for one, and one for the edge."""
    k = r.choice((0, -1, -1))
    thin = "1" if text[k].isdigit() else "I"
    return thin + text[1:] if k == 0 else text[:-1] + thin


def draw_abroad(r, n):
    land = r.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    patterns, sizes, ch, wide, side = ABROAD[land]
    text = fill(r, r.choice(patterns))
    if r.random() < 0.2:
        text = edged(r, text)
    W, H = r.choice(sizes)
    W, H = W * r.uniform(0.94, 1.06), H * r.uniform(0.92, 1.1)
    lines, two = [text], False
    groups = [g for g in re.split(r"[ :]", text) if g] if land != "US" else []
    if len(groups) > 1 and r.random() < 0.2:
        two = True
        cut = r.randint(1, len(groups) - 1)
        lines = [" ".join(groups[:cut]), " ".join(groups[cut:])]
        if max(map(len, lines)) > 6:
            two, lines = False, [text]
        else:
            W, H, ch = (280 * r.uniform(0.85, 1.25), 200 * r.uniform(0.9, 1.1), 72) if r.random() < 0.6 else (190 * r.uniform(0.9, 1.2), 140 * r.uniform(0.9, 1.1), 52)
    style = r.choices(("white", "yellow", "dark", "coloured"), (70, 12, 8, 10) if land not in ("US", "AU", "AS") else (40, 10, 12, 38))[0]
    band = (0, 0, 0)
    if not two and r.random() < 0.85:
        band = {"left": (42, 0, 0), "both": (42, 40, 0), "top": (0, 0, 28), "": (0, 0, 0)}[side]
    glyphs = r.choice(FACES.other) if r.random() < 0.9 else FACES.uk
    spread = r.choice((0, 0, 0.55, 0.62))
    ch *= r.uniform(0.88, 1.05)
    cw = ch * wide * r.uniform(0.85, 1.12)
    return assemble(r, n, W, H, 9, lines, glyphs, spread, ch, cw, r.uniform(5, 13), r.uniform(16, 34), levels(r, style), band, bottom=r.random() < (0.75 if side == "" else 0.2),
                    top=side == "" and r.random() < 0.75, border=r.random() < 0.6, weight=r.choice((-2, -1, 0, 0, 1, 2, 3)))


def assemble(r, n, W, H, margin, lines, glyphs, spread, ch, cw, gap, space, level, band, bottom=False, top=False, border=False, weight=0, uk=False):
    """Put a plate of W x H mm together. `band`: left, right and top band, mm. `lines`: one or two texts."""
    paper, black = level
    rim = r.uniform(2, 12) if r.random() < 0.35 else 0                   # frame round the plate, mm
    foot = rim + (r.uniform(6, 22) if rim and r.random() < 0.4 else 0)
    pad = 10 + max(rim, foot)
    w, h, p = round(W * PX), round(H * PX), round(pad * PX)
    image = np.full((h, w), paper, np.uint8)
    mask = np.zeros((h, w), np.uint8)
    left, right, upper = (b * PX for b in band)
    seals = []
    m, ch, cw, gap, space = margin * PX, ch * PX, cw * PX, gap * PX, space * PX
    x0, x1 = left + m * 0.7, w - right - m * 0.7
    free = h - upper
    between = (19 if uk else 14) * PX
    if len(lines) * ch + (len(lines) - 1) * between > free - 4:
        ch = (free - 4 - (len(lines) - 1) * between) / len(lines)
    y = upper + (free - len(lines) * ch - (len(lines) - 1) * between) / 2 + r.uniform(-2, 2) * PX
    if bottom and not top:
        y -= min(3 * PX, max(0, y - upper - 1))
    for i, l in enumerate(lines):
        set_line(mask, glyphs, l, x0, x1, y + i * (ch + between), ch, cw, gap, space, r, weight, seals, spread)
    if left:
        image[:, :round(left)] = r.uniform(20, 130)
        c, e = (round(left / 2), round(h * 0.3)), r.uniform(120, 240)
        if r.random() < 0.7:
            cv2.circle(image, c, round(left * 0.27), e, 1, cv2.LINE_AA)
        cv2.putText(image, r.choice(("GB", "UK", "D", "NL", "F", "E", "I", "RO", "CZ", "PL", "GB", "UK", "IRL", "B")), (2, round(h * 0.86)), cv2.FONT_HERSHEY_SIMPLEX, left / 45, e, 1, cv2.LINE_AA)
    if right:
        image[:, w - round(right):] = r.uniform(20, 130)
    if upper:
        image[:round(upper)] = r.uniform(20, 130)
        small_print(r, image, r.uniform(150, 240), 0, w, upper * 0.8, upper * 0.6)
    if top:
        small_print(r, image, black if r.random() < 0.5 else r.uniform(0, 200), 0, w, max(5, y - 2), min(12, max(4, y * 0.7)))
    if bottom:
        small_print(r, image, black, x0, x1, h - r.uniform(1, 3), r.uniform(3, 5) if uk else r.uniform(4, 10))
    if border:
        d = round(r.uniform(1, 5) * PX)
        cv2.rectangle(image, (d, d), (w - 1 - d, h - 1 - d), black, r.choice((1, 1, 2)), cv2.LINE_AA)
    for x, yy in seals:
        cv2.circle(image, (round(x), round(yy - h * 0.16)), round(13 * PX), r.uniform(20, 200), -1, cv2.LINE_AA)
        cv2.circle(image, (round(x), round(yy + h * 0.18)), round(15 * PX), r.uniform(90, 200), -1, cv2.LINE_AA)
    image = image.astype(np.float32)
    if r.random() < (0.03 if uk else 0.35):
        image += clouds(n, (h, w), r.randint(3, 9)) * r.uniform(4, 26)   # a picture on the plate
    a = mask.astype(np.float32) / 255
    if r.random() < 0.25:                                                # raised characters: an edge of light or shade
        dx, dy = r.randint(-2, 2), r.randint(-2, 2)
        s = np.roll(a, (dy, dx), (0, 1))
        image += (r.uniform(0, 255) - image) * s * r.uniform(0.3, 0.8)
    image = np.clip(image + (black - image) * a, 0, 255).astype(np.uint8)
    for _ in range(r.choice((0, 0, 2, 2, 2, 4))):                        # screws and caps
        c = (round(r.choice((r.uniform(0.03, 0.3), r.uniform(0.7, 0.97))) * w), round(r.uniform(0.1, 0.9) * h if r.random() < 0.3 else h * r.uniform(0.4, 0.6)))
        q = r.uniform(3, 8) * PX
        cv2.circle(image, c, max(1, round(q)), r.choice((r.uniform(0, 90), r.uniform(130, 255), paper)), -1, cv2.LINE_AA)
        if r.random() < 0.5:
            cv2.circle(image, c, max(1, round(q)), r.uniform(0, 160), 1, cv2.LINE_AA)
    if r.random() < 0.25:                                                # dirt
        d = np.clip(clouds(n, (h, w), r.randint(3, 14)) - r.uniform(0.2, 1.2), 0, 1) * r.uniform(0.2, 0.7)
        image = (image + (r.uniform(40, 150) - image) * d).astype(np.uint8)
    full = np.full((h + 2 * p, w + 2 * p), r.uniform(5, 70) if r.random() < 0.8 else r.uniform(100, 220), np.uint8)
    full[p:p + h, p:p + w] = image
    alpha = np.zeros_like(full)
    q = round(rim * PX)
    cv2.rectangle(alpha, (p - q, p - q), (p + w - 1 + q, p + h - 1 + round(foot * PX)), 255, -1)
    if not q and r.random() < 0.7:                                       # round corners
        k = r.randint(1, 4)
        for cx in (p, p + w - 1):
            for cy in (p, p + h - 1):
                cv2.circle(alpha, (cx, cy), k, 0, -1)
    if foot - rim > 5:
        small_print(r, full, r.uniform(120, 240), p, p + w, p + h + foot * PX - 1, (foot - 3) * PX)
    quad = np.float32([[p, p], [p + w, p], [p + w, p + h], [p, p + h]])
    return Plate(full, alpha, quad, re.sub("[^A-Z0-9]", "", "".join(lines)), len(lines) == 2)


FACES = Faces()


# ---------------------------------------------------------------- views

def pose(r, aspect, strong=1.0):
    """Corners (4 x 2) of a plate of this width / height seen from a random side; its upright hull has its centre at 0 and width 1."""
    t = lambda s: math.radians(max(-1, min(1, r.gauss(0, 0.42))) * s * strong)
    yaw, pitch, roll = t(62), t(35), t(22)
    if r.random() < 0.35:
        yaw, pitch, roll = yaw * 0.2, pitch * 0.2, roll * 0.2
    x = np.array([[-aspect, -1], [aspect, -1], [aspect, 1], [-aspect, 1]], np.float64) / (2 * aspect)
    x = np.c_[x, np.zeros(4)]
    cy, sy, cp, sp, cr, sr = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    R = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    x = x @ R.T
    q = x[:, :2] / (1 + x[:, 2:] / r.choice((3, 5, 8, 20)))
    lo, hi = q.min(0), q.max(0)
    return ((q - (lo + hi) / 2) / (hi[0] - lo[0])).astype(np.float32)


def paste(plate, quad, ground):
    """`ground` (H x W float32) with the plate drawn so that its corners lie at `quad` (px, pixel centres at .5)."""
    image, alpha, src = plate.image, plate.alpha, plate.quad
    side = max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]), 1)
    k = side / (src[1, 0] - src[0, 0])
    if k < 0.75:
        k = max(k, 0.04)
        image, alpha = (cv2.resize(a, None, fx=k, fy=k, interpolation=cv2.INTER_AREA) for a in (image, alpha))
        src = src * np.float32([image.shape[1] / plate.image.shape[1], image.shape[0] / plate.image.shape[0]])
    H = cv2.getPerspectiveTransform((src - 0.5).astype(np.float32), (quad - 0.5).astype(np.float32))
    size = (ground.shape[1], ground.shape[0])
    top = cv2.warpPerspective(image, H, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    a = cv2.warpPerspective(alpha, H, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    return ground + (top - ground) * a, a


def spoil(r, n, image, plate_px, alpha=None, strong=1.0):
    """Faults of camera and light on a float32 picture in which the plate is `plate_px` wide; result float32 of 0..255."""
    h, w = image.shape
    u = r.random()
    if u < 0.45:                                                         # uneven light
        image = image * (1 + clouds(n, (h, w), r.choice((2, 2, 3))) * r.uniform(0.05, 0.35))
    if alpha is not None and r.random() < 0.15:                          # night: dark surround, plate thrown back, bloom
        image = image * (alpha * r.uniform(0.7, 1.6) + (1 - alpha) * r.uniform(0.05, 0.5))
        if r.random() < 0.6:
            s = r.uniform(0.02, 0.1) * plate_px + 0.6
            image = image + cv2.GaussianBlur(np.clip(image, 0, 400) * alpha, (0, 0), s) * r.uniform(0.1, 0.6)
    if r.random() < 0.08:                                                # glare
        c = (r.uniform(0, w), r.uniform(0, h))
        yy, xx = np.ogrid[0:h, 0:w]
        image = image + r.uniform(30, 200) * np.exp(-((xx - c[0]) ** 2 + (yy - c[1]) ** 2) / (2 * (r.uniform(0.05, 0.3) * w) ** 2)).astype(np.float32)
    if r.random() < 0.18:                                                # overexposed: light spills over the characters, white is cut off
        veil = cv2.GaussianBlur(np.clip(image, 0, 255).astype(np.float32), (0, 0), r.uniform(0.01, 0.12) * plate_px + 0.5)
        image = image * r.uniform(0.6, 1.3) + veil * r.uniform(0.2, 1.2) + r.uniform(0, 60)
    if r.random() < 0.06:                                                # shadow edge
        a, k = r.uniform(0, math.pi), r.uniform(0.3, 0.7)
        yy, xx = np.ogrid[0:h, 0:w]
        image = np.where((xx - w * r.uniform(0.3, 0.7)) * math.cos(a) + (yy - h * r.uniform(0.3, 0.7)) * math.sin(a) > 0, image * k, image).astype(np.float32)
    image = image.astype(np.float32)
    soft = plate_px / 110 * strong
    if r.random() < 0.5:                                                 # focus
        image = cv2.GaussianBlur(image, (0, 0), 0.25 + r.random() ** 2 * (0.5 + 1.3 * soft))
    if r.random() < 0.35:                                                # motion
        length, angle = r.random() ** 1.5 * (1.5 + 6 * soft), r.gauss(0, 0.5) + (math.pi / 2 if r.random() < 0.25 else 0)
        k = 2 * math.ceil(length / 2) + 3
        ker = np.zeros((k, k), np.float32)
        d = (math.cos(angle) * length / 2 * 16, math.sin(angle) * length / 2 * 16)
        c = k // 2 * 16
        cv2.line(ker, (round(c - d[0]), round(c - d[1])), (round(c + d[0]), round(c + d[1])), 1.0, 1, cv2.LINE_AA, 4)
        image = cv2.filter2D(image, -1, ker / max(1e-6, float(ker.sum())))
    if r.random() < 0.2:                                                 # sharpening of the camera
        image = image + (image - cv2.GaussianBlur(image, (0, 0), r.uniform(0.7, 1.5))) * r.uniform(0.3, 1.5)
    g = r.uniform(0.25, 1.1) if r.random() < 0.4 else r.uniform(0.8, 1.25)
    image = image * g + r.uniform(-10, 25)
    if r.random() < 0.4:
        image = 255 * (np.clip(image, 1, 255) / 255) ** r.uniform(0.6, 1.6)
    if r.random() < 0.7:
        z = n.standard_normal((h, w), dtype=np.float32)
        z = z if r.random() < 0.5 else cv2.GaussianBlur(z, (0, 0), 0.6) * 1.8
        image = image + z * (r.random() ** 2 * 14 * min(1, plate_px / 60 + 0.3))
    image = np.clip(image, 0, 255)
    if r.random() < 0.6 and min(h, w) >= 8:
        ok, code = cv2.imencode(".jpg", image.astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, r.choice((25, 40, 55, 70, 80, 90, 95))))
        image = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE).astype(np.float32)
    return image


# ---------------------------------------------------------------- the two cuts

def normal(a):
    """(luma - mean) / (deviation + 8), float32."""
    a = a.astype(np.float32)
    return (a - a.mean()) / (a.std() + 8)


def window_of(box):
    """Window (x, y, w, h) of the aligner round the box (x, y, w, h)."""
    x, y, w, h = box
    ww = 1.5 * max(w, 2 * h)
    return x + w / 2 - ww / 2, y + h / 2 - ww / 4, ww, ww / 2


def cut(image, view, W=128, H=64):
    """The part `view` (x, y, w, h in px, corner of the first pixel at 0, 0) of a picture as H x W: bilinear, area average when
    shrinking; outside the picture its edge goes on."""
    x, y, w, h = view
    n = max(1, min(6, math.ceil(w / W - 0.01)))
    sx, sy = w / (W * n), h / (H * n)
    M = np.float64([[sx, 0, x + sx / 2 - 0.5], [0, sy, y + sy / 2 - 0.5]])
    a = cv2.warpAffine(image, M, (W * n, H * n), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(a, (W, H), interpolation=cv2.INTER_AREA) if n > 1 else a


def rectify(image, quad, two, faults=None):
    """The plate with corners `quad` (4 x 2, px) as the reader's 32 x 128 patch, several samples a pixel when shrinking.
    `faults` is applied to the patch before a plate of two lines is folded."""
    W, H, inner = (64, 64, (4, 5, 60, 59)) if two else (128, 32, (4, 3, 124, 29))
    q = np.asarray(quad, np.float32)
    x0, y0, x1, y1 = inner
    across = max(np.linalg.norm(q[1] - q[0]), np.linalg.norm(q[2] - q[3])) / (x1 - x0)
    down = max(np.linalg.norm(q[3] - q[0]), np.linalg.norm(q[2] - q[1])) / (y1 - y0)
    nx, ny = (max(1, min(6, math.ceil(v))) for v in (across, down))
    dst = np.float32([[x0 * nx, y0 * ny], [x1 * nx, y0 * ny], [x1 * nx, y1 * ny], [x0 * nx, y1 * ny]])
    M = cv2.getPerspectiveTransform(q - 0.5, dst - 0.5)
    a = cv2.warpPerspective(image, M, (W * nx, H * ny), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    a = cv2.resize(a, (W, H), interpolation=cv2.INTER_AREA) if nx * ny > 1 else a
    a = faults(a) if faults else a
    return np.hstack([a[:32], a[32:]]) if two else a


# ---------------------------------------------------------------- a look

def sheet(path, seed):
    r, n = random.Random(seed), np.random.default_rng(seed)
    rows = []
    for _ in range(14):
        row = []
        for _ in range(5):
            p = draw(r, n)
            ground = np.full((150, 260), r.uniform(20, 160), np.float32)
            q = pose(r, (p.quad[1, 0] - p.quad[0, 0]) / (p.quad[2, 1] - p.quad[1, 1])) * 190 + [130, 75]
            im, a = paste(p, q.astype(np.float32), ground)
            row.append(spoil(r, n, im, 190, a))
        rows.append(np.hstack(row))
    cv2.imwrite(path, np.vstack(rows))


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "sheet":
        sys.exit(__doc__)
    sheet(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
