"""Count what the product calls each kind: `models/confusion13.csv`, from which `lectern report` tells what known errors
could make.

    lectern eval classify FER2013Valid/*.png > faces.jsonl
    python -m evaluate.confusion faces.jsonl > models/confusion13.csv

A row is a kind as labelled, a column what it was called; a face whose best probability is below 0.4, the product's
default, is `uncertain`. The first line names the classifier that the manifest names, and n.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tomllib
from pathlib import Path

import numpy as np

from dataset.data import KINDS, read_labels
from evaluate.score import read_lines

MIN_CONFIDENCE = 0.4


def confusion(answers: dict[tuple[str, str], list[float]], labels: dict[tuple[str, str], int]) -> np.ndarray:
    """How often each labelled kind got each name, [13,14]; the last column is `uncertain`."""
    counts = np.zeros((len(KINDS), len(KINDS) + 1), int)
    for key, probabilities in answers.items():
        if key in labels:
            best = int(np.argmax(probabilities))
            counts[labels[key], best if probabilities[best] >= MIN_CONFIDENCE else len(KINDS)] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lines", type=argparse.FileType(), help="JSON lines of `lectern eval classify`, - for stdin")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder that holds fer2013plus/ (default: $LECTERN_DATA)")  # fmt: skip
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    manifest = tomllib.loads((Path(__file__).resolve().parents[2] / "manifest.toml").read_text())
    counts = confusion(read_lines(options.lines), read_labels(Path(options.data) / "fer2013plus"))
    print(f"# classifier={manifest['classifier']['network']['sha256']} n={counts.sum()} faces=FER2013Valid by=confusion.py")
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["labelled", *KINDS, "uncertain"])
    for kind, row in zip(KINDS, counts, strict=True):
        table.writerow([kind, *row])


if __name__ == "__main__":
    main()
