"""What the product says of posed photographs that people rated, and that nobody trained on: kind and intensity.

`python -m evaluate.rated_photographs --lectern target/debug/lectern` finds and frames the face in every photograph of
`rated_dev/` below the data folder as the product does, lets `lectern eval classify` judge it and prints Markdown. The
kind is right where it is the one that at least half of the raters saw. Intervals draw performers, not photographs:
pictures of one person are alike.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.data import EMOTION_OF_KIND, EMOTIONS, KINDS
from dataset.frames import crop, similarity, template
from evaluate.figures import recall, seven, spearman

SIDE = 96
"""Of a framed face, pixels; the product brings it to the network's size."""

SMALLEST = 40
LEAST_SHARE, MOST_NEUTRAL = 0.3, 0.5
"""Intensity is looked at where the raters agree so far on an emotion, and not on none."""

STRONG = np.array([kind.endswith("_strong") for kind in KINDS])


def ask(lectern: Path, what: str, files: list[Path], *more: str) -> list[dict]:
    """One answer of `lectern eval` for each file."""
    command = [str(lectern), "eval", what, *more, "--", *map(str, files)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def probabilities_of(lectern: Path, files: list[Path], *more: str) -> np.ndarray:
    """Probabilities [n,13] of framed faces; `more` goes to `lectern eval classify`."""
    answers = ask(lectern, "classify", files, *more)
    return np.array([[answer["probabilities"][kind] for kind in KINDS] for answer in answers])


def logits_of(lectern: Path, files: list[Path], *more: str) -> np.ndarray:
    """Logits [n,13] of framed faces, but for a constant in each row; with `more` as above."""
    return np.log(probabilities_of(lectern, files, *more))


def classify(lectern: Path, files: list[Path], *more: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether a face was found [n], and probabilities [n,13] (zeros where not); `more` goes to `lectern eval classify`."""
    answers = ask(lectern, "detect", files, "--min-face", str(SMALLEST))
    found = np.array([bool(answer["faces"]) for answer in answers])
    probabilities = np.zeros((len(files), len(KINDS)))
    with tempfile.TemporaryDirectory() as folder:
        framed = []
        for row in np.flatnonzero(found):
            luma = np.array(Image.open(files[row]).convert("L"))
            points = np.array(answers[row]["faces"][0]["landmarks"]) / luma.shape[::-1] * 2 - 1
            framed.append(Path(folder, f"{row:05}.png"))
            Image.fromarray(crop(luma[None], similarity(template(), points)[None], SIDE)[0]).save(framed[-1])
        probabilities[found] = probabilities_of(lectern, framed, *more)
    return found, probabilities


def rated_photographs(lectern: Path, data: Path, keep: Callable[[dict], object], *more: str) -> tuple[list[dict], np.ndarray]:
    """The ratings of the photographs of `rated_dev/` that `keep` takes and in which a face is found, and logits [n,13]."""
    with open(data / "rated_dev/ratings.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if keep(row)]
    found, probabilities = classify(lectern, [data / "rated_dev" / row["file"] for row in rows], *more)
    return [row for row, there in zip(rows, found) if there], np.log(probabilities[found])


def figures_of(rows: np.ndarray, guess: np.ndarray, truth: np.ndarray, strong: np.ndarray, intensity: np.ndarray,
               rated: np.ndarray) -> tuple[float, ...]:  # fmt: skip
    """Accuracy and balanced accuracy over the labelled of these rows, and the intensity's rank correlation."""
    labelled = rows[truth[rows] >= 0]
    recalls = recall(guess[labelled], truth[labelled], len(EMOTIONS))
    return (
        float((guess == truth)[labelled].mean()),
        float(np.nanmean(recalls)),
        spearman(strong[rows[rated[rows]]], intensity[rows[rated[rows]]]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lectern", type=Path, required=True, help="the product")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder that holds rated_dev/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    folder = Path(options.data) / "rated_dev"
    with open(folder / "ratings.csv", newline="") as file:
        ratings = list(csv.DictReader(file))
    found, probabilities = classify(options.lectern, [folder / row["file"] for row in ratings])
    print(f"{len(ratings)} photographs, a face in {found.sum()}\n")

    truth = np.array([EMOTIONS.index(row["label"]) if row["label"] else -1 for row in ratings])
    performer = np.array([row["performer"] for row in ratings])
    most_share, neutral_share, intensity = (
        np.array([float(row[name]) for row in ratings]) for name in ("most_share", "neutral_share", "intensity")
    )
    guess = seven(probabilities).argmax(1)
    # Of the six emotions together: how much of what is not neutral is strong.
    strong = probabilities[:, STRONG].sum(1) / probabilities[:, EMOTION_OF_KIND > 0].sum(1).clip(1e-9)
    rated = (neutral_share < MOST_NEUTRAL) & (most_share >= LEAST_SHARE)
    rows = np.flatnonzero(found)
    parts = (guess, truth, strong, intensity, rated)

    random = np.random.default_rng(options.seed)
    people = np.unique(performer[rows])
    of_person = {person: rows[performer[rows] == person] for person in people}
    draws = [
        figures_of(np.concatenate([of_person[person] for person in random.choice(people, len(people))]), *parts)
        for _ in range(options.draws)
    ]
    low, high = np.percentile(draws, (2.5, 97.5), axis=0)
    labelled, compared = int((truth[rows] >= 0).sum()), int(rated[rows].sum())
    titles = (
        ("7 classes, %", 100, labelled), ("balanced 7, %", 100, labelled),
        ("strong share against rated intensity, Spearman", 1, compared),
    )  # fmt: skip
    print("| figure | value | 95 % interval | n |\n|---|---:|---:|---:|")
    for (title, unit, n), value, least, most in zip(titles, figures_of(rows, *parts), low, high):
        digits = 1 if unit == 100 else 2
        print(f"| {title} | {unit * value:.{digits}f} | {unit * least:.{digits}f} to {unit * most:.{digits}f} | {n} |")
    print("\n| class | n | recall |\n|---|---:|---:|")
    for emotion, name in enumerate(EMOTIONS):
        there = rows[truth[rows] == emotion]
        print(f"| {name} | {len(there)} | {100 * (guess[there] == emotion).mean():.1f} |")


if __name__ == "__main__":
    main()
