"""What runs.py and backbones.py promise. `PYTHONPATH=models/training python -m paper.test_paper`, or with pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

import testing
from paper.backbones import BACKBONES, InceptionResidual, convolutions, inception_resnet_v2, load_imagenet
from paper.runs import Design, PaperNet, TwoStage
from train.model import Cbam
from train.test_train import write_faces

KERAS_PARAMETERS = {"inceptionresnetv2": 54_336_736, "xception": 20_861_480}
"""Of the networks of Keras without their top, with the running means and variances."""


def normalised(network: nn.Module) -> int:
    """Channels that a batch normalisation follows, over all layers."""
    return sum(layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


def test_the_papers_204_convolutions_are_those_with_batch_normalisation() -> None:
    """The released InceptionResNetV2 has 244 convolutions. 40 of them only close a residual block:
    linear, 1x1, with a bias and without batch normalisation. The other 204 are what its code calls
    convolution layers (Keras: conv2d to conv2d_202, and conv_7b), which is the paper's number. CBAM
    adds 3: W0, W1 and the 2x2 convolution, and the paper does not count them (or, if it left out
    conv_7b, counts only the last: 203 + 1). The blocks as drawn by Szegedy et al. would give another number.
    """
    network = PaperNet(Design(side=75))
    closing = [layer.up for layer in network.modules() if isinstance(layer, InceptionResidual)]
    attention = convolutions(network.attention)
    total = convolutions(network.features) + convolutions(network.tail)
    normalisations = sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert (total, len(closing), attention) == (244, 40, 3)
    assert total - len(closing) == normalisations == 204
    assert all(layer.bias is not None and layer.kernel_size == (1, 1) for layer in closing)


def test_attention_stands_behind_the_last_block_c() -> None:
    backbone = inception_resnet_v2()
    last = backbone.features[-1]
    assert isinstance(last, InceptionResidual) and last.up.out_channels == backbone.channels == 2080


def test_the_backbones_written_here_have_as_many_parameters_as_in_keras() -> None:
    for name, expected in KERAS_PARAMETERS.items():
        backbone = BACKBONES[name]()
        network = nn.Sequential(backbone.features, backbone.tail)
        parameters = sum(weight.numel() for weight in network.parameters())
        # Keras stores a mean and a variance for each channel; InceptionResNetV2 has no scale there.
        stored = 1 if name == "inceptionresnetv2" else 2
        assert parameters + stored * normalised(network) == expected, name


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(cbam: Cbam, features: np.ndarray) -> np.ndarray:
    """Equations 1 to 3 for one picture's maps [C,H,W], without PyTorch."""
    first, second = (
        layer.weight.detach().numpy()[:, :, 0, 0] for layer in (cbam.channel.squeeze, cbam.channel.excite)
    )
    average, maximum = features.mean((1, 2)), features.max((1, 2))
    summed = second @ np.maximum(first @ average, 0) + second @ np.maximum(first @ maximum, 0)
    refined = sigmoid(summed)[:, None, None] * features
    kernel, bias = (weight.detach().numpy() for weight in (cbam.spatial.conv.weight[0], cbam.spatial.conv.bias))
    side = kernel.shape[-1]
    _, height, width = features.shape
    # An even kernel reaches one pixel further up and left than down and right.
    padded = np.zeros((2, height + side, width + side))
    inside = (slice(side // 2, side // 2 + height), slice(side // 2, side // 2 + width))
    padded[(0, *inside)], padded[(1, *inside)] = refined.mean(0), refined.max(0)
    weights = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            weights[y, x] = (padded[:, y : y + side, x : x + side] * kernel).sum() + bias[0]
    return sigmoid(weights) * refined


def test_cbam_is_equations_1_to_3() -> None:
    torch.manual_seed(13)
    for kernel in (2, 7):
        cbam = Cbam(12, kernel, 3)
        features = torch.randn(1, 12, 5, 6) * 3
        expected = by_hand(cbam, features[0].numpy())
        with torch.no_grad():
            assert np.abs(cbam(features)[0].numpy() - expected).max() < 1e-5
            with mock.patch("torch.onnx.is_in_onnx_export", return_value=True):
                assert np.abs(cbam(features)[0].numpy() - expected).max() < 1e-5


def test_two_stage_probabilities_are_a_product_and_sum_to_1() -> None:
    torch.manual_seed(13)
    head = TwoStage(20)
    features = torch.randn(50, 20) * 10
    with torch.no_grad():
        logs = head(features)
        emotion, strong = head.emotion(features).softmax(1), torch.sigmoid(head.strength(features))
    assert torch.allclose(logs.exp().sum(1), torch.ones(50), atol=1e-5)
    assert torch.allclose(logs.exp(), logs.softmax(1), atol=1e-5)
    for index in range(6):
        pair = emotion[:, index + 1]
        assert torch.allclose(logs[:, 2 + 2 * index].exp(), pair * strong[:, index], atol=1e-5)
        assert torch.allclose(logs[:, 1 + 2 * index].exp(), pair * (1 - strong[:, index]), atol=1e-5)


def test_every_backbone_answers_13_with_and_without_attention() -> None:
    for name, build in BACKBONES.items():
        for kernel in (0, 2):
            network = PaperNet(Design(name, max(48, build().least), kernel)).eval()
            with torch.no_grad():
                one: Tensor = network(torch.full((1, 1, 48, 48), 90.0))
                three = network(torch.full((1, 3, 48, 48), 90.0))
            assert one.shape == (1, 13) and torch.allclose(one, three, atol=1e-4), name


def test_imagenet_weights_fit_efficientnet_lite0_and_nothing_else() -> None:
    backbone = BACKBONES["efficientnet_lite0"]()
    before = next(backbone.features.parameters()).clone()
    load_imagenet("efficientnet_lite0", backbone)
    assert not torch.equal(before, next(backbone.features.parameters()))
    try:
        load_imagenet("inceptionresnetv2", backbone)
    except SystemExit:
        return
    raise AssertionError("InceptionResNetV2 has no ImageNet weights here")


def test_a_run_that_is_killed_within_an_epoch_goes_on_from_there() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_faces(folder / "faces.npz")

        def start(out: str, *more: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "paper.runs", "train", "--cache", folder / "faces.npz", "--out", folder / out]
            options = ["--backbone", "efficientnet_lite0", "--side", 48, "--epochs", 1, "--batch", 8, "--cosine", "--save-every", 0]
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
            arguments = [str(each) for each in (*command, *options, *more)]
            return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)

        def rows(out: str) -> list[list[str]]:
            lines = (folder / out / "log.csv").read_text().splitlines()
            return [line.split(",")[:1] + line.split(",")[2:] for line in lines]

        whole, killed = start("whole"), start("killed")
        for line in killed.stdout:
            if line.startswith("epoch 1: step 3 of 12"):
                break
        killed.kill()
        assert whole.wait() == 0 and len(rows("whole")) == 2
        assert not (folder / "killed/log.csv").exists(), "it was killed too late"
        resumed = start("killed", "--resume")
        steps = [line for line in resumed.stdout if line.startswith("epoch ")]
        assert resumed.wait() == 0 and steps[0].startswith("epoch 1: step") and not steps[0].startswith("epoch 1: step 1 ")
        assert rows("killed") == rows("whole")


if __name__ == "__main__":
    testing.run_all(globals())
