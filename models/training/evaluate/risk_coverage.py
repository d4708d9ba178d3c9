"""What the answers are worth: which confidence to ask for, and how wrong a minute's counts are.

    lectern eval classify FER2013Valid/*.png > faces.jsonl
    python -m evaluate.risk_coverage faces.jsonl

Prints Markdown. First the risk-coverage table behind `analysis.min_confidence`: for each threshold on the
likeliest kind's probability, the share of faces that are answered and how many of those answers are
right. Then the error of simulated minutes, as counted and as corrected by the confusion matrix.

A simulated minute draws its mixture of kinds, then as many faces as the product analyses in a minute.
Half of the faces give the confusion matrix, the other half the minutes. Real minutes show one person,
whose errors repeat: their error is larger, and nothing here measures it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from dataset.data import DROPPED, EMOTION_OF_KIND, EMOTIONS, KINDS
from evaluate.figures import Judged, confusion, seven
from evaluate.score import judge, read_lines

STEPS = 50
"""Steps of expectation-maximisation; the error no longer falls after about 30."""


def coverage_table(judged: Judged) -> str:
    """Markdown: share answered and share right for each threshold."""
    confidence = judged.probabilities.max(1)
    right13 = judged.probabilities.argmax(1) == judged.label
    right7 = seven(judged.probabilities).argmax(1) == EMOTION_OF_KIND[judged.label]
    lines = ["| min_confidence | answered | 13 right | 7 right | n answered |", "|---:|---:|---:|---:|---:|"]
    for threshold in np.arange(0.0, 0.91, 0.1):
        kept = confidence >= threshold
        shares = (kept.mean(), right13[kept].mean(), right7[kept].mean())
        cells = " | ".join(f"{100 * share:.1f}" for share in shares)
        lines.append(f"| {threshold:.1f} | {cells} | {kept.sum()} |")
    return "\n".join(lines)


def unmix(counts: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The likeliest true shares [13] behind counted answers [13], by expectation-maximisation.

    `answers` [truth, answer] holds how often each true kind gets each answer; rows sum to 1.
    """
    shares = np.full(len(counts), 1 / len(counts))
    for _ in range(STEPS):
        expected = shares @ answers
        shares = shares * (answers @ (counts / expected.clip(1e-12)))
        shares /= shares.sum()
    return shares


def mixture(random: np.random.Generator, natural: np.ndarray) -> np.ndarray:
    """Kinds of one minute: a lecturer is neutral for much of it and shows a few other kinds."""
    shares = random.dirichlet(8 * natural + 0.05) + random.dirichlet(2 * natural + 0.02)
    shares[natural == 0] = 0
    return shares / shares.sum()


def minutes_table(judged: Judged, threshold: float, sightings: int, minutes: int, seed: int) -> str:
    """Markdown: errors of simulated minutes' shares, in points of percent."""
    random = np.random.default_rng(seed)
    sure = judged.rows(judged.probabilities.max(1) >= threshold)
    guess, truth = sure.probabilities.argmax(1), sure.label
    matrix_half = random.random(len(truth)) < 0.5
    matrix = confusion(guess[matrix_half], truth[matrix_half], len(KINDS)) + 0.1
    answers = matrix / matrix.sum(1, keepdims=True)
    pools = [np.flatnonzero(~matrix_half & (truth == kind)) for kind in range(len(KINDS))]
    natural = np.array([len(pool) for pool in pools]) / sum(map(len, pools))
    errors = {"as counted": [], "corrected": []}
    for _ in range(minutes):
        kinds = random.choice(len(KINDS), sightings, p=mixture(random, natural))
        faces = np.array([random.choice(pools[kind]) for kind in kinds])
        real = np.bincount(kinds, minlength=len(KINDS)) / sightings
        counted = np.bincount(guess[faces], minlength=len(KINDS)) / sightings
        errors["as counted"].append(counted - real)
        errors["corrected"].append(unmix(counted, answers) - real)
    lines = ["| mean absolute error, points | as counted | corrected |", "|---|---:|---:|"]
    columns = [np.array(error) * 100 for error in errors.values()]
    sums7 = [np.stack([each[:, EMOTION_OF_KIND == e].sum(1) for e in range(7)], 1) for each in columns]
    rows = [("wrongly counted, of 13", *(np.abs(each).sum(1).mean() / 2 for each in columns))]
    rows += [("wrongly counted, of 7", *(np.abs(each).sum(1).mean() / 2 for each in sums7))]
    rows += [(name, *(np.abs(each[:, k]).mean() for each in columns)) for k, name in enumerate(KINDS)]
    rows += [(f"{name}, both", *(np.abs(each[:, e]).mean() for each in sums7))
             for e, name in enumerate(EMOTIONS) if e > 0]  # fmt: skip
    return "\n".join(lines + [f"| {name} | {raw:.1f} | {fixed:.1f} |" for name, raw, fixed in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lines", type=argparse.FileType(), help="JSON lines of `lectern eval classify`, - for stdin")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder that holds fer2013plus/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--min-confidence", type=float, default=0.4, help="as in the product's configuration")
    parser.add_argument("--sightings", type=int, default=120, help="faces in a minute")
    parser.add_argument("--minutes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    judged = judge(read_lines(options.lines), Path(options.data) / "fer2013plus")
    judged = judged.rows(judged.label != DROPPED)
    print(coverage_table(judged), end="\n\n")
    print(f"{options.minutes} minutes of {options.sightings} faces at min_confidence {options.min_confidence}:\n")
    print(minutes_table(judged, options.min_confidence, options.sightings, options.minutes, options.seed))


if __name__ == "__main__":
    main()
