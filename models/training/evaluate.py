"""Judge a checkpoint in PyTorch on one split: every figure, tables, confusion matrices, curves.

`python evaluate.py --cache faces.npz --checkpoint best.pt` prints Markdown. This is for choosing; the
official figures come from the shipped file in tract (score.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

from data import EMOTION_OF_KIND, EMOTIONS, KINDS, Faces, load, majority_of_votes
from figures import Judged, agreement, confusion, report, seven
from networks import network_of
from train import predict, softmax

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


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


def draw_confusion(names: tuple[str, ...], counts: np.ndarray, path: Path) -> None:
    """A confusion matrix as a picture: shares of each label's row in percent."""
    shares = 100 * counts / counts.sum(1, keepdims=True)
    figure, axes = pyplot.subplots(figsize=(0.6 * len(names) + 2, 0.6 * len(names) + 1.5))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("guess")
    axes.set_ylabel("label")
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 60 else "black"
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of data.py")
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of train.py")
    parser.add_argument("--split", choices=("FER2013Train", "FER2013Valid"), default="FER2013Valid")
    parser.add_argument("--pictures", type=Path, help="folder for the confusion matrices as PNG")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    faces = load(options.cache, options.split)
    probabilities = softmax(predict(network_of(options.checkpoint)[0], faces.images))
    print(report(Judged.of(probabilities, faces.label, faces.votes), options.draws, options.seed))
    for name, share in ceiling(faces).items():
        print(f"\nceiling from the votes, {name}: {100 * share:.1f} %")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        emotion, guess = EMOTION_OF_KIND[faces.label], seven(probabilities).argmax(1)
        pairs = ((EMOTIONS, guess, emotion), (KINDS, probabilities.argmax(1), faces.label))
        for names, guessed, truth in pairs:
            counts = confusion(guessed, truth, len(names))
            draw_confusion(names, counts, options.pictures / f"confusion{len(names)}.png")


if __name__ == "__main__":
    main()
