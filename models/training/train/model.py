"""The device's expression network: plain 3x3 residual blocks, each with CBAM.

The attention follows equations 1 to 3 of the paper (after Woo et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.data import KINDS

SIDE = 48
"""Height and width of a face, pixels: the native size of FER2013."""


@dataclass(frozen=True)
class Shape:
    """The network's dimensions. `blocks` is (channels, stride) of each residual block; a `spatial_kernel` of 0 means no CBAM."""

    stem: int = 32
    second: int = 48
    blocks: tuple[tuple[int, int], ...] = ((80, 2), (80, 1), (128, 2), (128, 1))
    spatial_kernel: int = 7
    reduction: int = 8
    dropout: float = 0.2
    side: ClassVar[int] = SIDE

    def network(self) -> ExpressionNet:
        """An untrained network of this shape."""
        return ExpressionNet(self)


class ChannelAttention(nn.Module):
    """Equation 2: sigmoid(W1 relu(W0 avg) + W1 relu(W0 max)), W0 and W1 shared and without bias."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.excite = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def perceptron(self, pooled: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(pooled)))

    def forward(self, features: Tensor) -> Tensor:
        average = features.mean((2, 3), keepdim=True)
        maximum = features.amax((2, 3), keepdim=True)
        return torch.sigmoid(self.perceptron(average) + self.perceptron(maximum))


class SpatialAttention(nn.Module):
    """Equation 3: sigmoid(f([average; maximum over channels])); the paper's f is 2x2, CBAM's 7x7."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, features: Tensor) -> Tensor:
        average = features.mean(1, keepdim=True)
        if torch.onnx.is_in_onnx_export():
            # Equal to amax over channels at batch 1, and 50 times faster in tract.
            _, channels, height, width = (int(size) for size in features.shape)
            rows = features.reshape(1, 1, channels, height * width)
            maximum = F.max_pool2d(rows, (channels, 1)).reshape(1, 1, height, width)
        else:
            maximum = features.amax(1, keepdim=True)
        weights = self.conv(torch.cat((average, maximum), 1))
        if self.conv.kernel_size[0] % 2 == 0:
            weights = weights[:, :, :-1, :-1]
        return torch.sigmoid(weights)


class Cbam(nn.Module):
    """Equation 1: the channel attention's map, then the spatial attention's, times the features."""

    def __init__(self, channels: int, spatial_kernel: int, reduction: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention(spatial_kernel)

    def forward(self, features: Tensor) -> Tensor:
        refined = self.channel(features) * features
        return self.spatial(refined) * refined


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps or halves the size, and its batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """relu(shortcut(x) + CBAM(conv(relu(conv(x))))), with 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Shape) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        self.attention: nn.Module = nn.Identity()
        if shape.spatial_kernel:
            self.attention = Cbam(outputs, shape.spatial_kernel, shape.reduction)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            pool = nn.AvgPool2d(stride) if stride != 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, conv_bn(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.attention(self.second(F.relu(self.first(x))))
        return F.relu(self.shortcut(x) + branch)


class ExpressionNet(nn.Module):
    """Gray faces [n,1,48,48], luma 0 to 255, to the logits [n,13] of KINDS."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers = [
            conv_bn(1, shape.stem, 3), nn.ReLU(),
            conv_bn(shape.stem, shape.second, 3, 2), nn.ReLU(),
        ]  # fmt: skip
        channels = shape.second
        for outputs, stride in shape.blocks:
            layers.append(Residual(channels, outputs, stride, shape))
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(channels, len(KINDS))

    def forward(self, face: Tensor) -> Tensor:
        features = self.features((face - 127.5) * (1 / 64))
        return self.head(self.dropout(features.mean((2, 3))))


def measure(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    """As a hook before a normalisation: set its mean and variance to those of the input, and keep what it computes."""
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3), unbiased=False)
    layer.bias += layer.weight * mean
    layer.weight *= (variance + layer.eps).sqrt()
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)


@torch.no_grad()
def settle(network: nn.Module, faces: Tensor) -> None:
    """Give every normalisation the statistics of faces float [n,1,S,S]; what the network computes of them stays."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    network.eval()(faces)
    for hook in hooks:
        hook.remove()


def count(network: nn.Module, side: int) -> tuple[int, int]:
    """Multiply-accumulates of convolutions and dense layers for one face of `side` px, and parameters."""
    total = 0

    def add(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()

    hooks = [layer.register_forward_hook(add) for layer in network.modules()]
    was_training = network.training
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, 1, side, side))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return total, sum(parameter.numel() for parameter in network.parameters())
