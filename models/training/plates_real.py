"""The labelled photographs (shared/data/README.md) as luma pictures in memory. Nothing here writes a picture or a label."""
import json
import pathlib

import cv2

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SETS = ("openimages_plates", "open_lpr", "ro_dashcam", "vn_moto")
COMPLETE = ("openimages_plates", "ro_dashcam", "vn_moto")                 # all plates are labelled


class Real:
    """One labelled plate: `image` H x W uint8 luma (the whole picture), `box` (x, y, w, h) px, `text`, `country`, `set`."""

    def __init__(self, image, box, text, country, source):
        self.image, self.box, self.text, self.country, self.set = image, box, text, country, source

    @property
    def two(self):
        """1 two lines, 0 one line, None unknown (labels do not say, and a turned plate of one line has a square box)."""
        w, h = self.box[2:]
        if self.set == "vn_moto":
            return 1
        if w > 2.6 * h:
            return 0
        if self.country in ("US", "AU", "CA", "BR", "NZ"):
            return 0
        return None


def load(data=DATA, split="train", sets=SETS):
    """(plates, pictures): all `Real` of a split, and per picture (image, boxes, set)."""
    plates, pictures = [], []
    for s in sets:
        for line in open(pathlib.Path(data) / s / "labels.jsonl"):
            row = json.loads(line)
            if row["split"] != split:
                continue
            path = pathlib.Path(data) / s / row["file"]
            path = path if path.exists() else path.parent / "images" / path.name
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
            boxes = [tuple(float(p[k]) for k in "xywh") for p in row["plates"]]
            pictures.append((image, boxes, s))
            plates += [Real(image, b, p["text"], p["country"], s) for b, p in zip(boxes, row["plates"]) if min(b[2:]) >= 4]
    return plates, pictures
