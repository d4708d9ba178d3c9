"""Train with what the runs before the fourth needed beside train/train.py: another network's weights, and live teachers.

`python -m history.train --cache faces.npz --out FOLDER …` takes every option of train/train.py. Two more sources of
knowledge: weights that begin as dlib's (`--identity`), and teachers that are asked about each augmented face (`--live`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from history.networks import SHAPES, network_of
from history.trunk import begin
from train.augment import Strength
from train.train import Trainer, arguments, launch, work


class TaughtTrainer(Trainer):
    """A run of any of the shapes, with those two."""

    shapes = SHAPES
    network_of = staticmethod(network_of)

    def __init__(self, rank: int, options: argparse.Namespace) -> None:
        super().__init__(rank, options)
        if options.identity:
            sample = self.images[:: len(self.images) // 512].float()
            begin(self.network, self.shape, options.identity, sample)
            self.average.load_state_dict(self.network.state_dict())
        self.live = [network_of(teacher) for teacher in options.live]

    def batch(self, rows: Tensor, strength: Strength) -> tuple[Tensor, Tensor]:
        faces, targets = super().batch(rows, strength)
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            answers = [teacher(faces).float().softmax(1) for teacher in self.live]
        if answers:
            targets = torch.lerp(targets, torch.stack(answers).mean(0), self.options.live_share)
        return faces, targets


def work_taught(rank: int, options: argparse.Namespace) -> None:
    """One worker's part of the training."""
    work(rank, options, TaughtTrainer)


def main() -> None:
    parser = arguments(__doc__, SHAPES)
    parser.add_argument("--identity", type=Path, help="begin with the weights of dlib's file; see identity.py")
    parser.add_argument("--live", type=Path, nargs="*", default=[],
                        help="best.pt files that are asked about each augmented face")  # fmt: skip
    parser.add_argument("--live-share", type=float, default=0.6, help="the share of their answers in the targets")
    launch(parser.parse_args(), work_taught)


if __name__ == "__main__":
    main()
