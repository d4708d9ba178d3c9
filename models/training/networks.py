"""The expression networks by name. `python networks.py` prints their multiplications and parameters."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model import SIDE, ExpressionNet, Shape, count
from trunk import TrunkNet, TrunkShape

SHAPES: dict[str, Shape | TrunkShape] = {
    "device": Shape(),
    "trunk": TrunkShape(side=80, stages=((32, 3), (64, 4), (128, 3)), attended=1, dropout=0.2),
    "teacher": TrunkShape(side=112),
    "tiny": TrunkShape(side=40, stages=((32, 1),), attended=1),
}
"""`device` ships, `teacher` taught it, `trunk` is what fits a device of the teacher, `tiny` is for tests."""


def build(shape: Shape | TrunkShape) -> ExpressionNet | TrunkNet:
    """An untrained network, laid out for convolutions on a CPU."""
    network = TrunkNet(shape) if isinstance(shape, TrunkShape) else ExpressionNet(shape)
    return network.to(memory_format=torch.channels_last)


def side_of(shape: Shape | TrunkShape) -> int:
    """Height and width at which a network looks at a face, in pixels; it brings others to that size itself."""
    return shape.side if isinstance(shape, TrunkShape) else SIDE


def checkpoint_of(network: ExpressionNet | TrunkNet, shape: Shape | TrunkShape) -> dict[str, Any]:
    """What `network_of` needs."""
    return {"shape": asdict(shape), "weights": network.state_dict()}


def network_of(checkpoint: Path) -> tuple[ExpressionNet | TrunkNet, Shape | TrunkShape]:
    """A checkpoint's network, to be asked, and its shape."""
    state = torch.load(checkpoint)
    kind = TrunkShape if "stages" in state["shape"] else Shape
    shape = kind(**state["shape"])
    network = build(shape)
    network.load_state_dict(state["weights"])
    return network.eval(), shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.parse_args()
    for name, shape in SHAPES.items():
        multiplications, parameters = count(build(shape), side_of(shape))
        print(f"{name}: {multiplications / 1e6:.1f} MMAC a face of {side_of(shape)} px, "
              f"{parameters / 1e6:.3f} M parameters")  # fmt: skip


if __name__ == "__main__":
    main()
