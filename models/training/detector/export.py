"""Write trained networks as the three ONNX files of the program, with a manifest beside them.

    python -m detector.export --weights FOLDER --out FOLDER --data "$LECTERN_DATA/wider_dev" --fold even

The graphs are those of detector/convert_mtcnn.py, so the program takes the files unchanged: `lectern --models FOLDER
eval detect …`.

First the logits are moved, on photographs that choose, so that the thresholds mean what they meant: P-Net and R-Net
hand on as many candidates as the old ones (a search then costs the same), and as many faces as before reach .8 and .98.
`tracker.rs` and `mtcnn/mod.rs` have such constants.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper
from torch import nn

from detector import convert_mtcnn
from detector.cascade import MOST, THRESHOLDS, as_planes, distinct, judge, logit, propose
from detector.dataset import entries, read
from detector.networks import NAMES, load_all, rescale_logit

MODELS = Path(__file__).resolve().parents[2]
INT8 = ("onet",)
"""As detector/convert_mtcnn.py was run for the shipped files."""

CERTAIN = 0.98
"""The second probability whose meaning is kept."""

LOW = logit(0.05)


def scores(networks: dict[str, nn.Module], pictures: list[np.ndarray], min_face: float, stage: str) -> np.ndarray:
    """Logits of all that a network has seen in the pictures, with the thresholds of the stages before it, in descending order."""
    found = []
    for picture in pictures:
        planes = as_planes(picture)
        low = LOW if stage == "pnet" else logit(THRESHOLDS[0])
        proposed = propose(networks["pnet"], planes, min_face, low).suppressed(0.7, 512 if stage == "pnet" else MOST[0])
        if stage != "pnet":
            low = LOW if stage == "rnet" else logit(THRESHOLDS[1])
            proposed = judge("rnet", networks["rnet"], planes, proposed.squares(0), low).suppressed(0.7)
        rows = np.arange(len(proposed.heads))
        if stage == "onet":
            proposed = judge("onet", networks["onet"], planes, proposed.squares(1)[:MOST[1]], LOW)
            rows = np.array(distinct(proposed.regressed(1).numpy(), proposed.heads[:, 0].numpy()) if len(proposed.heads) else [], int)
        found.append(proposed.heads[:, 0].numpy()[rows])
    return -np.sort(-np.concatenate(found))


def same_counts(old: np.ndarray, new: np.ndarray, levels: list[float]) -> tuple[float, float]:
    """Gain and offset of the new logits for which as many as of the old ones exceed each level (one or two)."""
    at = [new[min(max(int((old > level).sum()), 1), len(new)) - 1] for level in levels]
    gain = (levels[1] - levels[0]) / max(at[1] - at[0], 1e-6) if len(levels) == 2 else 1.0
    return gain, levels[0] - gain * at[0] + 1e-4


@torch.no_grad()
def calibrate(networks: dict[str, nn.Module], pictures: list[np.ndarray], min_face: float) -> dict[str, tuple[float, float]]:
    """Move the networks' logits in place; by how much."""
    old, moved = load_all(None), {}
    for stage, threshold in zip(NAMES, THRESHOLDS):
        levels = [logit(threshold), logit(CERTAIN)] if stage == "onet" else [logit(threshold)]
        moved[stage] = same_counts(*(scores(nets, pictures, min_face, stage) for nets in (old, networks)), levels)
        rescale_logit(stage, networks[stage], *moved[stage])
    return moved


def write(networks: dict[str, nn.Module], out: Path, source: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    manifest = (MODELS / "manifest.toml").read_text()
    for name in NAMES:
        model = convert_mtcnn.build(name, networks[name], name in INT8)
        kept = {entry.key: entry.value for entry in model.metadata_props}
        del model.metadata_props[:]
        helper.set_model_props(model, kept | {"source": source, "trained_from": kept["source"]})
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString(deterministic=True)
        (out / f"{name}.onnx").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        manifest = re.sub(rf'(file = "{name}\.onnx"\nsha256 = ")[0-9a-f]+(")', rf"\g<1>{digest}\g<2>", manifest)
        print(f"{name}.onnx  {len(data)} bytes  sha256 {digest}")
    (out / "manifest.toml").write_text(manifest)
    shutil.copy(MODELS / "expression.onnx", out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder of detector.train")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--data", type=Path, required=True, help="photographs that choose")
    parser.add_argument("--fold", default="even", choices=["train", "kept", "even", "odd", "all"])
    parser.add_argument("--min-face", type=float, default=24)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = load_all(options.weights)
    pictures = [read(options.data, entry)[0] for entry in entries(options.data, options.fold)]
    for name, (gain, offset) in calibrate(networks, pictures, options.min_face).items():
        print(f"{name}: logit x {gain:.3f} {offset:+.3f}")
    write(networks, options.out, "trained by models/training/detector on WIDER FACE photographs")


if __name__ == "__main__":
    main()
