"""Weak and strong as people grade them: the border of each emotion, chosen on two sets at once.

`python -m selection.intensity --lectern target/debug/lectern --faces FER2013Valid` prints Markdown. The strength of an
expression is how much more probable strong is than weak, and `--lead` times how much more probable the emotion is than
neutral, in logarithms (`grade` in `crates/vision/src/classifier.rs`). Its rank correlation with the intensity that
people rated (`rated_dev/`) is looked at beside the proxy's strength and 13 classes of FER2013Valid, and with `--framed`
13 classes of the same faces framed by the program, which may not fall below `--least`. The borders go into the
manifest. Held out: five folds of performers choose, the others are looked at; FER2013Valid always chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.data import EMOTIONS
from evaluate.figures import Judged, shares_of, spearman
from evaluate.rated_photographs import LEAST_SHARE, MOST_NEUTRAL, rated_photographs
from selection.prior import Labelled, labelled
from selection.simulate_lectures import FOLDS, NETWORK, softmax

LEAD = 0.5
"""As in `classifier.rs`."""

MIDDLE = 3.5
"""Of the raters' scale from 0 to 7."""

STEPS = (-2.0, -1.0, -0.5, -0.2, -0.1, 0.1, 0.2, 0.5, 1.0, 2.0)


def shipped_borders() -> np.ndarray:
    """Those of the manifest, [6]."""
    return np.array(tomllib.loads((NETWORK.parent / "manifest.toml").read_text())["classifier"]["borders"])


def strengths(logits: np.ndarray, lead: float) -> np.ndarray:
    """The strength [n,6] of each emotion, before the border."""
    weak, strong = logits[:, 1::2], logits[:, 2::2]
    return lead * (np.logaddexp(weak, strong) - logits[:, :1]) + strong - weak


def graded(logits: np.ndarray, lead: float, borders: np.ndarray) -> np.ndarray:
    """Probabilities [n,13] as the product gives them."""
    probabilities = softmax(logits)
    both = probabilities[:, 1::2] + probabilities[:, 2::2]
    share = 1 / (1 + np.exp(borders - strengths(logits, lead)))
    probabilities[:, 1::2], probabilities[:, 2::2] = both * (1 - share), both * share
    return probabilities


@dataclass(frozen=True)
class Rated:
    """Logits [n,13], the emotion of six [n] that raters named most, its intensity [n] and who shows it [n]."""

    logits: np.ndarray
    emotion: np.ndarray
    intensity: np.ndarray
    performer: np.ndarray

    def own(self, lead: float, borders: np.ndarray) -> np.ndarray:
        """Strength above the border of the emotion that the raters named, [n]."""
        return (strengths(self.logits, lead) - borders)[np.arange(len(self.emotion)), self.emotion]

    def share(self, lead: float, borders: np.ndarray) -> np.ndarray:
        """The strong kinds' share of what is not neutral, [n]: the raters' emotion is not needed."""
        probabilities = graded(self.logits, lead, borders)
        return probabilities[:, 2::2].sum(1) / probabilities[:, 1:].sum(1)


@dataclass(frozen=True)
class Chooser:
    faces: Labelled
    framed: Labelled | None
    rated: Rated
    lead: float
    least: tuple[float, float, float]

    def proxy(self, borders: np.ndarray) -> dict[str, float]:
        """The figures of the faces in percent, and 13 classes of the framed ones."""
        shares = self.shares(self.faces, borders)
        return shares | {"framed": self.shares(self.framed, borders)["13 classes"] if self.framed else float("nan")}

    def shares(self, faces: Labelled, borders: np.ndarray) -> dict[str, float]:
        judged = Judged.of(graded(faces.logits, self.lead, borders), faces.label, faces.votes)
        return shares_of(judged)

    def worth(self, borders: np.ndarray, rows: np.ndarray) -> float:
        """Rank correlation of both measures of strength, and how many are on the side of the border where raters see them,
        less what the proxy misses."""
        own, share = self.rated.own(self.lead, borders)[rows], self.rated.share(self.lead, borders)[rows]
        intensity, proxy = self.rated.intensity[rows], self.proxy(borders)
        names = ("strength", "13 classes", "framed") if self.framed else ("strength", "13 classes")
        missing = sum(max(0.0, least - proxy[name]) for name, least in zip(names, self.least))
        side = ((own > 0) == (intensity > MIDDLE)).mean()
        return float(spearman(own, intensity) + spearman(share, intensity) + 0.3 * side - 0.3 * missing)

    def choose(self, rows: np.ndarray) -> np.ndarray:
        """Borders [6], one moved at a time as long as that helps."""
        borders = np.full(6, 1.5)
        best, moved = self.worth(borders, rows), True
        while moved:
            moved = False
            for emotion in range(6):
                for step in STEPS:
                    tried = borders.copy()
                    tried[emotion] += step
                    if (worth := self.worth(tried, rows)) > best + 1e-4:
                        best, borders, moved = worth, tried, True
        return borders


def line(name: str, own: np.ndarray, share: np.ndarray, rated: Rated, proxy: dict[str, float] | None) -> str:
    cells = [f"{spearman(each, rated.intensity):.3f}" for each in (own, share)]
    cells.append(f"{100 * ((own > 0) == (rated.intensity > MIDDLE)).mean():.1f}")
    cells += [f"{proxy[each]:.2f}" if proxy else "" for each in ("strength", "13 classes", "balanced 13", "framed")]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lectern", type=Path, required=True, help="the product")
    parser.add_argument("--faces", type=Path, required=True, help="folder FER2013Valid with its pictures")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder with the labels and rated_dev/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--lead", type=float, default=LEAD)
    parser.add_argument("--framed", type=Path, help="the same faces, framed by the product: also hold their 13 classes")
    parser.add_argument("--least", type=float, nargs=3, default=(77.05, 70.55, 71.85), metavar="PERCENT",
                        help="strength, 13 classes, and those of the framed faces")  # fmt: skip
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    data, plain = Path(options.data), ("--classifier", str(NETWORK))

    faces, framed = (
        labelled(options.lectern, NETWORK, folder, data / "fer2013plus") if folder else None
        for folder in (options.faces, options.framed)
    )
    rows, logits = rated_photographs(
        options.lectern, data,
        lambda row: float(row["neutral_share"]) < MOST_NEUTRAL and float(row["most_share"]) >= LEAST_SHARE, *plain,
    )  # fmt: skip
    rated = Rated(
        logits,
        np.array([EMOTIONS.index(row["most"]) - 1 for row in rows]),
        np.array([float(row["intensity"]) for row in rows]),
        np.array([row["performer"] for row in rows]),
    )
    chooser = Chooser(faces, framed, rated, options.lead, tuple(options.least))
    borders = chooser.choose(np.ones(len(rated.intensity), bool))
    print("borders of " + ", ".join(EMOTIONS[1:]) + ": " + json.dumps(borders.round(2).tolist()) + "\n")
    print(f"| {len(rated.intensity)} rated, {(faces.label >= 0).sum()} labelled faces | rho, emotion known | rho, share of strong "
          "| right side of 3.5, % | strength | 13 classes | balanced 13 | 13 classes, framed |\n" + "|---" * 8 + "|")  # fmt: skip
    zeros = np.zeros(6)
    before = replace(chooser, lead=0.0)
    print(line("strong against weak", rated.own(0, zeros), rated.share(0, zeros), rated, before.proxy(zeros)))
    shipped = shipped_borders()
    print(line("shipped", rated.own(LEAD, shipped), rated.share(LEAD, shipped), rated,
               replace(chooser, lead=LEAD).proxy(shipped)))  # fmt: skip
    print(line("chosen", rated.own(options.lead, borders), rated.share(options.lead, borders), rated, chooser.proxy(borders)))
    own, share = np.empty(len(rated.intensity)), np.empty(len(rated.intensity))
    for fold in range(FOLDS):
        looked_at = np.isin(rated.performer, np.unique(rated.performer)[fold::FOLDS])
        held_out = chooser.choose(~looked_at)
        own[looked_at] = rated.own(options.lead, held_out)[looked_at]
        share[looked_at] = rated.share(options.lead, held_out)[looked_at]
    print(line("held out", own, share, rated, None))


if __name__ == "__main__":
    main()
