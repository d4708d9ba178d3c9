#!/usr/bin/env python3
"""Faces for `tests/classifier.rs`, and what onnxruntime says of them.

`python -m export.reference_classifier` draws two faces, cuts one from the public-domain portrait
(`tests/fixtures/README.md`) and blurs it, writes them as 48x48 gray PNG into `tests/fixtures/faces/`, and beside them
`reference.json`: the SHA-256 of `models/expression.onnx` and its 13 probabilities for each file, weak and strong
divided as the product does. To be run again whenever that network or a border of the manifest changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dataset.data import KINDS
from export.to_onnx import run
from selection.intensity import LEAD, graded, shipped_borders
from train.model import SIDE

ROOT = Path(__file__).resolve().parents[3]
FACES = ROOT / "tests/fixtures/faces"
NETWORK = ROOT / "models/expression.onnx"
PORTRAIT_BOX = (127, 58, 241, 172)
"""Left, top, right, bottom of the face in portrait.png, framed roughly as in FER-2013."""


def drawn(smiling: bool) -> Image.Image:
    """A head, two eyes and a mouth, four times too large and scaled down."""
    face = Image.new("L", (4 * SIDE, 4 * SIDE), 70)
    pen = ImageDraw.Draw(face)
    pen.ellipse((20, 4, 172, 204), fill=190)
    for x in (60, 132):
        pen.ellipse((x - 14, 68, x + 14, 84), fill=235)
        pen.ellipse((x - 7, 69, x + 7, 83), fill=30)
        pen.line((x - 16, 56, x + 16, 56), fill=90, width=5)
    pen.line((96, 84, 90, 120, 100, 120), fill=140, width=4)
    mouth = (62, 110, 130, 166) if smiling else (62, 148, 130, 204)
    pen.arc(mouth, *((20, 160) if smiling else (200, 340)), fill=60, width=7)
    return face.resize((SIDE, SIDE), Image.Resampling.BOX)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    portrait = Image.open(ROOT / "tests/fixtures/portrait.png").convert("L").crop(PORTRAIT_BOX)
    faces = {
        "portrait.png": (small := portrait.resize((SIDE, SIDE), Image.Resampling.BOX)),
        # Hardly a smile any more: something between amused and neutral.
        "portrait-blurred.png": small.filter(ImageFilter.GaussianBlur(3)),
        "drawn-smile.png": drawn(smiling=True),
        "drawn-frown.png": drawn(smiling=False),
    }
    FACES.mkdir(parents=True, exist_ok=True)
    for name, face in faces.items():
        face.save(FACES / name)
    logits = run(NETWORK, np.stack([np.asarray(face) for face in faces.values()]))
    answers = graded(logits.astype(float), LEAD, shipped_borders())
    reference = {
        "sha256": hashlib.sha256(NETWORK.read_bytes()).hexdigest(),
        "faces": {
            name: {kind: round(float(share), 6) for kind, share in zip(KINDS, answer)}
            for name, answer in zip(faces, answers)
        },
    }
    (FACES / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")
    for name, answer in zip(faces, answers):
        print(name, KINDS[answer.argmax()], f"{answer.max():.3f}")


if __name__ == "__main__":
    main()
