"""Bring an exported file back into the network of train/model.py, to train on from it or to ask it.

`python -m train.restore_checkpoint expression.onnx --cache faces.npz --out best.pt` writes a checkpoint for every other
script. Weights are what the file holds, int8 times its scales. Batch normalisation, folded away by the export, gets the
statistics of training faces and the scale and bias with which it computes the same. `--temperature`, `--neutral` and
`--rare` take back what export/to_onnx.py put into the last layer.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from dataset.data import load
from export.to_onnx import run
from selection.bounds import offsets
from train.model import ExpressionNet, Shape, settle
from train.networks import build, checkpoint_of
from train.train import predict

TOLERANCE = 1e-4
"""Largest difference of a logit between the file in onnxruntime and the restored network that passes."""

MEASURED = 2048
"""Training faces that give the statistics."""


def module_of(output: str) -> str:
    """`/features/features.4/first/first.0/Conv_output_0` is the output of the module `features.4.first.0`."""
    path: list[str] = []
    for part in output.strip("/").split("/")[:-1]:
        if path and part.startswith(path[-1] + "."):
            path.pop()
        path.append(part)
    return ".".join(path)


def reader(model: onnx.ModelProto) -> Callable[[str], Tensor]:
    """Gives a weight by its name, float32; int8 ones are multiplied by the scale of their output channel."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            whole, scale, _ = (values[name] for name in node.input)
            values[node.output[0]] = whole * scale.reshape(-1, *[1] * (whole.ndim - 1))
    return lambda name: torch.from_numpy(values[name].astype(np.float32))


@torch.no_grad()
def restore(path: Path, shape: Shape) -> ExpressionNet:
    """The network with the file's weights. A folded normalisation only adds its bias and scales by its filters'
    lengths, which are taken out of them."""
    model, network = onnx.load(path), build(shape)
    read, modules = reader(model), dict(network.named_modules())
    for node in model.graph.node:
        name = module_of(node.output[0])
        if node.op_type == "Gemm":
            network.head.weight.copy_(read(node.input[1]))
            network.head.bias.copy_(read(node.input[2]))
        elif node.op_type == "Conv" and name in modules:  # CBAM's second call of a layer has another name
            weight, layer = read(node.input[1]), modules[name]
            normalisation = modules.get(name.removesuffix("0") + "1")
            if isinstance(normalisation, nn.BatchNorm2d):
                length = weight.flatten(1).norm(dim=1).clamp(min=1e-6)
                weight /= length.view(-1, 1, 1, 1)
                normalisation.weight.copy_(length)
                normalisation.bias.copy_(read(node.input[2]))
                normalisation.running_mean.zero_()
                normalisation.running_var.fill_(1 - normalisation.eps)
            elif layer.bias is not None:
                layer.bias.copy_(read(node.input[2]))
            layer.weight.copy_(weight)
    return network.eval()


@torch.no_grad()
def unfold(network: ExpressionNet, offset: np.ndarray, temperature: float) -> None:
    """The reverse of export.fold."""
    network.head.weight *= temperature
    network.head.bias *= temperature
    network.head.bias -= torch.from_numpy(offset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", type=Path, help="ONNX file of export/to_onnx.py or export/quantise.py")
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--temperature", type=float, default=1.0, help="as export/to_onnx.py printed it")
    parser.add_argument("--neutral", type=float, default=0.0, help="as given to export/to_onnx.py")
    parser.add_argument("--rare", type=float, default=0.0, help="as given to export/to_onnx.py")
    options = parser.parse_args()
    train, valid = (load(options.cache, f"FER2013{part}") for part in ("Train", "Valid"))
    shape = Shape()
    network = restore(options.network, shape)
    sample = train.images[:: len(train.images) // MEASURED]
    settle(network, torch.from_numpy(sample).unsqueeze(1).float())
    difference = float(np.abs(predict(network, valid.images) - run(options.network, valid.images)).max())
    print(f"SHA-256 {hashlib.sha256(options.network.read_bytes()).hexdigest()}\n"
          f"largest difference of a logit to onnxruntime {difference:.1e}")  # fmt: skip
    if difference > TOLERANCE:
        raise SystemExit(f"{options.network} is not restored: that is more than {TOLERANCE}")
    unfold(network, offsets(train.label, options.neutral, options.rare), options.temperature)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint_of(network, shape), options.out)


if __name__ == "__main__":
    main()
