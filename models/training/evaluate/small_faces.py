"""What the product says of faces that are few pixels large: found and framed by it, by the size of the box that it finds.

`python -m evaluate.small_faces --lectern target/debug/lectern --faces FER2013Valid` shrinks the pictures by averaging,
puts fifteen a canvas of 640x480 (their borders go on), asks `lectern eval detect`, frames what it finds as the product
does and asks `lectern eval classify`. `--rated` takes the photographs of `rated_dev/` below the data folder instead.
Prints Markdown by size of the picture: the median longer side of the boxes, how many faces are found, how many of these
are right among 7, and how many of those that reach `--confidence`. The last line is how large the classifier's crop is
against the box.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.data import DROPPED, EMOTION_OF_KIND, EMOTIONS, KINDS, read_labels
from dataset.frames import crop, similarity, template
from evaluate.figures import seven
from evaluate.rated_photographs import ask
from train.model import SIDE

WIDTH, HEIGHT, CELL = 640, 480, 128
COLUMNS, ROWS = WIDTH // CELL, HEIGHT // CELL


def labelled_faces(folder: Path, data: Path) -> tuple[list[Path], np.ndarray]:
    """Pictures of FER2013Valid with their emotion."""
    labels = read_labels(data / "fer2013plus")
    files = sorted(folder.glob("*.png"))
    known = [labels.get(("PublicTest", path.name), DROPPED) for path in files]
    kept = [(path, EMOTION_OF_KIND[kind]) for path, kind in zip(files, known) if kind != DROPPED]
    return [path for path, _ in kept], np.array([emotion for _, emotion in kept])


def rated_faces(data: Path) -> tuple[list[Path], np.ndarray]:
    """Photographs of performers with the emotion that most raters saw."""
    folder = data / "rated_dev"
    with open(folder / "ratings.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"]]
    return [folder / row["file"] for row in rows], np.array([EMOTIONS.index(row["label"]) for row in rows])


def on_canvases(files: list[Path], side: int) -> np.ndarray:
    """The pictures with `side` pixels each, fifteen a canvas, each in the middle of its cell."""
    canvases = np.zeros((-(-len(files) // (COLUMNS * ROWS)), HEIGHT, WIDTH), np.uint8)
    before = (CELL - side) // 2
    for number, path in enumerate(files):
        small = np.asarray(Image.open(path).convert("L").resize((side, side), Image.Resampling.BOX))
        cell = np.pad(small, ((before, CELL - side - before),) * 2, mode="edge")
        canvas, place = divmod(number, COLUMNS * ROWS)
        y, x = (CELL * part for part in divmod(place, COLUMNS))
        canvases[canvas, y : y + CELL, x : x + CELL] = cell
    return canvases


def framed(lectern: Path, files: list[Path], side: int, out: Path) -> list[tuple[int, Path, float, float]]:
    """For each face found in its cell: its number, the crop as a file, the box's longer side, the crop's side."""
    canvases = on_canvases(files, side)
    paths = [out / f"canvas{number:04}.png" for number in range(len(canvases))]
    for path, canvas in zip(paths, canvases):
        Image.fromarray(canvas).save(path)
    found = []
    for number, answer in enumerate(ask(lectern, "detect", paths, "--min-face", "12")):
        for place in range(COLUMNS * ROWS):
            y, x = (CELL * part + CELL / 2 for part in divmod(place, COLUMNS))
            near = [face for face in answer["faces"] if abs(face["x"] + face["w"] / 2 - x) < side / 4
                    and abs(face["y"] + face["h"] / 2 - y) < side / 4]  # fmt: skip
            if not near:
                continue
            points = np.array(near[0]["landmarks"])
            # In pixels, because the units of `crop` differ between the axes.
            matrix = similarity(template(), points)
            crop_side = 2 * float(np.hypot(matrix[0, 0], matrix[1, 0]))
            scaled = (matrix - [[0, 0, WIDTH / 2], [0, 0, HEIGHT / 2]]) / [[WIDTH / 2], [HEIGHT / 2]]
            path = out / f"face{number * COLUMNS * ROWS + place:05}.png"
            Image.fromarray(crop(canvases[number][None], scaled[None], SIDE)[0]).save(path)
            found.append((number * COLUMNS * ROWS + place, path, max(near[0]["w"], near[0]["h"]), crop_side))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lectern", type=Path, required=True, help="the product")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder with the labels (default: $LECTERN_DATA)")  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--faces", type=Path, help="folder FER2013Valid with its pictures")
    what.add_argument("--rated", action="store_true", help="the photographs of rated_dev/")
    parser.add_argument("--sides", type=int, nargs="+", required=True, help="pixels of a whole picture")
    parser.add_argument("--confidence", type=float, default=0.4)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    files, truth = rated_faces(options.data) if options.rated else labelled_faces(options.faces, options.data)
    print("| picture, px | face, px | found, % | right among 7, % | reach the confidence, % | of these right, % |")
    print("|---:|---:|---:|---:|---:|---:|")
    ratios = []
    for side in options.sides:
        with tempfile.TemporaryDirectory() as folder:
            found = framed(options.lectern, files, side, Path(folder))
            answers = ask(options.lectern, "classify", [path for _, path, _, _ in found])
        probabilities = np.array([[answer["probabilities"][kind] for kind in KINDS] for answer in answers])
        right = seven(probabilities).argmax(1) == truth[[number for number, *_ in found]]
        sure = probabilities.max(1) >= options.confidence
        shares = [len(found) / len(files), right.mean(), sure.mean(), right[sure].mean()]
        sizes, crops = (np.array(column) for column in list(zip(*found))[2:])
        ratios += list(crops / sizes)
        cells = [side, f"{np.median(sizes):.0f}", *(f"{100 * share:.1f}" for share in shares)]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print("\ncrop's side over the box's longer side, 25, 50 and 75 %:", *np.percentile(ratios, (25, 50, 75)).round(3))


if __name__ == "__main__":
    main()
