"""Where the bounds between the kinds lie: what a little more for neutral, and for the rare kinds, does to the figures.

`python -m selection.bounds --cache faces.npz --checkpoint best.pt` prints the best of a grid on FER2013Valid as
Markdown. The faces of an epoch are drawn so that rare kinds stand more often in it than in FER2013; that helps the
balanced figures and takes faces from neutral. Two numbers, added to the logits by export/to_onnx.py, choose the balance
afterwards. Figures are with the temperature that export/to_onnx.py finds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.data import Faces, load
from evaluate.figures import Judged, shares_of
from train.networks import network_of
from train.train import predict, softmax

WANTED = {
    "7 classes": 84.0, "balanced 7": 74.0, "13 classes": 70.0, "balanced 13": 54.0, "strength": 79.0,
    "majority 7": 87.0,
}  # fmt: skip
"""The figures asked for, in percent."""


def offsets(counted: np.ndarray, neutral: float, rare: float) -> np.ndarray:
    """What is added to the logits [13]: `neutral` to neutral, `rare` times -log n to the others, their mean (weighted
    by n) taken away; n counts the training faces of a kind, whose labels are `counted`."""
    counts = np.bincount(counted)
    others = -rare * np.log(counts[1:])
    return np.concatenate(([neutral], others - np.average(others, weights=counts[1:]))).astype(np.float32)


def temperature_of(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature that minimises the cross-entropy of logits/temperature with the labels, between .3 and 3."""
    low, high = 0.3, 3.0
    labelled = logits[np.arange(len(label)), label]
    for _ in range(24):
        middle = float(np.sqrt(low * high))
        # The cross-entropy is convex in 1/temperature; this is its slope.
        slope = ((softmax(logits / middle) * logits).sum(1) - labelled).mean()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return middle


def judged_of(logits: np.ndarray, faces: Faces) -> Judged:
    return Judged.of(softmax(logits), faces.label, faces.votes)


@dataclass(frozen=True)
class Point:
    """One choice of the two numbers, the temperature that goes with it, and what both give."""

    neutral: float
    rare: float
    temperature: float
    shares: dict[str, float]

    def moved(self, logits: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Logits as export/to_onnx.py would give them."""
        return (logits + offsets(counted, self.neutral, self.rare)) / self.temperature

    def rank(self) -> tuple[int, float, float]:
        """How many wanted figures are missed, and by how many points in sum; then all figures' sum. The smallest is
        the best."""
        missing = [max(0.0, least - self.shares[name]) for name, least in WANTED.items()]
        return sum(each > 0 for each in missing), sum(missing), -sum(self.shares.values())


def search(logits: np.ndarray, faces: Faces, counted: np.ndarray) -> list[Point]:
    """Every point of a grid, the best first; `counted` are the labels of the training faces."""
    judged = judged_of(logits, faces)

    def point(neutral: float, rare: float) -> Point:
        moved = logits + offsets(counted, neutral, rare)
        # The temperature never changes the likeliest of 13, but it can change the largest sum of weak and strong.
        temperature = temperature_of(moved, faces.label)
        probabilities = softmax(moved / temperature)
        return Point(neutral, rare, temperature, shares_of(replace(judged, probabilities=probabilities)))

    points = [point(neutral, rare) for neutral in np.arange(0, 1.01, 0.05) for rare in np.arange(-0.1, 0.41, 0.05)]
    return sorted(points, key=Point.rank)


def halves(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Masks [count] of a random half and of the rest, to choose on and to look at; then the other way round."""
    half = np.random.default_rng(seed).permutation(count) < count // 2
    yield half, ~half
    yield ~half, half


def mean_shares(several: list[dict[str, float]]) -> dict[str, float]:
    """The mean of every figure."""
    return {name: float(np.mean([shares[name] for shares in several])) for name in several[0]}


def listed(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in shares.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of train/train.py")
    parser.add_argument("--best", type=int, default=5, help="how many points to print")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    valid, counted = load(options.cache, "FER2013Valid"), load(options.cache, "FER2013Train").label
    logits = predict(network_of(options.checkpoint), valid.images)
    points = search(logits, valid, counted)
    plain = next(point for point in points if abs(point.neutral) < 1e-6 and abs(point.rare) < 1e-6)
    print("| neutral | rare | " + " | ".join(plain.shares) + " |\n|" + "---:|" * (len(plain.shares) + 2))
    for point in (*points[: options.best], plain):
        shares = " | ".join(f"{share:.2f}" for share in point.shares.values())
        print(f"| {point.neutral:.2f} | {point.rare:.2f} | {shares} |")
    # How much of this is luck: choose on one half of the faces, look at the other.
    chosen, kept = [], []
    for choose, look in halves(len(logits), options.seed):
        point = search(logits[choose], valid.rows(choose), counted)[0]
        chosen.append(shares_of(judged_of(point.moved(logits[look], counted), valid.rows(look))))
        kept.append(shares_of(judged_of(logits[look], valid.rows(look))))
    for title, both in (("chosen on the other half", chosen), ("left as they were", kept)):
        print(f"\n{title}: {listed(mean_shares(both))}")


if __name__ == "__main__":
    main()
