"""Judge trained networks: each on held-out candidates, and the cascade on photographs, before and after.

    python -m detector.evaluate candidates KEPT --weights FOLDER           # KEPT/pnet.npz … of the kept-out fold, cut by the old cascade
    python -m detector.evaluate detect --data DATA --fold odd --min-face 40 [--weights FOLDER] > LINES
    python -m detector.evaluate compare BEFORE AFTER --data DATA --fold odd --heights 40,inf
    python -m detector.evaluate landmarks BEFORE AFTER

`detect` writes the lines of `lectern eval detect` with all detections from --floor on and the number of R- and O-Net's passes; `compare` and `landmarks`
read those of either. The program writes low-scored detections too if the manifest of --models has a low last threshold.

`compare` counts as benches/wider.py does. Every interval is a bootstrap over photographs, paired where two cascades are compared. At equal precision means:
in each resample, both cascades' last thresholds are the lowest ones at which their precision is that of the old one at .8, or better.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detector.cascade import THRESHOLDS, logit, search
from detector.dataset import NEGATIVE, POSITIVE, entries, read
from detector.networks import NAMES, head, load_all

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benches"))
from wider import overlap  # noqa: E402

RESAMPLES = 4000
HIT = 0.4


def interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def draws(count: int, seed: int = 13) -> np.ndarray:
    """[RESAMPLES, photographs]: how often each photograph is drawn."""
    random = np.random.default_rng(seed)
    return random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)


# Each network on held-out candidates


@torch.no_grad()
def logits(name: str, network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    parts = [head(name, network, torch.from_numpy(images[at:at + 512]).float()).flatten(1)[:, 0] for at in range(0, len(images), 512)]
    return torch.cat(parts).numpy()


def accuracies(arrays: dict[str, np.ndarray], answers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy at a probability of .5 of several networks, and their resamples [RESAMPLES, networks]."""
    photographs = arrays["photograph"].max() + 1
    tables = []
    for kind, right in ((POSITIVE, lambda x: x >= 0), (NEGATIVE, lambda x: x < 0)):
        rows = arrays["kind"] == kind
        where = arrays["photograph"][rows]
        total = np.bincount(where, minlength=photographs)
        tables.append((total, [np.bincount(where, right(each[rows]), photographs) for each in answers]))
    weights = np.concatenate([np.ones((1, photographs)), draws(photographs)])
    shares = [np.stack([weights @ hits / (weights @ total) for hits in each], 1) for total, each in tables]
    both = (shares[0] + shares[1]) / 2
    return both[0], both[1:]


def report_candidates(options: argparse.Namespace) -> None:
    old, new = load_all(None), load_all(options.weights)
    print("| network | positives | negatives | before, % | after, % | gain, points |\n|---|---:|---:|---:|---:|---:|")
    for name in NAMES:
        if not (options.kept / f"{name}.npz").exists():
            continue
        arrays = dict(np.load(options.kept / f"{name}.npz"))
        judged = np.isin(arrays["kind"], [POSITIVE, NEGATIVE])
        arrays = {key: values[judged] for key, values in arrays.items()}
        once, again = accuracies(arrays, [logits(name, nets[name], arrays["images"]) for nets in (old, new)])
        cells = [f"{100 * once[i]:.1f} ({low:.1f} to {high:.1f})" for i in (0, 1) for low, high in [interval(100 * again[:, i])]]
        low, high = interval(100 * (again[:, 1] - again[:, 0]))
        count = [int((arrays["kind"] == kind).sum()) for kind in (POSITIVE, NEGATIVE)]
        print(f"| {name} | {count[0]} | {count[1]} | {cells[0]} | {cells[1]} | {100 * (once[1] - once[0]):+.1f} ({low:+.1f} to {high:+.1f}) |")


# The cascade on photographs


def detect(options: argparse.Namespace) -> None:
    networks = load_all(options.weights)
    thresholds = (logit(options.thresholds[0]), logit(options.thresholds[1]), logit(options.floor))
    for entry in entries(options.data, options.fold):
        picture, factor = read(options.data, entry)
        found = search(networks, picture, options.min_face, thresholds)
        faces = []
        for (x1, y1, x2, y2), score, points in zip(found.boxes.tolist(), found.scores.tolist(), found.landmarks.tolist()):
            box = {"x": x1 / factor, "y": y1 / factor, "w": (x2 - x1) / factor, "h": (y2 - y1) / factor}
            faces.append(box | {"score": 1 / (1 + math.exp(-score)), "landmarks": [[x / factor, y / factor] for x, y in points]})
        print(json.dumps({"file": str(options.data / "images" / entry["file"]), "passes": found.passes, "faces": faces}), flush=True)


def read_lines(path: Path) -> dict[str, dict]:
    """Detections by the last two parts of the file's path, or the last alone: WIDER's names are unique."""
    return {Path(row["file"]).name: row for row in map(json.loads, path.read_text().splitlines())}


@dataclass
class Counts:
    """Detections of all photographs: where, how sure, and whether a hit; ignored ones are left out. Faces of each photograph."""

    photograph: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    faces: np.ndarray

    def curve(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Recall and precision after each detection, best first, with these weights of the photographs; and the scores."""
        order = np.argsort(-self.score, kind="stable")
        weight, hit = weights[self.photograph[order]], self.hit[order]
        hits, all_of = np.cumsum(weight * hit), np.cumsum(weight)
        return hits / max(weights @ self.faces, 1), hits / np.maximum(all_of, 1e-9), self.score[order]

    def at(self, weights: np.ndarray, threshold: float) -> tuple[float, float]:
        """Recall and precision of those from a score on."""
        chosen = self.score >= threshold
        weight = weights[self.photograph[chosen]]
        hits = weight @ self.hit[chosen]
        return hits / max(weights @ self.faces, 1), hits / max(weight.sum(), 1e-9)

    def at_precision(self, weights: np.ndarray, precision: float) -> tuple[float, float]:
        """The highest recall at this precision or a better one, and the score for it."""
        recall, reached, score = self.curve(weights)
        good = np.flatnonzero(reached >= precision - 1e-12)
        return (recall[good[-1]], score[good[-1]]) if len(good) else (0.0, 1.0)


def count(rows: list[dict], found: dict[str, dict], heights: tuple[float, float]) -> Counts:
    """Judges all detections as benches/wider.py does; whether one counts does not depend on those with lower scores."""
    photograph, score, hit, faces = [], [], [], []
    for index, row in enumerate(rows):
        scale = 640 / max(row["width"], row["height"])
        counts = [not face["invalid"] and heights[0] <= face["h"] * scale < heights[1] for face in row["faces"]]
        free = [face for face, one in zip(row["faces"], counts) if one]
        ignorable = [face for face, one in zip(row["faces"], counts) if not one]
        faces.append(len(free))
        for detection in sorted(found[Path(row["file"]).name]["faces"], key=lambda each: -each["score"]):
            best = max(free, key=lambda face: overlap(detection, face), default=None)
            is_hit = best is not None and overlap(detection, best) >= HIT
            if is_hit:
                free.remove(best)
            elif any(overlap(detection, face) >= HIT for face in ignorable):
                continue
            photograph.append(index)
            score.append(detection["score"])
            hit.append(is_hit)
    return Counts(np.array(photograph, np.int64), np.array(score), np.array(hit, float), np.array(faces))


def compare(options: argparse.Namespace) -> None:
    rows = entries(options.data, options.fold)
    before, after = (count(rows, read_lines(path), options.heights) for path in (options.before, options.after))
    ones = np.ones(len(rows))
    precision = before.at(ones, options.threshold)[1]
    # Both by the same rule: a curve is not monotonic, so one side's best point against the other's fixed one would flatter.
    (old, _), (new, threshold) = (each.at_precision(ones, precision) for each in (before, after))
    samples = []
    for weights in draws(len(rows)):
        once, then = before.at(weights, options.threshold), after.at(weights, options.after_threshold)
        equal = [each.at_precision(weights, once[1])[0] for each in (before, after)]
        samples.append([*once, *equal, *then])
    drawn = np.array(samples)

    def text(value: float, values: np.ndarray, sign: str = "") -> str:
        low, high = interval(100 * values)
        return f"{100 * value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"

    print(f"{len(rows)} photographs, {int(before.faces.sum())} faces from {options.heights[0]:g} to {options.heights[1]:g} px")
    once, then = before.at(ones, options.threshold), after.at(ones, options.after_threshold)
    print(f"before, from {options.threshold}: recall {text(once[0], drawn[:, 0])}, precision {text(once[1], drawn[:, 1])}")
    print(f"at this precision: recall {text(old, drawn[:, 2])} -> {text(new, drawn[:, 3])} from {threshold:.3f}, "
          f"gain {text(new - old, drawn[:, 3] - drawn[:, 2], '+')}")
    print(f"after, from {options.after_threshold}: recall {text(then[0], drawn[:, 4])}, precision {text(then[1], drawn[:, 5])}; "
          f"gain in recall {text(then[0] - once[0], drawn[:, 4] - drawn[:, 0], '+')}, in precision {text(then[1] - once[1], drawn[:, 5] - drawn[:, 1], '+')}")
    passes = [[row.get("passes", [0, 0]) for row in read_lines(path).values()] for path in (options.before, options.after)]
    print("passes of R-Net and O-Net a photograph: " + " -> ".join("{:.1f}, {:.1f}".format(*np.mean(each, 0)) for each in passes))


def landmarks(options: argparse.Namespace) -> None:
    """How far the landmarks of matched faces moved, in pixels of O-Net's input."""
    before, after = read_lines(options.before), read_lines(options.after)
    moved = []
    for name, row in before.items():
        for face in row["faces"]:
            if face["score"] < options.threshold:
                continue
            other = max(after[name]["faces"], key=lambda each: overlap(face, each), default=None)
            if other and overlap(face, other) >= 0.5 and other["score"] >= options.threshold:
                pixel = max(face["w"], face["h"]) / 48
                shift = np.subtract(other["landmarks"], face["landmarks"]) / pixel
                moved.append([np.hypot(*shift.T).mean(), *shift.mean(0)])
    shift = np.array(moved)
    print(f"{len(shift)} faces: mean distance {shift[:, 0].mean():.2f} px of 48, 95 % below {np.percentile(shift[:, 0], 95):.2f}; "
          f"mean shift of the five together {shift[:, 1].mean():+.2f}, {shift[:, 2].mean():+.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("candidates")
    command.add_argument("kept", type=Path)
    command.add_argument("--weights", type=Path, required=True)
    command.set_defaults(act=report_candidates)
    command = commands.add_parser("detect")
    command.add_argument("--weights", type=Path, help="default: facenet-pytorch's")
    command.add_argument("--min-face", type=float, default=40)
    command.add_argument("--floor", type=float, default=0.1, help="the lowest score to write")
    command.add_argument("--thresholds", type=float, nargs=2, default=THRESHOLDS[:2], help="of P-Net and R-Net")
    command.set_defaults(act=detect)
    comparing = commands.add_parser("compare")
    comparing.add_argument("--heights", type=lambda text: tuple(map(float, text.split(","))), default=(40.0, math.inf))
    comparing.add_argument("--after-threshold", type=float, default=0.8)
    comparing.set_defaults(act=compare)
    moving = commands.add_parser("landmarks")
    moving.set_defaults(act=landmarks)
    for each in (comparing, moving):
        each.add_argument("before", type=Path)
        each.add_argument("after", type=Path)
        each.add_argument("--threshold", type=float, default=THRESHOLDS[2])
    for each in (command, comparing):
        each.add_argument("--data", type=Path, required=True)
        each.add_argument("--fold", default="all", choices=["train", "kept", "even", "odd", "all"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.act(options)


if __name__ == "__main__":
    main()
