"""How the product itself would frame the faces of FER2013: its detector and its aligner on the 48 px pictures.

`python -m dataset.frames --cache faces.npz --lectern target/debug/lectern --out frames.npz` enlarges every face to 96 px,
repeats its border for 48 px more on each side (a FER crop often cuts chin and hair), asks `lectern eval detect`
and computes the similarity of `crates/vision/src/geometry.rs` from the manifest's landmarks. For each split
`frames.npz` holds `found` [n] and `matrix` [n,2,3], which takes the crop's unit square (-1 to 1) into the picture's.
With --pictures the framed faces of FER2013Valid are written as PNG, for `lectern eval classify`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from dataset.data import FOLDER_OF_USAGE, Faces, load
from train.model import SIDE

MANIFEST = Path(__file__).resolve().parents[2] / "manifest.toml"
CROP, BORDER = 2 * SIDE, SIDE
SMALLEST = 200
"""Side of the smallest face looked for, of 640 pixels; half of a picture's side is the FER crop."""
PICTURES_A_CALL = 500


def template() -> np.ndarray:
    """Where the five landmarks [5,2] of a face belong in a crop, in units of -1 to 1."""
    return np.array(tomllib.loads(MANIFEST.read_text())["classifier"]["landmarks"]) * 2 - 1


def detect(lectern: Path, faces: Faces) -> list[dict]:
    """What `lectern eval detect` finds in each enlarged face, in pixels of the bordered picture."""
    found = []
    for start in range(0, len(faces.images), PICTURES_A_CALL):
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, image in enumerate(faces.images[start : start + PICTURES_A_CALL]):
                large = np.asarray(Image.fromarray(image).resize((CROP, CROP), Image.Resampling.BICUBIC))
                files.append(f"{folder}/{number:04}.png")
                Image.fromarray(np.pad(large, BORDER, mode="edge")).save(files[-1])
            command = [str(lectern), "eval", "detect", "--min-face", str(SMALLEST), *files]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found += [json.loads(line) for line in output.splitlines()]
    return found


def similarity(landmarks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The [2,3] map of shift, scale and rotation that brings landmarks [5,2] of a crop nearest to the points given."""
    source, target = landmarks - landmarks.mean(0), points - points.mean(0)
    spread = (source**2).sum()
    a = (source * target).sum() / spread
    d = (source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum() / spread
    linear = np.array([[a, -d], [d, a]])
    return np.hstack((linear, (points.mean(0) - linear @ landmarks.mean(0))[:, None]))


def frame(answer: dict, landmarks: np.ndarray) -> np.ndarray | None:
    """The matrix of the first face with its box centred inside the FER crop; all in units of -1 to 1."""
    for face in answer["faces"]:
        x, y = ((face[at] + face[size] / 2 - BORDER) / CROP for at, size in (("x", "w"), ("y", "h")))
        if 0 < x < 1 and 0 < y < 1:
            return similarity(landmarks, (np.array(face["landmarks"]) - BORDER) / CROP * 2 - 1)
    return None


def crop(images: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Faces uint8 [n,48,48] framed by matrix [n,2,3]: uint8 [n,side,side]; edges are repeated."""
    faces = torch.from_numpy(images).unsqueeze(1).float()
    grid = F.affine_grid(torch.from_numpy(matrix).float(), [len(faces), 1, side, side], align_corners=False)
    framed = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    return framed.squeeze(1).round().byte().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--lectern", type=Path, required=True, help="the product")
    parser.add_argument("--out", type=Path, required=True, help="frames.npz to write")
    parser.add_argument("--pictures", type=Path, help="folder for the framed faces of FER2013Valid, 96 px")
    parser.add_argument("--splits", nargs="*", default=list(FOLDER_OF_USAGE.values()))
    options = parser.parse_args()
    landmarks = template()
    arrays = {}
    for split in options.splits:
        faces = load(options.cache, split)
        matrices = [frame(answer, landmarks) for answer in detect(options.lectern, faces)]
        found = np.array([matrix is not None for matrix in matrices])
        matrix = np.stack([np.eye(2, 3) if each is None else each for each in matrices])
        arrays |= {f"{split}/found": found, f"{split}/matrix": matrix.astype(np.float32)}
        print(f"{split}: a face in {found.sum()} of {len(found)}; at 5, 25, 50, 75, 95 %:")
        cosine, sine = matrix[found, 0, 0], matrix[found, 1, 0]
        measured = {"scale": np.hypot(cosine, sine), "degrees": np.degrees(np.arctan2(sine, cosine))}
        measured |= {"shift x": matrix[found, 0, 2] / 2, "shift y": matrix[found, 1, 2] / 2}
        for name, values in measured.items():
            print(f"  {name}", *np.percentile(values, (5, 25, 50, 75, 95)).round(3), flush=True)
        if options.pictures and split == "FER2013Valid":
            (options.pictures / split).mkdir(parents=True, exist_ok=True)
            for name, image in zip(faces.names[found], crop(faces.images[found], matrix[found], CROP)):
                Image.fromarray(image).save(options.pictures / split / name)
    np.savez(options.out, **arrays)


if __name__ == "__main__":
    main()
