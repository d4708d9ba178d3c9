"""Confusion matrices as pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from dataset.data import EMOTION_OF_KIND, EMOTIONS, KINDS
from evaluate.figures import confusion, seven

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

COLOURS = 64
"""So many are enough for a matrix in shades of one colour, and keep the files small."""


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
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def draw_both(probabilities: np.ndarray, label: np.ndarray, folder: Path, name: str) -> None:
    """`NAME7.png` and `NAME13.png`: guesses from probabilities [n,13] against labels [n] of 13 kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = (
        (EMOTIONS, seven(probabilities).argmax(1), EMOTION_OF_KIND[label]),
        (KINDS, probabilities.argmax(1), label),
    )
    for names, guess, truth in pairs:
        draw_confusion(names, confusion(guess, truth, len(names)), folder / f"{name}{len(names)}.png")
