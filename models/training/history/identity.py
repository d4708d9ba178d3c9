"""The trunk of dlib's face recognition network in PyTorch, read from dlib's own file.

`python -m history.identity --weights dlib_face_recognition_resnet_model_v1.dat --picture P.png` reads the file of PyPI
`face_recognition_models` 0.3.0 (CC0) and compares the 128 numbers that tell a person with those of dlib
itself. The network is a ResNet of 29 layers that Davis King trained on faces of about 7,500 people.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
MEANS = (122.782, 117.001, 104.298)
"""dlib subtracts these from red, green and blue, and divides by 256."""

TOLERANCE = 1e-5
"""Largest difference of one of the 128 numbers to dlib's that passes."""

STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first of them halves the size."""


class Scale(nn.Module):
    """dlib's `affine`: a factor and an offset for each channel, what is left of batch normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    """dlib pads a convolution of stride 1, and no other."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0)


def grown(x: Tensor, like: Tensor) -> Tensor:
    """Zeros behind x, up to the channels, height and width of `like` where those are larger."""
    return F.pad(x, [size for axis in (3, 2, 1) for size in (0, max(0, like.shape[axis] - x.shape[axis]))])


class Block(nn.Module):
    """relu(shortcut(x) + conv(relu(conv(x)))); where sizes differ, dlib fills up with zeros."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(convolution(inputs, outputs, 3, 2 if halve else 1), Scale(outputs))
        self.second = nn.Sequential(convolution(outputs, outputs, 3, 1), Scale(outputs))
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        branch = self.second(F.relu(self.first(x)))
        shortcut = F.avg_pool2d(x, 2) if self.halve else x
        return F.relu(grown(shortcut, branch) + grown(branch, shortcut))


class IdentityNet(nn.Module):
    """RGB faces [n,3,150,150], 0 to 255, to 128 numbers that are alike for one person."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 32, 7, 2), Scale(32))
        blocks, channels = [], 32
        for outputs, count, halve in STAGES:
            for number in range(count):
                blocks.append(Block(channels, outputs, halve and number == 0))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 128, bias=False)

    def forward(self, face: Tensor) -> Tensor:
        x = (face - torch.tensor(MEANS).view(1, 3, 1, 1)) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        return self.head(self.blocks(x).mean((2, 3)))


def packed(number: int) -> bytes:
    """A positive integer as dlib writes it: how many bytes, then the bytes, least first."""
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "little")


class Reader:
    """Finds tensors in dlib's file by their size; they stand in the order of the computation."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def tensor(self, *shape: int) -> Tensor:
        """The next tensor of that shape (samples, channels, rows, columns; ones at the end may be left out)."""
        sizes = shape + (1,) * (4 - len(shape))
        header = b"".join(packed(number) for number in (2, *sizes))
        start = self.data.index(header, self.place) + len(header)
        values = np.frombuffer(self.data, "<f4", int(np.prod(sizes)), start)
        self.place = start + values.nbytes
        return torch.from_numpy(values.copy())


def read(path: Path) -> IdentityNet:
    """The network with the weights of dlib's file."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{path} is not the file of face_recognition_models 0.3.0")
    network, reader = IdentityNet(), Reader(data)
    pairs = [network.stem, *(part for block in network.blocks for part in (block.first, block.second))]
    with torch.no_grad():
        for conv, scale in pairs:
            values = reader.tensor(conv.weight.numel() + conv.bias.numel())
            conv.weight.copy_(values[: conv.weight.numel()].view_as(conv.weight))
            conv.bias.copy_(values[conv.weight.numel() :])
            values = reader.tensor(2 * len(scale.weight))
            scale.weight.copy_(values[: len(scale.weight)])
            scale.bias.copy_(values[len(scale.weight) :])
        network.head.weight.copy_(reader.tensor(256, 128).view(256, 128).T)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="dlib_face_recognition_resnet_model_v1.dat")
    parser.add_argument("--picture", type=Path, required=True, help="any picture, brought to 150 x 150 pixels")
    options = parser.parse_args()
    import dlib  # Only for the comparison.

    face = np.array(Image.open(options.picture).convert("RGB").resize((150, 150)))
    original = np.array(dlib.face_recognition_model_v1(str(options.weights)).compute_face_descriptor(face))
    with torch.no_grad():
        here = read(options.weights)(torch.from_numpy(face).permute(2, 0, 1).unsqueeze(0).float())[0].numpy()
    difference = float(np.abs(here - original).max())
    print(f"largest difference to dlib {difference:.1e}, largest number {np.abs(original).max():.3f}")
    if difference > TOLERANCE:
        raise SystemExit("this is not dlib's network")


if __name__ == "__main__":
    main()
