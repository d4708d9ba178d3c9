"""An expression network whose convolutions begin as those of dlib's face recognition network.

As in `identity.py`, but for gray faces of any size, with batch normalisation in place of the fixed scales,
with CBAM on the branches where wanted, and with as many stages and blocks as `TrunkShape` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.data import KINDS
from history import identity
from train.model import Cbam, conv_bn, settle


@dataclass(frozen=True)
class TrunkShape:
    """`side` is the face's height and width in pixels, `stages` are (channels, blocks) as in identity.STAGES or
    fewer; each stage but the first halves the size. CBAM stands in the last `attended` blocks of each stage."""

    side: int = 128
    stages: tuple[tuple[int, int], ...] = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
    attended: int = 0
    spatial_kernel: int = 7
    reduction: int = 8
    dropout: float = 0.4

    def network(self) -> TrunkNet:
        """An untrained network of this shape."""
        return TrunkNet(self)


class TrunkBlock(nn.Module):
    """relu(shortcut(x) + CBAM(conv(relu(conv(x))))); new channels of the shortcut are zeros."""

    def __init__(self, inputs: int, outputs: int, halve: bool, attention: nn.Module) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, 2 if halve else 1)
        self.second = conv_bn(outputs, outputs, 3)
        self.attention = attention
        self.halve = halve
        self.more = outputs - inputs
        if halve:
            self.first[0].padding = (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        shortcut, padded = x, x
        if self.halve:
            # dlib's windows begin at the first pixel; an even size needs one more at the end.
            padded = F.pad(x, (0, 1, 0, 1)) if x.shape[-1] % 2 == 0 else x
            shortcut = F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 0, self.more))
        return F.relu(shortcut + self.attention(self.second(F.relu(self.first(padded)))))


class TrunkNet(nn.Module):
    """Gray faces [n,1,S,S], luma 0 to 255, to the logits [n,13] of KINDS; other sizes are brought to S first."""

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.side = shape.side
        self.stem = conv_bn(1, 32, 7, 2)
        self.stem[0].padding = (0, 0)
        blocks, channels = [], 32
        for stage, (outputs, count) in enumerate(shape.stages):
            for number in range(count):
                attends = number >= count - shape.attended
                attention = Cbam(outputs, shape.spatial_kernel, shape.reduction) if attends else nn.Identity()
                blocks.append(TrunkBlock(channels, outputs, stage > 0 and number == 0, attention))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(channels, len(KINDS))

    def forward(self, face: Tensor) -> Tensor:
        if face.shape[-1] != self.side:
            face = F.interpolate(face, size=(self.side, self.side), mode="bilinear", align_corners=False)
        x = F.max_pool2d(F.relu(self.stem((face - 127.5) * (1 / 64))), 3, 2)
        return self.head(self.dropout(self.blocks(x).mean((2, 3))))


def scaled(layers: nn.Sequential, weight: Tensor, conv_bias: Tensor, scale: identity.Scale) -> None:
    """Give convolution and normalisation dlib's values, filters brought to length 1.

    `settle` then sets the statistics such that the normalisation does what dlib's scale did.
    """
    length = weight.flatten(1).norm(dim=1).clamp(min=1e-6)
    layers[0].weight.copy_(weight / length.view(-1, 1, 1, 1))
    layers[1].weight.copy_(scale.weight * length)
    layers[1].bias.copy_(scale.bias + scale.weight * conv_bias)


@torch.no_grad()
def begin(network: TrunkNet, shape: TrunkShape, weights: Path, faces: Tensor) -> None:
    """Start from dlib's file; the normalisations' statistics come from faces [n,1,48,48].

    The network computes what dlib's computes on gray faces, up to its last stage and but for the borders. CBAM
    begins with weights of 1/4 everywhere, for which the branch's normalisation makes up.
    """
    source = identity.read(weights)
    conv, scale = source.stem
    # Gray is the same in three colours: filters are summed; (x - 127.5) / 64 goes in where dlib has (x - mean) / 256.
    gray = conv.weight.sum(1, keepdim=True) / 4
    means = torch.tensor(identity.MEANS).view(1, 3, 1, 1)
    offset = (conv.weight * (127.5 - means) / 256).sum((1, 2, 3))
    scaled(network.stem, gray, conv.bias + offset, scale)
    starts, start = [], 0
    for _, count, _ in identity.STAGES:
        starts.append(start)
        start += count
    rows = [first + number for first, (_, count) in zip(starts, shape.stages) for number in range(count)]
    for block, row in zip(network.blocks, rows):
        original = source.blocks[row]
        for layers, (conv, scale) in ((block.first, original.first), (block.second, original.second)):
            scaled(layers, conv.weight, conv.bias, scale)
        if isinstance(block.attention, Cbam):
            for layer in (block.attention.channel.excite, block.attention.spatial.conv):
                for values in layer.parameters():
                    values.zero_()
            for values in block.second[1].parameters():
                values *= 4
    settle(network, faces)
