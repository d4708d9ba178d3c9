"""Photographs with labelled faces, their augmentation, and the candidates that the cascade itself cuts from them.

    python -m detector.dataset NET --data "$LECTERN_DATA/wider_train" --out FILE [--weights FOLDER] [--versions 3] [--fold kept]

writes the candidates of one network as NumPy arrays. P-Net's are cells of its own pyramid, R-Net's are what P-Net proposes, O-Net's what R-Net
passes, all at low thresholds, so that the highest scored mistakes are among them; every face is also cut with random shifts, because a face that an
earlier stage misses has no candidate. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from detector.cascade import Boxes, as_planes, cells, cut, judge, logit, propose, pyramid
from detector.networks import NAMES, SIDES, head, load_all

POSITIVE, PART, NEGATIVE, DROPPED = 1, 2, 0, -1
POSITIVE_FROM, PART_FROM, NEGATIVE_BELOW = 0.65, 0.4, 0.3
"""The original's bounds of IoU."""

SMALLEST = 18
"""Faces with a shorter longer side, in pixels of the picture that is searched, are neither faces nor background."""

MIN_FACE = 20
"""The smallest face that the pyramid of a training picture searches for."""

FOLDS = 5
"""Each fifth photograph of wider_train is kept out of training."""

LOW = {"pnet": 0.2, "rnet": 0.2, "onet": 0.1}
"""Probabilities from which a stage hands its candidates on while candidates are cut. O-Net's is for mistakes of the last stage."""

SHIFTED = 3
"""How many shifted squares of each face are added."""


@dataclass
class Photograph:
    """A picture [h, w, 3] and its faces as [n, 4] sides; ignored ones [m, 4] are neither faces nor background."""

    picture: np.ndarray
    faces: np.ndarray
    ignored: np.ndarray


def entries(data: Path, fold: str) -> list[dict]:
    """The photographs of a fold: `train`, `kept` (out of training), `even` and `odd` (by index), or `all`."""
    rows = json.loads((data / "boxes.json").read_text())
    keep = {
        "train": lambda i: i % FOLDS != 0, "kept": lambda i: i % FOLDS == 0,
        "even": lambda i: i % 2 == 0, "odd": lambda i: i % 2 == 1, "all": lambda i: True,
    }[fold]  # fmt: skip
    return [row for index, row in enumerate(rows) if keep(index)]


def read(data: Path, entry: dict, side: int = 640) -> tuple[np.ndarray, float]:
    """The picture with its longer side as `lectern eval detect` scales it, and the factor."""
    image = Image.open(data / "images" / entry["file"]).convert("RGB")
    factor = side / max(image.size)
    if factor != 1:
        image = image.resize(tuple(max(1, round(length * factor)) for length in image.size), Image.Resampling.BILINEAR)
    return np.asarray(image), factor


def photograph(data: Path, entry: dict) -> Photograph:
    picture, factor = read(data, entry)
    sides = np.array([[face["x"], face["y"], face["x"] + face["w"], face["y"] + face["h"]] for face in entry["faces"]], np.float32)
    sides = sides.reshape(-1, 4) * factor
    invalid = np.array([bool(face["invalid"]) for face in entry["faces"]], bool)
    return sorted_out(picture, sides, invalid)


def sorted_out(picture: np.ndarray, sides: np.ndarray, invalid: np.ndarray) -> Photograph:
    """Faces that are marked invalid or too small are ignored."""
    ignored = invalid | (np.maximum(sides[:, 2] - sides[:, 0], sides[:, 3] - sides[:, 1]) < SMALLEST)
    return Photograph(picture, sides[~ignored], sides[ignored])


def augmented(photo: Photograph, random: np.random.Generator) -> Photograph:
    """The photograph in another size, light, blur, noise and compression, possibly mirrored."""
    image = Image.fromarray(photo.picture)
    sides, ignored = photo.faces.copy(), photo.ignored.copy()
    factor = float(np.exp(random.uniform(np.log(0.45), np.log(1.15))))
    size = tuple(max(24, round(length * factor)) for length in image.size)
    image = image.resize(size, Image.Resampling.BILINEAR)
    for boxes in (sides, ignored):
        boxes *= np.tile(np.divide(size, (photo.picture.shape[1], photo.picture.shape[0])), 2).astype(np.float32)
    if random.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.2)))
    pixels = np.asarray(image).astype(np.float32) / 255
    pixels = pixels ** np.exp(random.normal(0, 0.3))
    pixels = (pixels - 0.5) * np.exp(random.normal(0, 0.2)) + 0.5 + random.normal(0, 0.08)
    pixels = pixels * np.exp(random.normal(0, 0.06, 3)).astype(np.float32)
    if random.random() < 0.1:
        pixels = pixels.mean(2, keepdims=True).repeat(3, 2)
    if random.random() < 0.5:
        pixels = pixels + random.normal(0, random.uniform(0.005, 0.05), pixels.shape)
    pixels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
        for boxes in (sides, ignored):
            boxes[:, [0, 2]] = size[0] - boxes[:, [2, 0]]
    if random.random() < 0.6:
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG", quality=int(random.integers(25, 90)))
        pixels = np.asarray(Image.open(packed).convert("RGB"))
    invalid = np.repeat([False, True], [len(sides), len(ignored)])
    return sorted_out(np.ascontiguousarray(pixels), np.concatenate([sides, ignored]), invalid)


def shared(boxes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[boxes, faces]: the area that both cover."""
    corner = np.maximum(boxes[:, None, :2], faces[None, :, :2])
    size = np.minimum(boxes[:, None, 2:], faces[None, :, 2:]) - corner
    return size.clip(0).prod(2)


def area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)


def overlaps(boxes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[boxes, faces]: intersection over union."""
    both = shared(boxes, faces)
    return both / (area(boxes)[:, None] + area(faces)[None] - both).clip(1e-9)


def enclosing_squares(faces: np.ndarray) -> np.ndarray:
    """The square of each face's longer side around its middle."""
    middle, side = (faces[:, :2] + faces[:, 2:]) / 2, (faces[:, 2:] - faces[:, :2]).max(1, keepdims=True)
    return np.concatenate([middle - side / 2, middle + side / 2], 1)


def label(boxes: np.ndarray, photo: Photograph, by_square: bool) -> tuple[np.ndarray, np.ndarray]:
    """What each box is, and which face it belongs to.

    The cascade's boxes are squares, and labelled faces are a third higher than wide: no square covers one of .6 by more than an IoU of .6, so with
    the plain IoU narrow faces, profiles above all, are never positive. `by_square` compares with the face's enclosing square instead, where the plain
    IoU is lower.
    """
    kind = np.full(len(boxes), NEGATIVE)
    face = np.zeros(len(boxes), np.int64)
    if len(photo.faces):
        plain = overlaps(boxes, photo.faces)
        best = np.maximum(plain, overlaps(boxes, enclosing_squares(photo.faces))) if by_square else plain
        face = best.argmax(1)
        rows = np.arange(len(boxes))
        best, plain = best[rows, face], plain.max(1)
        kind[plain >= NEGATIVE_BELOW] = DROPPED
        kind[best >= PART_FROM] = PART
        kind[best >= POSITIVE_FROM] = POSITIVE
        # Between both bounds it is neither a part nor background.
        kind[(kind == NEGATIVE) & (best >= NEGATIVE_BELOW)] = DROPPED
    if len(photo.ignored):
        both = shared(boxes, photo.ignored) / np.minimum(area(boxes)[:, None], area(photo.ignored)[None]).clip(1e-9)
        # A small ignored face within a large box does not make the box a face.
        comparable = area(photo.ignored)[None] >= 0.1 * area(boxes)[:, None]
        kind[(kind != POSITIVE) & (kind != PART) & ((both > 0.3) & comparable).any(1)] = DROPPED
    return kind, face


def offsets(boxes: np.ndarray, faces: np.ndarray, one: float) -> np.ndarray:
    """What regression must answer to turn each box into its face. `one` as in `Boxes.squares`."""
    size = boxes[:, 2:] - boxes[:, :2] + one
    return (faces - boxes) / np.concatenate([size, size], 1)


def shifted(faces: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Squares near each face."""
    squares = np.repeat(enclosing_squares(faces), count, 0)
    middle, side = (squares[:, :2] + squares[:, 2:]) / 2, squares[:, 2:] - squares[:, :2]
    middle = middle + side * random.normal(0, 0.08, middle.shape)
    side = side * np.exp(random.normal(-0.05, 0.13, (len(side), 1)))
    return np.concatenate([middle - side / 2, middle + side / 2], 1).astype(np.float32)


class Collected:
    """Candidates of a network, as they are added photograph by photograph."""

    def __init__(self) -> None:
        self.parts: dict[str, list[np.ndarray]] = {name: [] for name in ("images", "kind", "offsets", "photograph", "score")}

    def add(self, images: Tensor, kind: np.ndarray, wanted: np.ndarray, photograph: int, score: np.ndarray) -> None:
        rows = {
            "images": images.round().clamp(0, 255).to(torch.uint8).numpy(), "kind": kind.astype(np.int8), "offsets": wanted.astype(np.float32),
            "photograph": np.full(len(kind), photograph, np.int32), "score": score.astype(np.float32),
        }  # fmt: skip
        for name, values in rows.items():
            self.parts[name].append(values)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(values) for name, values in self.parts.items()}

    def write(self, path: Path, done: int) -> None:
        """All candidates and the number of photographs that they come from, in place of what the file held."""
        new = path.with_name(f"{path.name}.new.npz")
        np.savez(new, done=done, **self.arrays())
        new.replace(path)

    def resume(self, path: Path) -> int:
        """Take what `write` has written; the number of photographs, 0 without a file."""
        if not path.exists():
            return 0
        arrays = dict(np.load(path))
        done = int(arrays.pop("done"))
        self.parts = {name: [values] for name, values in arrays.items()}
        return done


def chosen(kind: np.ndarray, face: np.ndarray, score: np.ndarray, each: tuple[int, int], hard: int, easy: int, random: np.random.Generator) -> np.ndarray:
    """Rows to keep: so many positives and parts of each face at random, the highest scored negatives and some others."""
    rows = []
    for wanted, most in zip((POSITIVE, PART), each):
        for one in np.unique(face[kind == wanted]):
            those = np.flatnonzero((kind == wanted) & (face == one))
            rows.append(random.permutation(those)[:most])
    negatives = np.flatnonzero(kind == NEGATIVE)
    negatives = negatives[np.argsort(-score[negatives], kind="stable")]
    rows += [negatives[:hard], random.permutation(negatives[hard:])[:easy]]
    return np.concatenate(rows)


def cut_cells(network: nn.Module, photo: Photograph, by_square: bool, random: np.random.Generator) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """P-Net's candidates: the pixels behind cells of its pyramid."""
    levels = pyramid(as_planes(photo.picture), MIN_FACE)
    sides = (photo.faces[:, 2:] - photo.faces[:, :2]).max(1, initial=0)
    boxes, scores, places = [], [], []
    for number, (scale, level) in enumerate(levels):
        answers = head("pnet", network, level)[0, 0].numpy()
        # The last cell may look at pixels behind the border, which pooling fills.
        answers = answers[:(level.shape[2] - 12) // 2 + 1, :(level.shape[3] - 12) // 2 + 1]
        rows, columns = np.divmod(np.arange(answers.size), answers.shape[1])
        # Labels are computed for few cells, because a picture has 100,000: those near a face of a fitting size, the highest scored and some others.
        wanted = np.zeros(answers.size, bool)
        wanted[np.argpartition(-answers.ravel(), min(60, answers.size - 1))[:60]] = True
        wanted[random.integers(answers.size, size=30)] = True
        for face in photo.faces[(sides * scale > 7) & (sides * scale < 20)]:
            middle = (face[:2] + face[2:]) / 2 * scale
            wanted |= (np.abs(2 * columns + 6.5 - middle[0]) < 8) & (np.abs(2 * rows + 6.5 - middle[1]) < 8)
        at = np.flatnonzero(wanted)
        boxes.append(cells(scale, torch.from_numpy(rows[at]), torch.from_numpy(columns[at])).numpy())
        scores.append(answers.ravel()[at])
        places.append(np.stack([np.full(len(at), number), rows[at], columns[at]], 1))
    box, score, place = np.concatenate(boxes), np.concatenate(scores), np.concatenate(places)
    kind, face = label(box, photo, by_square)
    kept = chosen(kind, face, score, (6, 3), 30, 10, random)
    images = [levels[n][1][0, :, 2 * r:2 * r + 12, 2 * c:2 * c + 12] for n, r, c in place[kept].tolist()]
    target = offsets(box[kept], photo.faces[face[kept]], 0) if len(photo.faces) else np.zeros((len(kept), 4))
    return torch.stack(images), kind[kept], target, score[kept]


def cut_squares(
    name: str, networks: dict[str, nn.Module], photo: Photograph, by_square: bool, random: np.random.Generator
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """R-Net's or O-Net's candidates: what the stages before propose, and shifted faces."""
    planes = as_planes(photo.picture)
    found = propose(networks["pnet"], planes, MIN_FACE, logit(LOW["pnet"])).suppressed(0.7, 2 * 128)
    squares = found.squares(0)
    if name == "onet":
        found = judge("rnet", networks["rnet"], planes, squares, logit(LOW["rnet"])).suppressed(0.7, 2 * 32)
        squares = found.squares(1)
    near = torch.from_numpy(shifted(photo.faces, SHIFTED, random)).reshape(-1, 4)
    score = torch.cat([found.heads[:, 0], torch.full((len(near),), -9.0)])
    found = Boxes(torch.cat([squares, near]), score[:, None])
    kind, face = label(found.boxes.numpy(), photo, by_square)
    kept = chosen(kind, face, found.heads[:, 0].numpy(), (4, 2), 30 if name == "onet" else 40, 10, random)
    found = found.take(torch.from_numpy(kept))
    images, inside = cut(planes, found.boxes, SIDES[name])
    kept, found = kept[inside], found.take(inside)
    wanted = offsets(found.boxes.numpy(), photo.faces[face[kept]], 1) if len(photo.faces) else np.zeros((len(kept), 4))
    return images, kind[kept], wanted, found.heads[:, 0].numpy()


@torch.no_grad()
def collect(
    name: str, networks: dict[str, nn.Module], data: Path, fold: str, versions: int, by_square: bool, seed: int, state: Path, every: int = 50
) -> dict[str, np.ndarray]:
    """The candidates of a network from a fold; the first version of each photograph is the photograph itself.

    The state is written after so many photographs, and a run that was stopped goes on from it.
    """
    result = Collected()
    begun = result.resume(state)
    for index, entry in enumerate(entries(data, fold)):
        if index < begun:
            continue
        if index > begun and index % every == 0:
            result.write(state, index)
            print(f"{name}: {index} photographs", flush=True)
        plain = photograph(data, entry)
        for version in range(versions):
            random = np.random.default_rng([seed, index, version])
            photo = plain if version == 0 else augmented(plain, random)
            if name == "pnet":
                images, kind, wanted, score = cut_cells(networks["pnet"], photo, by_square, random)
            else:
                images, kind, wanted, score = cut_squares(name, networks, photo, by_square, random)
            result.add(images, kind, wanted, index, score)
    return result.arrays()


def summary(arrays: dict[str, np.ndarray]) -> str:
    counts = {name: int((arrays["kind"] == kind).sum()) for name, kind in (("positive", POSITIVE), ("part", PART), ("negative", NEGATIVE))}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NAMES)
    parser.add_argument("--data", type=Path, required=True, help="folder with boxes.json and images/")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write; may not be committed, for it holds photographs")
    parser.add_argument("--weights", type=Path, help="folder of trained networks; those that it lacks are facenet-pytorch's")
    parser.add_argument("--fold", default="train", choices=["train", "kept", "even", "odd", "all"])
    parser.add_argument("--versions", type=int, default=3, help="the photograph itself and so many less one augmented [default: 3]")
    parser.add_argument("--by-square", action="store_true", help="compare boxes with the enclosing squares of faces")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = load_all(options.weights)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    state = options.out.with_name(f"{options.out.name}.part")
    arrays = collect(options.network, networks, options.data, options.fold, options.versions, options.by_square, options.seed, state)
    new = options.out.with_name(f"{options.out.name}.new.npz")
    np.savez(new, **arrays)
    new.replace(options.out)
    state.unlink(missing_ok=True)
    print(f"{options.network}: {summary(arrays)}")


if __name__ == "__main__":
    main()
