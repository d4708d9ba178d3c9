"""Export a checkpoint to ONNX, its calibration temperature folded in, and check it with onnxruntime.

`python -m export.to_onnx --cache faces.npz --checkpoint best.pt --out expression.onnx`. Input `face`
float32 [1,1,48,48], gray luma 0 to 255; output `logits` [1,13] in the order of data.KINDS, to be
given to a softmax as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from dataset.data import load
from evaluate.figures import Judged, figures
from selection.bounds import offsets, temperature_of
from train.model import SIDE
from train.networks import network_of
from train.train import predict, softmax

OPSET = 13
TOLERANCE = 1e-3
"""Largest difference of a logit between PyTorch and onnxruntime that passes."""


def calibration_error(probabilities: np.ndarray, label: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the first guess: mean |confidence - accuracy| over equal bins."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == label
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = (abs((confidence - right)[place == each].sum()) for each in range(bins))
    return float(sum(gaps) / len(label))


def fold(network: nn.Module, offset: np.ndarray, temperature: float) -> None:
    """Add the offset [13] to the last layer's answer, and divide by the temperature."""
    with torch.no_grad():
        network.head.bias += torch.from_numpy(offset)
        network.head.weight /= temperature
        network.head.bias /= temperature


def write(network: nn.Module, path: Path) -> None:
    """Write the network as ONNX with static shapes, folded batch normalisation and folded constants."""
    face = torch.full((1, 1, SIDE, SIDE), 127.0)
    torch.onnx.export(
        network, (face,), str(path), opset_version=OPSET, do_constant_folding=True,
        input_names=["face"], output_names=["logits"],
    )  # fmt: skip
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    unused = [each for each in model.opset_import if each.domain]
    for each in unused:
        model.opset_import.remove(each)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def run(path: Path, images: np.ndarray) -> np.ndarray:
    """Logits [n,13] of uint8 faces [n,48,48] by onnxruntime, one face at a time."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    faces = images.astype(np.float32)[:, None, None]
    return np.concatenate([session.run(["logits"], {"face": face})[0] for face in faces])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of train/train.py")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--neutral", type=float, default=0.0, help="added to neutral's logit; see selection/bounds.py")
    parser.add_argument("--rare", type=float, default=0.0, help="how much rare kinds are lifted; see selection/bounds.py")
    options = parser.parse_args()
    network = network_of(options.checkpoint)
    valid = load(options.cache, "FER2013Valid")
    offset = offsets(load(options.cache, "FER2013Train").label, options.neutral, options.rare)
    before = predict(network, valid.images) + offset
    temperature = temperature_of(before, valid.label)
    fold(network, offset, temperature)
    write(network, options.out)
    logits = run(options.out, valid.images)
    difference = float(np.abs(logits - before / temperature).max())
    operators = sorted({node.op_type for node in onnx.load(options.out).graph.node})
    print(f"temperature {temperature:.3f}, calibration error {calibration_error(softmax(before), valid.label):.4f} "
          f"-> {calibration_error(softmax(logits), valid.label):.4f}\n"
          f"{options.out.stat().st_size} bytes, operators {' '.join(operators)}\n"
          f"largest difference of a logit to PyTorch {difference:.2e}")  # fmt: skip
    for name, (share, n) in figures(Judged.of(softmax(logits), valid.label, valid.votes)).items():
        print(f"{name}: {100 * share:.2f} % of {n}")
    if difference > TOLERANCE:
        raise SystemExit(f"{options.out} differs from PyTorch by more than {TOLERANCE}: do not ship it")


if __name__ == "__main__":
    main()
