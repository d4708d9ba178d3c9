"""Judge what the product itself says: the official figures of the shipped file.

    lectern eval classify FER2013Valid/*.png > faces.jsonl
    python -m evaluate.score faces.jsonl

Each line is {"file": "…/FER2013Valid/fer0028638.png", "probabilities": {"neutral": 0.93, …}}. Labels and
votes come from `fer2013plus/` below the data folder, joined by the file's folder and name. Prints
Markdown: each figure with its n and bootstrap interval, tables of classes, confusion matrices.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TextIO

import numpy as np

from dataset.data import DROPPED, FOLDER_OF_USAGE, KINDS, read_labels, read_votes
from evaluate.figures import Judged, report, shares_of

USAGE_OF_FOLDER = {folder: usage for usage, folder in FOLDER_OF_USAGE.items()}


def read_lines(file: TextIO) -> dict[tuple[str, str], list[float]]:
    """Probabilities in the order of KINDS by (usage, file name)."""
    answers = {}
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        answer = json.loads(line)
        path = Path(answer["file"])
        if path.parent.name not in USAGE_OF_FOLDER:
            raise SystemExit(f"line {number}: {path} is in none of {', '.join(USAGE_OF_FOLDER)}")
        row = [float(answer["probabilities"][kind]) for kind in KINDS]
        if abs(sum(row) - 1) > 0.01:
            raise SystemExit(f"line {number}: the probabilities of {path} sum to {sum(row):.3f}, not to 1")
        answers[USAGE_OF_FOLDER[path.parent.name], path.name] = row
    return answers


def judge(answers: dict[tuple[str, str], list[float]], folder: Path) -> Judged:
    """Join answers with labels and votes; faces that are left out of the 13 count for the majority only."""
    labels, votes = read_labels(folder), read_votes(folder)
    usages = {usage for usage, _ in answers}
    missing = sum(usage in usages and (usage, name) not in answers for usage, name in labels)
    if missing:
        print(f"**{missing} labelled faces have no answer and are not counted.**\n")
    keys = [key for key in answers if key in votes]
    return Judged.of(
        np.array([answers[key] for key in keys]),
        np.array([labels.get(key, DROPPED) for key in keys]),
        np.array([votes[key] for key in keys]),
    )


def floor(text: str) -> tuple[str, float]:
    """`FIGURE=PERCENT`."""
    name, _, least = text.rpartition("=")
    return name, float(least)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lines", type=argparse.FileType(), help="JSON lines of `lectern eval classify`, - for stdin")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder that holds fer2013plus/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--floor", type=floor, action="append", default=[], metavar="FIGURE=PERCENT",
                        help='fail below this, for example "7 classes=80"')  # fmt: skip
    parser.add_argument("--pictures", type=Path, help="folder for the confusion matrices as PNG; needs matplotlib")
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    judged = judge(read_lines(options.lines), Path(options.data) / "fer2013plus")
    print(report(judged, options.draws, options.seed))
    if options.pictures:
        from evaluate.pictures import draw_both  # Only here, so that figures alone need numpy and Pillow only.

        labelled = judged.rows(judged.label != DROPPED)
        draw_both(labelled.probabilities, labelled.label, options.pictures, "confusion")
    shares = shares_of(judged)
    below = [f"{name} is {shares[name]:.2f} %, below {least} %" for name, least in options.floor if shares[name] < least]
    if below:
        raise SystemExit("; ".join(below))


if __name__ == "__main__":
    main()
