"""Judge a checkpoint in PyTorch on one split: every figure, tables, confusion matrices, curves.

`python -m evaluate.checkpoint --cache faces.npz --checkpoint best.pt` prints Markdown. This is for choosing; the
official figures come from the shipped file in tract (evaluate/score.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dataset.data import EMOTION_OF_KIND, Faces, load, majority_of_votes
from evaluate.figures import Judged, agreement, report, seven
from evaluate.pictures import draw_both
from train.networks import network_of
from train.train import predict, softmax


def ceiling(faces: Faces) -> dict[str, float]:
    """How often the recipe would give the same answer, were ten other annotators asked.

    Drawn from each face's own shares of votes. A network that knew those shares exactly would agree
    with the labels about as often. The shares come from the same ten votes as the labels, so this
    is rather too high than too low.
    """
    rows = np.arange(len(faces.label))
    emotion = EMOTION_OF_KIND[faces.label]
    kind, both = faces.soft[rows, faces.label], seven(faces.soft)[rows, emotion]
    majority = majority_of_votes(faces.votes)
    return {
        "7 classes": float(both.mean()),
        "13 classes": float(kind.mean()),
        "strength": float((kind[emotion > 0].sum() / both[emotion > 0].sum())),
        "majority 7, were every label of 7 classes guessed": agreement(emotion, majority)[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of train/train.py")
    parser.add_argument("--split", choices=("FER2013Train", "FER2013Valid"), default="FER2013Valid")
    parser.add_argument("--pictures", type=Path, help="folder for the confusion matrices as PNG")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    faces = load(options.cache, options.split)
    probabilities = softmax(predict(network_of(options.checkpoint), faces.images))
    print(report(Judged.of(probabilities, faces.label, faces.votes), options.draws, options.seed))
    for name, share in ceiling(faces).items():
        print(f"\nceiling from the votes, {name}: {100 * share:.1f} %")
    if options.pictures:
        draw_both(probabilities, faces.label, options.pictures, "confusion")


if __name__ == "__main__":
    main()
