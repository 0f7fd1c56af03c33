"""Draws the UK plate characters from their published dimensions and writes models/glyphs/uk.json.

Every character is 79 mm high and 50 mm wide (1 and I: one bar, 14 mm) with a stroke of 14 mm. It is built from centrelines
with rounded corners (`line`), widened to the stroke, and filled polygons (`poly`); their union is the outline.
Coordinates: mm, origin top left, y down. Path data: absolute M, L, Z, filled even-odd.

usage: glyphs.py [OUT.json]        (needs shapely)
"""
import json
import math
import pathlib
import sys

from shapely.geometry import LineString, Polygon, box
from shapely.ops import unary_union

HEIGHT, WIDTH, STROKE = 79, 50, 14


def fillet(points, closed):
    """Corner points (x, y[, radius]) -> polyline with each corner replaced by an arc of that radius."""
    out, n = [], len(points)
    for i, p in enumerate(points):
        r = p[2] if len(p) > 2 else 0
        if r == 0 or (not closed and i in (0, n - 1)):
            out.append(p[:2])
            continue
        a, b = points[i - 1], points[(i + 1) % n]
        u, v = [((q[0] - p[0]), (q[1] - p[1])) for q in (a, b)]
        lu, lv = math.hypot(*u), math.hypot(*v)
        u, v = (u[0] / lu, u[1] / lu), (v[0] / lv, v[1] / lv)
        half = math.acos(max(-1, min(1, u[0] * v[0] + u[1] * v[1]))) / 2
        t = r / math.tan(half)
        k = r / math.sin(half) / math.hypot(u[0] + v[0], u[1] + v[1])
        cx, cy = p[0] + (u[0] + v[0]) * k, p[1] + (u[1] + v[1]) * k
        a0 = math.atan2(p[1] + u[1] * t - cy, p[0] + u[0] * t - cx)
        a1 = math.atan2(p[1] + v[1] * t - cy, p[0] + v[0] * t - cx)
        d = (a1 - a0 + math.pi) % (2 * math.pi) - math.pi
        out += [(cx + r * math.cos(a0 + d * s / 20), cy + r * math.sin(a0 + d * s / 20)) for s in range(21)]
    return out + out[:1] if closed else out


def line(*points, closed=False):
    c = fillet(points, closed)
    if closed:
        ring = Polygon(c)
        return ring.buffer(STROKE / 2, join_style="round").difference(ring.buffer(-STROKE / 2, join_style="round"))
    return LineString(c).buffer(STROKE / 2, cap_style="flat", join_style="mitre", mitre_limit=4)


def poly(*points):
    return Polygon(points)


def rect(x0, y0, x1, y1):
    return box(x0, y0, x1, y1)


def half_turn(shape):
    from shapely.affinity import rotate
    return rotate(shape, 180, origin=(WIDTH / 2, HEIGHT / 2))


STEM = rect(0, 0, 14, 79)
ROUND = line((7, 7, 17), (43, 7, 17), (43, 72, 17), (7, 72, 17), closed=True)
BAR = rect(0, 0, 14, 79)
SIX = [line((7, 32, 16), (43, 32, 16), (43, 72, 16), (7, 72, 16), closed=True), line((7, 56), (7, 37, 28), (31, -6))]
P_BOWL = line((7, 7), (43, 7, 16), (43, 43, 16), (7, 43))
SHAPES = {
    "0": [ROUND], "1": [BAR],
    "2": [line((7, 26), (7, 7, 16), (43, 7, 16), (43, 33, 17), (3, 70)), rect(0, 65, 50, 79)],
    "3": [line((7, 23), (7, 7, 15), (42, 7, 15), (42, 38, 14), (19, 38)),
          line((19, 38), (43, 38, 15), (43, 72, 16), (7, 72, 16), (7, 55))],
    "4": [line((31, -5), (4, 58)), rect(0, 50, 50, 64), rect(28, 31, 42, 79)],
    "5": [rect(4, 0, 46, 14), rect(4, 0, 18, 41), line((11, 34), (43, 34, 16), (43, 72, 16), (7, 72, 16), (7, 53))],
    "6": SIX, "7": [rect(0, 0, 50, 14), line((43.5, 5), (17, 85))],
    "8": [line((9, 7, 13), (41, 7, 13), (41, 37, 13), (9, 37, 13), closed=True),
          line((7, 37, 15), (43, 37, 15), (43, 72, 15), (7, 72, 15), closed=True)],
    "9": [half_turn(s) for s in SIX],
    "A": [poly((17.5, 0), (32.5, 0), (15, 79), (0, 79)), poly((17.5, 0), (32.5, 0), (50, 79), (35, 79)), rect(10, 50, 40, 63)],
    "B": [STEM, line((7, 7), (41, 7, 14), (41, 37, 14), (7, 37)), line((7, 37), (43, 37, 15), (43, 72, 15), (7, 72))],
    "C": [line((43, 28), (43, 7, 17), (7, 7, 17), (7, 72, 17), (43, 72, 17), (43, 51))],
    "D": [STEM, line((7, 7), (43, 7, 19), (43, 72, 19), (7, 72))],
    "E": [STEM, rect(0, 0, 49, 14), rect(0, 31, 43, 45), rect(0, 65, 50, 79)],
    "F": [STEM, rect(0, 0, 49, 14), rect(0, 31, 43, 45)],
    "G": [line((43, 26), (43, 7, 17), (7, 7, 17), (7, 72, 17), (43, 72, 17), (43, 45), (25, 45))],
    "H": [STEM, rect(36, 0, 50, 79), rect(0, 32, 50, 46)],
    "I": [BAR],
    "J": [line((43, 0), (43, 72, 17), (7, 72, 17), (7, 51))],
    "K": [STEM, poly((32, 0), (49, 0), (14, 54), (14, 28)), poly((17, 36), (29, 24), (50, 79), (34, 79))],
    "L": [STEM, rect(0, 65, 49, 79)],
    "M": [rect(0, 0, 13, 79), rect(37, 0, 50, 79), poly((0, 0), (13, 0), (25, 27), (37, 0), (50, 0), (30, 50), (20, 50))],
    "N": [rect(0, 0, 13, 79), rect(37, 0, 50, 79), poly((0, 0), (14, 0), (50, 79), (36, 79))],
    "O": [ROUND],
    "P": [STEM, P_BOWL],
    "Q": [ROUND, line((24, 48), (48, 84))],
    "R": [STEM, P_BOWL, poly((17, 44), (33, 44), (50, 79), (34, 79))],
    "S": [line((43, 26), (43, 7, 15), (7, 7, 15), (7, 39, 15), (43, 39, 15), (43, 72, 15), (7, 72, 15), (7, 53))],
    "T": [rect(0, 0, 50, 14), rect(18, 0, 32, 79)],
    "U": [line((7, 0), (7, 72, 17), (43, 72, 17), (43, 0))],
    "V": [poly((0, 0), (15, 0), (32.5, 79), (17.5, 79)), poly((50, 0), (35, 0), (17.5, 79), (32.5, 79))],
    "W": [poly((0, 0), (13, 0), (18, 79), (6, 79)), poly((50, 0), (37, 0), (32, 79), (44, 79)),
          poly((6, 79), (18, 79), (25, 55), (32, 79), (44, 79), (31, 29), (19, 29))],
    "X": [poly((0, 0), (16, 0), (50, 79), (34, 79)), poly((50, 0), (34, 0), (0, 79), (16, 79))],
    "Y": [poly((0, 0), (16, 0), (32, 46), (18, 46)), poly((50, 0), (34, 0), (18, 46), (32, 46)), rect(18, 42, 32, 79)],
    "Z": [rect(1, 0, 49, 14), rect(0, 65, 50, 79), poly((31, 10), (49, 10), (19, 69), (1, 69))],
}


def path(parts):
    """Union of the parts, clipped to the character's box -> SVG path data."""
    shape = unary_union(parts).buffer(0).intersection(box(0, 0, WIDTH, HEIGHT)).simplify(0.025)
    rings = [r for p in getattr(shape, "geoms", [shape]) for r in (p.exterior, *p.interiors)]
    return " ".join("M" + " L".join(f"{x:.2f},{y:.2f}" for x, y in list(r.coords)[:-1]) + " Z" for r in rings)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "glyphs" / "uk.json")
    glyphs = {c: {"width": STROKE if c in "1I" else WIDTH, "path": path(SHAPES[c])} for c in sorted(SHAPES)}
    text = ",\n".join(f'"{c}":{json.dumps(g, separators=(",", ":"))}' for c, g in glyphs.items())
    out.write_text(f'{{"height":{HEIGHT},"width":{WIDTH},"stroke":{STROKE},"glyphs":{{\n{text}\n}}}}\n')


if __name__ == "__main__":
    main()
