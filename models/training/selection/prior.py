"""How much more or less of each emotion a finished network should find, chosen on several sets at once; see
export/shift_logits.py.

`python -m selection.prior --lectern target/debug/lectern --faces FER2013Valid --framed FRAMED/FER2013Valid` moves one
emotion's logits at a time as long as the mean of 7 classes and balanced 7 over FER2013Valid, the same faces framed by
the product (`dataset/frames.py --pictures`) and the performers of `rated_dev/` rises, and no figure of `LEAST` falls
below its bar. Prints Markdown; the moves add to what the file holds. Held out: five folds of performers choose, the
others are looked at.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.data import DROPPED, EMOTION_OF_KIND, EMOTIONS, read_labels, read_votes
from evaluate.figures import Judged, recall, seven, shares_of
from evaluate.rated_photographs import logits_of
from selection.simulate_lectures import FOLDS, NETWORK, Photographs, photographs_of, softmax

LEAST = {"7 classes": 83.5, "balanced 7": 75.0, "13 classes": 70.5, "majority 7": 87.0, "strength": 76.9}
"""Of FER2013Valid, percent."""

FRAMED_LEAST = {"7 classes": 84.2, "13 classes": 71.9}
"""Of the same framed by the product: what they were before."""

STEPS = (0.4, 0.2, 0.1)


@dataclass(frozen=True)
class Labelled:
    """Logits [n,13] with the proxy's label and FERPlus's votes."""

    logits: np.ndarray
    label: np.ndarray
    votes: np.ndarray

    def shares(self, move: np.ndarray) -> dict[str, float]:
        judged = Judged.of(softmax(self.logits + move[EMOTION_OF_KIND]), self.label, self.votes)
        return shares_of(judged)


@dataclass(frozen=True)
class Sets:
    faces: Labelled
    framed: Labelled
    photographs: Photographs

    def rated(self, move: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
        """7 classes and balanced 7 of these performers' photographs."""
        guess = seven(softmax(self.photographs.logits[rows] + move[EMOTION_OF_KIND])).argmax(1)
        truth = self.photographs.emotion[rows]
        return 100 * (guess == truth).mean(), 100 * np.nanmean(recall(guess, truth, len(EMOTIONS)))

    def worth(self, move: np.ndarray, rows: np.ndarray) -> float:
        faces, framed = self.faces.shares(move), self.framed.shares(move)
        missing = 5 * sum(max(0.0, least - faces[name]) for name, least in LEAST.items())
        missing += sum(max(0.0, least - framed[name]) for name, least in FRAMED_LEAST.items())
        six = [shares[name] for shares in (faces, framed) for name in ("7 classes", "balanced 7")]
        return float(np.mean([*six, *self.rated(move, rows)])) - missing

    def choose(self, rows: np.ndarray) -> np.ndarray:
        move = np.zeros(len(EMOTIONS))
        best = self.worth(move, rows)
        for size in STEPS:
            moved = True
            while moved:
                moved = False
                for emotion in range(len(EMOTIONS)):
                    for step in (-size, size):
                        tried = move + step * (np.arange(len(EMOTIONS)) == emotion)
                        if (worth := self.worth(tried, rows)) > best + 1e-9:
                            best, move, moved = worth, tried, True
        return move


def labelled(lectern: Path, network: Path, folder: Path, data: Path) -> Labelled:
    labels, votes = read_labels(data), read_votes(data)
    files = [path for path in sorted(folder.glob("*.png")) if ("PublicTest", path.name) in votes]
    return Labelled(
        logits_of(lectern, files, "--classifier", str(network)),
        np.array([labels.get(("PublicTest", path.name), DROPPED) for path in files]),
        np.array([votes["PublicTest", path.name] for path in files]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lectern", type=Path, required=True, help="the product")
    parser.add_argument("--faces", type=Path, required=True, help="folder FER2013Valid with its pictures")
    parser.add_argument("--framed", type=Path, required=True, help="the same, framed by the product")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder with the labels and rated_dev/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--network", type=Path, default=NETWORK, help="the ONNX file to look at")
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    data = Path(options.data)
    photographs = photographs_of(options.lectern, data, options.network)
    sets = Sets(
        labelled(options.lectern, options.network, options.faces, data / "fer2013plus"),
        labelled(options.lectern, options.network, options.framed, data / "fer2013plus"),
        photographs,
    )
    emotion, performer = photographs.emotion, photographs.performer
    everybody = np.ones(len(emotion), bool)
    chosen = sets.choose(everybody)
    print("moves of " + ", ".join(EMOTIONS) + ": " + json.dumps(chosen.round(2).tolist()) + "\n")
    names = ("7 classes", "balanced 7", "13 classes", "balanced 13", "majority 7")
    print("| | set | " + " | ".join(names) + " |\n|---|---|" + "---:|" * len(names))
    for title, move in (("as it is", np.zeros(len(EMOTIONS))), ("moved", chosen)):
        for name, part in (("FER2013Valid", sets.faces), ("framed by the program", sets.framed)):
            shares = part.shares(move)
            print(f"| {title} | {name} | " + " | ".join(f"{shares[each]:.2f}" for each in names) + " |")
        print(f"| {title} | rated_dev | " + " | ".join(f"{each:.2f}" for each in sets.rated(move, everybody)) + " | | | |")
    guess = np.empty_like(emotion)
    for fold in range(FOLDS):
        looked_at = np.isin(performer, np.unique(performer)[fold::FOLDS])
        move = sets.choose(~looked_at)
        guess[looked_at] = seven(softmax(photographs.logits[looked_at] + move[EMOTION_OF_KIND])).argmax(1)
    balanced = np.nanmean(recall(guess, emotion, len(EMOTIONS)))
    print(f"| held out | rated_dev | {100 * (guess == emotion).mean():.2f} | {100 * balanced:.2f} | | | |")


if __name__ == "__main__":
    main()
