"""Faces, votes and targets of FER2013 with FERPlus votes, gathered into one cache file.

`python -m dataset.data --data FOLDER --out FOLDER` reads `fer2013plus/` below the data folder and writes
`faces.npz`: every labelled 48x48 gray face as uint8, its ten votes, its hard label of 13 and a soft
target of 13 made from the votes.

The 13 labels are a proxy: weak and strong come from how far ten annotators agreed, not from a
measured intensity.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import tarfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

KINDS = (
    "neutral",
    "surprise_weak", "surprise_strong",
    "fear_weak", "fear_strong",
    "disgust_weak", "disgust_strong",
    "happy_weak", "happy_strong",
    "sad_weak", "sad_strong",
    "angry_weak", "angry_strong",
)  # fmt: skip
"""The network's outputs, in order."""

EMOTIONS = ("neutral", "surprise", "fear", "disgust", "happy", "sad", "angry")
"""The seven classes, in order; kind k belongs to emotion (k + 1) // 2."""

EMOTION_OF_KIND = np.array([(kind + 1) // 2 for kind in range(len(KINDS))])

VOTE_COLUMNS = (
    "neutral", "surprise", "fear", "disgust", "happiness", "sadness", "anger",
    "contempt", "unknown", "NF",
)  # fmt: skip
"""FERPlus's ten vote columns, our seven emotions first and in our order."""

CONTEMPT, UNKNOWN, NOT_A_FACE = 7, 8, 9

STRONG_FROM = np.array([0.75, 0.45, 0.45, 0.95, 0.55, 0.55])
"""Strength from which surprise, fear, disgust, happy, sad and angry count as strong."""

FERPLUS_NAMES = {"happiness": "happy", "sadness": "sad", "anger": "angry"}
FOLDER_OF_USAGE = {"Training": "FER2013Train", "PublicTest": "FER2013Valid"}
DROPPED = -1


class Rows:
    """A dataclass of arrays with one row for each of the same things."""

    def rows(self, chosen: np.ndarray) -> Self:
        """The same for some of them."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class Faces(Rows):
    """One split. n faces: `images` uint8 [n,48,48], `votes` int64 [n,10], `label` int64 [n] among
    the 13 kinds, `soft` float32 [n,13] with rows that sum to 1, `names` of the image files."""

    images: np.ndarray
    votes: np.ndarray
    label: np.ndarray
    soft: np.ndarray
    names: np.ndarray


def kinds_from_votes(votes: np.ndarray) -> np.ndarray:
    """Apply the 13-class recipe to votes [..., 10] and return kinds [...]; -1 where it drops.

    The emotion e of the six has the most votes (the last of them in a tie), at least 3 and more
    than contempt; neutral has 7 votes, or 6 where e has 2 or fewer; dropped where unknown >= 4 or
    NF >= 3. The strength is v_e / all * v_e / (v_e + v_neutral).
    """
    neutral, six = votes[..., 0], votes[..., 1:7]
    best = 5 - six[..., ::-1].argmax(-1)
    most = six.max(-1)
    strength = most / votes.sum(-1).clip(1) * most / (most + neutral).clip(1)
    strong = strength >= STRONG_FROM[best]
    emotional = (most >= 3) & (most > votes[..., CONTEMPT])
    kind = np.where(emotional, 1 + 2 * best + strong, DROPPED)
    kind = np.where((neutral >= 7) | ((neutral >= 6) & (most <= 2)), 0, kind)
    dropped = (votes[..., UNKNOWN] >= 4) | (votes[..., NOT_A_FACE] >= 3)
    return np.where(dropped, DROPPED, kind)


def plurality_of_votes(votes: np.ndarray) -> np.ndarray:
    """The emotion [n] of seven with the most votes; -1 where contempt, unknown or NF has them or
    where two share the first place."""
    first = votes.argmax(-1)
    tied = (votes == votes.max(-1, keepdims=True)).sum(-1) > 1
    return np.where((first < 7) & ~tied, first, DROPPED)


def majority_of_votes(votes: np.ndarray) -> np.ndarray:
    """FERPlus's own protocol (`majority` in its tool): single votes are outliers and are removed;
    the emotion [n] of seven with more than half of the rest; -1 where there is none."""
    kept = np.where(votes > 1, votes, 0)
    first = kept.argmax(-1)
    clear = 2 * kept.max(-1) > kept.sum(-1)
    return np.where((first < 7) & clear, first, DROPPED)


def soft_targets(votes: np.ndarray, label: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """What the recipe would say had ten other annotators looked: float32 [n,13].

    Ten votes are drawn again, `draws` times, from each face's own shares of votes; the target is
    how often the recipe gives each kind. It is soft near the recipe's thresholds and nowhere else.
    A face that the recipe always drops keeps its hard label.
    """
    random = np.random.default_rng(seed)
    target = np.zeros((len(votes), len(KINDS)), np.float32)
    shares = votes / votes.sum(1, keepdims=True)
    for row, share in enumerate(shares):
        kinds = kinds_from_votes(random.multinomial(10, share, size=draws))
        target[row] = np.bincount(kinds[kinds >= 0], minlength=len(KINDS))
    empty = target.sum(1) == 0
    target[empty, label[empty]] = 1
    return target / target.sum(1, keepdims=True)


def read_labels(folder: Path) -> dict[tuple[str, str], int]:
    """Hard label by (usage, file name) from `labels13.csv`, in the project's names."""
    labels = {}
    with open(folder / "labels13.csv", newline="") as file:
        for row in csv.DictReader(file):
            emotion, _, strength = row["label13"].partition("_")
            emotion = FERPLUS_NAMES.get(emotion, emotion)
            kind = f"{emotion}_{strength}" if strength else emotion
            labels[row["usage"], row["name"]] = KINDS.index(kind)
    return labels


def read_votes(folder: Path) -> dict[tuple[str, str], list[int]]:
    """The ten votes by (usage, file name) from `fer2013new.csv`, in the order of VOTE_COLUMNS."""
    with open(folder / "fer2013new.csv", newline="") as file:
        return {
            (row["Usage"], row["Image name"]): [int(row[column]) for column in VOTE_COLUMNS]
            for row in csv.DictReader(file)
        }


def read_images(folder: Path) -> dict[str, np.ndarray]:
    """Every face of `images.tar` by `FOLDER/name.png`, uint8 [48,48]."""
    with tarfile.open(folder / "images.tar") as tar:
        return {
            member.name.removeprefix("./"): np.asarray(
                Image.open(io.BytesIO(tar.extractfile(member).read())).convert("L")
            )
            for member in tar
            if member.isfile() and member.name.endswith(".png")
        }


def prepare(folder: Path, cache: Path, draws: int, seed: int) -> None:
    """Join images, votes and labels by (usage, name) and write the cache."""
    labels, votes, images = read_labels(folder), read_votes(folder), read_images(folder)
    arrays: dict[str, np.ndarray] = {}
    for usage, split in FOLDER_OF_USAGE.items():
        keys = sorted(key for key in labels if key[0] == usage)
        label = np.array([labels[key] for key in keys])
        vote = np.array([votes[key] for key in keys])
        soft = soft_targets(vote, label, draws, seed)
        print(f"{split}: {len(keys)} faces; the recipe agrees with the labels on "
              f"{(kinds_from_votes(vote) == label).mean():.4f}, the soft targets' first on "
              f"{(soft.argmax(1) == label).mean():.4f}; kinds {np.bincount(label).tolist()}")  # fmt: skip
        arrays |= {
            f"{split}/images": np.stack([images[f"{split}/{name}"] for _, name in keys]),
            f"{split}/votes": vote,
            f"{split}/label": label,
            f"{split}/soft": soft,
            f"{split}/names": np.array([name for _, name in keys]),
        }
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **arrays)


def load(cache: Path, split: str) -> Faces:
    """Read one split, `FER2013Train` or `FER2013Valid`, from the cache."""
    with np.load(cache) as arrays:
        return Faces(*(arrays[f"{split}/{name}"] for name in Faces.__dataclass_fields__))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder that holds fer2013plus/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for faces.npz")
    parser.add_argument("--draws", type=int, default=1000, help="draws of ten votes a face")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    prepare(Path(options.data) / "fer2013plus", options.out / "faces.npz", options.draws, options.seed)


if __name__ == "__main__":
    main()
