"""P-Net, R-Net and O-Net in PyTorch, with the outputs of the shipped files: one head of logit, box offsets and landmarks."""

from __future__ import annotations

from pathlib import Path

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import Tensor, nn

NAMES = ("pnet", "rnet", "onet")
SIDES = {"pnet": 12, "rnet": 24, "onet": 48}
"""Side of a network's input; P-Net also takes larger ones."""

KINDS = {"pnet": PNet, "rnet": RNet, "onet": ONet}
CONVOLUTIONS = {
    "pnet": ["conv1", "prelu1", "pool1", "conv2", "prelu2", "conv3", "prelu3"],
    "rnet": ["conv1", "prelu1", "pool1", "conv2", "prelu2", "pool2", "conv3", "prelu3"],
    "onet": ["conv1", "prelu1", "pool1", "conv2", "prelu2", "pool2", "conv3", "prelu3", "pool3", "conv4", "prelu4"],
}
DENSE = {"pnet": [], "rnet": ["dense4", "prelu4"], "onet": ["dense5", "prelu5"]}
HEADS = {
    "pnet": ["conv4_1", "conv4_2"],
    "rnet": ["dense5_1", "dense5_2"],
    "onet": ["dense6_1", "dense6_2", "dense6_3"],
}

SWAPPED = [1, 0, 2, 4, 3]
"""The landmarks of a mirrored face: eyes and mouth corners change sides, the nose stays."""


def original(name: str) -> nn.Module:
    """The network with the weights that facenet-pytorch ships."""
    return KINDS[name]().eval()


def load(name: str, path: Path | None) -> nn.Module:
    """The network with the weights of a file of `save`, or the original."""
    network = original(name)
    if path:
        network.load_state_dict(torch.load(path, map_location="cpu")["weights"])
    return network


def save(network: nn.Module, path: Path) -> None:
    torch.save({"weights": network.state_dict()}, path)


def load_all(folder: Path | None) -> dict[str, nn.Module]:
    """All three networks: those that the folder holds, the others as facenet-pytorch ships them."""
    paths = {name: folder / f"{name}.pt" if folder else None for name in NAMES}
    return {name: load(name, path if path and path.exists() else None) for name, path in paths.items()}


def head(name: str, network: nn.Module, images: Tensor) -> Tensor:
    """[N, 5 or 15] (P-Net: [N, 5, h, w]) of RGB images from 0 to 255: logit of a face, four offsets, ten landmark coordinates.

    The order is that of the shipped ONNX files; the logit is face minus background, before the original's softmax.
    """
    x = (images - 127.5) / 128
    for layer in CONVOLUTIONS[name]:
        x = getattr(network, layer)(x)
    if DENSE[name]:
        x = x.permute(0, 3, 2, 1).flatten(1)
    for layer in DENSE[name]:
        x = getattr(network, layer)(x)
    classes, *others = (getattr(network, layer)(x) for layer in HEADS[name])
    return torch.cat([classes[:, 1:2] - classes[:, 0:1], *others], 1)


def rescale_logit(name: str, network: nn.Module, gain: float, offset: float) -> None:
    """Replace the logit by gain * logit + offset, in place."""
    layer = getattr(network, HEADS[name][0])
    with torch.no_grad():
        layer.weight.mul_(gain)
        layer.bias.mul_(gain)
        layer.bias[1] += offset


def mirrored_landmarks(landmarks: Tensor) -> Tensor:
    """[N, 10] landmarks (x1 to x5, y1 to y5, fractions of the square) of the mirrored squares."""
    x, y = landmarks[:, :5], landmarks[:, 5:]
    return torch.cat([1 - x[:, SWAPPED], y[:, SWAPPED]], 1)


def mirrored_offsets(offsets: Tensor) -> Tensor:
    """[N, 4] box offsets (left, top, right, bottom) of the mirrored squares."""
    return torch.stack([-offsets[:, 2], offsets[:, 1], -offsets[:, 0], offsets[:, 3]], 1)
