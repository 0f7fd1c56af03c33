"""What the weights were made of: models/manifest.json and models/SHA256SUMS.

usage: manifest.py [--data DIR]

The manifest names the hash of every weights file and of everything that went into it: each set's labels and pictures (one hash
over the sorted hashes of its pictures), the scripts, the drawn characters, the fonts that were found. No picture's name or label
is written.
"""
import argparse
import hashlib
import json
import pathlib

import plates
import plates_real

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ("finder", "aligner", "reader")


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def digest_all(paths):
    """One hash over the sorted hashes of many files."""
    return hashlib.sha256("\n".join(sorted(map(digest, paths))).encode()).hexdigest()


def trained(path):
    """What the weights file says of its training."""
    with open(path, "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        return json.loads(f.read(size))["__metadata__"]["trained"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", default=plates_real.DATA, type=pathlib.Path)
    a = ap.parse_args()
    sets = {}
    for name in plates_real.SETS:
        rows = [json.loads(line) for line in open(a.data / name / "labels.jsonl") if line.strip()]
        pictures = [p for p in (a.data / name).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
        sets[name] = {"labels_sha256": digest(a.data / name / "labels.jsonl"), "pictures_sha256": digest_all(pictures),
                      "train_pictures": sum(r["split"] == "train" for r in rows)}
    weights = {}
    for name in MODELS:
        path = HERE.parent / f"{name}.safetensors"
        weights[name] = {"sha256": digest(path), "bytes": path.stat().st_size, "trained": trained(path)}
    fonts = sorted(p.stem for d in plates.FONT_DIRS for p in pathlib.Path(d).rglob("*.[ot]tf") if p.stem in plates.FONTS)
    out = {"weights": weights, "sets": sets, "scripts_sha256": {p.name: digest(p) for p in sorted(HERE.glob("*.py"))},
           "requirements_sha256": digest(HERE / "requirements.txt"), "glyphs_sha256": digest(plates.UK_FILE), "fonts": fonts}
    (HERE.parent / "manifest.json").write_text(json.dumps(out, indent=2) + "\n")
    (HERE.parent / "SHA256SUMS").write_text("".join(f"{weights[n]['sha256']}  {n}.safetensors\n" for n in MODELS))


if __name__ == "__main__":
    main()
