"""The device's networks by name. `python -m train.networks` prints their multiplications and parameters."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from train.model import ExpressionNet, Shape, count


class AnyShape(Protocol):
    """A frozen dataclass of a network's dimensions. `side` is the height and width at which it looks at a face, in
    pixels; it brings others to that size itself."""

    @property
    def side(self) -> int: ...

    def network(self) -> nn.Module: ...


SHAPES: dict[str, Shape] = {
    "device": Shape(),
    "bare": Shape(spatial_kernel=0),
    "tiny": Shape(stem=8, second=8, blocks=((16, 2),)),
}
"""`device` ships, `bare` is the same without attention, `tiny` is for tests."""


def build(shape: AnyShape) -> nn.Module:
    """An untrained network, laid out for convolutions on a CPU."""
    return shape.network().to(memory_format=torch.channels_last)


def checkpoint_of(network: nn.Module, shape: AnyShape) -> dict[str, Any]:
    """What `network_of` needs."""
    return {"shape": asdict(shape), "weights": network.state_dict()}


def with_weights(shape: AnyShape, weights: dict[str, torch.Tensor]) -> nn.Module:
    """A network to be asked."""
    network = build(shape)
    network.load_state_dict(weights)
    return network.eval()


def network_of(checkpoint: Path) -> ExpressionNet:
    """A checkpoint's network, to be asked."""
    state = torch.load(checkpoint)
    return with_weights(Shape(**state["shape"]), state["weights"])


def print_counts(shapes: dict[str, AnyShape]) -> None:
    """Multiplications and parameters of each."""
    for name, shape in shapes.items():
        multiplications, parameters = count(build(shape), shape.side)
        print(f"{name}: {multiplications / 1e6:.1f} MMAC a face of {shape.side} px, "
              f"{parameters / 1e6:.3f} M parameters")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.parse_args()
    print_counts(SHAPES)


if __name__ == "__main__":
    main()
