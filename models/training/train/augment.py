"""Augmentation of a batch of gray faces in a few tensor operations.

The paper's flip, shift and rotation, and what a ceiling camera adds: scale, light, blur, few pixels
and noise; then a random erased box and, for a share of the faces, a mixture with another face.
`python -m train.augment --cache F --out P.png` draws a sheet of augmented faces.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dataset.data import load
from train.model import SIDE


@dataclass(frozen=True)
class Strength:
    """How much: shares are probabilities, sizes are relative to the face's side."""

    shift: float = 0.08
    degrees: float = 14.0
    scale: float = 0.14
    shear: float = 0.06
    contrast: float = 0.35
    brightness: float = 30.0
    gamma: float = 0.3
    degrade_share: float = 0.25
    sharpen_share: float = 0.0
    noise: float = 8.0
    erase_share: float = 0.35
    mix_share: float = 0.3


FULL = Strength()
GENTLE = Strength(
    shift=0.06, degrees=10.0, scale=0.1, shear=0.04, contrast=0.25, brightness=20.0, gamma=0.2,
    degrade_share=0.2, noise=6.0, erase_share=0.15, mix_share=0.0,
)  # fmt: skip
"""For the end of a training: the device's network is too small to overfit, and FULL is not what it meets."""

WIDE = Strength(
    shift=0.1, scale=0.2, contrast=0.6, brightness=45.0, gamma=0.5, degrade_share=0.4, sharpen_share=0.3,
    mix_share=0.0,
)  # fmt: skip
"""Light, sharpness and framing of other cameras, much wider than FER-2013 has them."""


def uniform(count: int, low: float, high: float) -> Tensor:
    return torch.rand(count) * (high - low) + low


def warp(faces: Tensor, strength: Strength, side: int, frames: Tensor | None = None) -> Tensor:
    """Flip, turn, scale, shear and shift, to `side` pixels, with one bilinear sampling; edges are repeated.

    With frames [n,2,3], each of which takes a crop's square (-1 to 1) into the picture's, it is those crops that
    are turned and shifted."""
    count = len(faces)
    angle = uniform(count, -strength.degrees, strength.degrees) * (math.pi / 180)
    zoom = torch.exp(uniform(count, -strength.scale, strength.scale))
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shear = uniform(count, -strength.shear, strength.shear)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    # affine_grid's unit is half a side, so a shift of .08 sides is .16.
    move = (torch.rand(count, 2) * 2 - 1) * (2 * strength.shift)
    matrix = torch.stack(
        (
            torch.stack((cos * mirror, shear - sin, move[:, 0]), 1),
            torch.stack((sin * mirror, cos, move[:, 1]), 1),
        ),
        1,
    )
    if frames is not None:
        offset = frames[:, :, :2] @ matrix[:, :, 2:] + frames[:, :, 2:]
        matrix = torch.cat((frames[:, :, :2] @ matrix[:, :, :2], offset), 2)
    grid = F.affine_grid(matrix, [count, 1, side, side], align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def light(faces: Tensor, strength: Strength) -> Tensor:
    """Gamma, contrast about the face's mean, and brightness, each drawn for each face."""
    count = len(faces)
    gamma = torch.exp(uniform(count, -strength.gamma, strength.gamma)).view(-1, 1, 1, 1)
    faces = (faces.clamp(0, 255) / 255).pow(gamma) * 255
    mean = faces.mean((1, 2, 3), keepdim=True)
    contrast = torch.exp(uniform(count, -strength.contrast, strength.contrast)).view(-1, 1, 1, 1)
    offset = uniform(count, -strength.brightness, strength.brightness).view(-1, 1, 1, 1)
    return (faces - mean) * contrast + mean + offset


def sharpen(faces: Tensor, strength: Strength) -> Tensor:
    """Add to a share of the faces up to twice what a blur takes away, as cameras do."""
    chosen = torch.rand(len(faces)) < strength.sharpen_share
    amount = torch.where(chosen, uniform(len(faces), 0, 2), torch.zeros(len(faces))).view(-1, 1, 1, 1)
    padded = F.pad(faces, (1, 1, 1, 1), mode="replicate")
    return faces + amount * (faces - F.avg_pool2d(padded, 3, stride=1))


def degrade(faces: Tensor, strength: Strength) -> Tensor:
    """Blur or shrink a share of the faces as a distant, unsharp camera would; add noise to all."""
    side = faces.shape[-1]
    choice = torch.rand(len(faces))
    faces = faces.clone()
    small = choice < strength.degrade_share / 2
    if small.any():
        to = int(torch.randint(side // 3, side, ()))
        shrunk = F.interpolate(faces[small], size=(to, to), mode="area")
        faces[small] = F.interpolate(shrunk, size=(side, side), mode="bilinear")
    soft = (choice >= strength.degrade_share / 2) & (choice < strength.degrade_share)
    if soft.any():
        sigma = float(uniform(1, 0.4, 1.2))
        taps = torch.exp(-0.5 * (torch.arange(-2, 3) / sigma) ** 2)
        taps = taps / taps.sum()
        padded = F.pad(faces[soft], (2, 2, 2, 2), mode="replicate")
        faces[soft] = F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, 5)), taps.view(1, 1, 5, 1))
    level = torch.rand(len(faces), 1, 1, 1).square() * strength.noise
    return faces + torch.randn_like(faces) * level


def erase(faces: Tensor, strength: Strength) -> Tensor:
    """Replace a box of 2 to 20 % of the area by one random gray, in a share of the faces."""
    count, side = len(faces), faces.shape[-1]
    area = uniform(count, 0.02, 0.2)
    ratio = torch.exp(uniform(count, -0.7, 0.7))
    half_height = (area * ratio).sqrt() * side / 2
    half_width = (area / ratio).sqrt() * side / 2
    y, x = uniform(count, 0, side), uniform(count, 0, side)
    axis = torch.arange(side)
    rows = (axis - y[:, None]).abs() <= half_height[:, None]
    columns = (axis - x[:, None]).abs() <= half_width[:, None]
    chosen = (torch.rand(count) < strength.erase_share)[:, None, None]
    box = (rows[:, :, None] & columns[:, None, :] & chosen).unsqueeze(1)
    return torch.where(box, uniform(count, 0, 255).view(-1, 1, 1, 1), faces)


def mix(faces: Tensor, targets: Tensor, strength: Strength) -> tuple[Tensor, Tensor]:
    """Mixup: blend a share of the faces with another one of the batch, and their targets alike."""
    partner = torch.randperm(len(faces))
    chosen = torch.rand(len(faces)) < strength.mix_share
    part = torch.where(chosen, uniform(len(faces), 0, 0.5), torch.zeros(len(faces)))
    image_part = part.view(-1, 1, 1, 1)
    return (
        faces * (1 - image_part) + faces[partner] * image_part,
        targets * (1 - part[:, None]) + targets[partner] * part[:, None],
    )


def augment(
    faces: Tensor, targets: Tensor, strength: Strength, side: int, frames: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Faces float [n,1,S,S] of 0 to 255 and targets [n,13] to new ones of `side` px, drawn from torch's seed."""
    faces = light(warp(faces, strength, side, frames), strength)
    # Not even a random number is drawn without a share: runs before it draw what they drew.
    if strength.sharpen_share:
        faces = sharpen(faces, strength)
    faces = erase(degrade(faces, strength), strength)
    return mix(faces.clamp(0, 255), targets, strength)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz")
    parser.add_argument("--out", type=Path, required=True, help="the sheet, a PNG outside the repo")
    parser.add_argument("--wide", action="store_true", help="with the amounts of WIDE instead of FULL")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    faces = load(options.cache, "FER2013Train")
    images = torch.from_numpy(faces.images[:128]).unsqueeze(1).float()
    images, _ = augment(images, torch.from_numpy(faces.soft[:128]), WIDE if options.wide else FULL, SIDE)
    sheet = images.view(8, 16, SIDE, SIDE).permute(0, 2, 1, 3).reshape(8 * SIDE, 16 * SIDE)
    Image.fromarray(sheet.numpy().astype(np.uint8)).save(options.out)


if __name__ == "__main__":
    main()
