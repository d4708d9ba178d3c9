"""The networks that taught the device's. `python -m history.networks` prints multiplications and parameters."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from history.trunk import TrunkShape
from train.model import Shape
from train.networks import AnyShape, print_counts, with_weights
from train.networks import SHAPES as DEVICE

SHAPES: dict[str, AnyShape] = {
    "trunk": TrunkShape(side=80, stages=((32, 3), (64, 4), (128, 3)), attended=1, dropout=0.2),
    "teacher": TrunkShape(side=112),
    "tiny_trunk": TrunkShape(side=40, stages=((32, 1),), attended=1),
    **DEVICE,
}
"""`teacher` taught the third run, `trunk` is what fits a device of the teacher, `tiny_trunk` is for tests."""


def network_of(checkpoint: Path) -> nn.Module:
    """The network of any checkpoint, to be asked."""
    state = torch.load(checkpoint)
    kind = TrunkShape if "stages" in state["shape"] else Shape
    return with_weights(kind(**state["shape"]), state["weights"])


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print_counts(SHAPES)


if __name__ == "__main__":
    main()
