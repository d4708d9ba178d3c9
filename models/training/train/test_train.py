"""What train/train.py, train/parallel.py, train/restore_checkpoint.py, export/to_onnx.py, export/quantise.py and the seeds
promise. `python -m train.test_train`, or with pytest."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import torch
from torch import nn

import testing
from dataset.data import KINDS
from export import to_onnx
from export.quantise import quantise
from train import train
from train.model import Shape, settle
from train.networks import build
from train.restore_checkpoint import restore, unfold

FACES = 96


def write_faces(cache: Path) -> None:
    """A cache of random faces, of which some share a kind."""
    random = np.random.default_rng(13)
    arrays = {}
    for split in ("FER2013Train", "FER2013Valid"):
        label = np.arange(FACES) % len(KINDS)
        votes = np.zeros((FACES, 10), np.int64)
        votes[np.arange(FACES), (label + 1) // 2] = 10
        arrays |= {
            f"{split}/images": random.integers(0, 256, (FACES, 48, 48), np.uint8),
            f"{split}/votes": votes,
            f"{split}/label": label,
            f"{split}/soft": np.eye(len(KINDS), dtype=np.float32)[label],
            f"{split}/names": np.array([f"{row}.png" for row in range(FACES)]),
        }
    np.savez(cache, **arrays)


def curve(folder: Path, cache: Path, *more: str) -> list[list[str]]:
    """Train two epochs and give the log without the seconds."""
    arguments = ["train.py", "--cache", cache, "--out", folder, "--shape", "tiny", "--epochs", 2, "--batch", 32, *more]
    with mock.patch.object(sys, "argv", [str(each) for each in arguments]):
        train.main()
    rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    return [row[:1] + row[2:] for row in rows]


def test_what_is_added_while_it_learns_is_how_often_each_kind_is_drawn() -> None:
    random = np.random.default_rng(13)
    label = random.choice(3, 200, p=[0.7, 0.2, 0.1])
    targets, weights = torch.eye(3)[label], train.draw_weights(label, 0.5)
    shares = train.leaning_of(targets, weights).softmax(0)
    drawn = torch.multinomial(weights, 100_000, replacement=True)
    assert (shares - targets[drawn].mean(0)).abs().max() < 0.01


def wait_for_ever(_rank: int, _arguments: None) -> None:
    """A worker's part that never ends."""
    os.write(sys.stdout.fileno(), b"waiting\n")
    while True:
        time.sleep(1)


def test_the_same_seed_gives_the_same_curve_also_when_resumed() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "faces.npz"
        write_faces(cache)
        first, second = (curve(folder / each, cache) for each in ("first", "second"))
        assert len(first) == 3 and first == second
        # With no patience a run stops after its first epoch.
        assert len(curve(folder / "resumed", cache, "--patience", "0")) == 2
        assert curve(folder / "resumed", cache, "--resume") == first
        assert curve(folder / "other", cache, "--seed", "14") != first


def test_workers_end_with_a_killed_parent() -> None:
    """Also where they were started in the background of a shell, which has them ignore interrupts."""
    code = "from train import parallel, test_train; parallel.launch(2, test_train.wait_for_ever, None)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    lines = [parent.stdout.readline() for _ in range(2)]
    parent.kill()
    parent.wait()
    assert lines == ["waiting\n"] * 2
    # The workers hold the other end of this pipe; it ends when they do.
    reader = subprocess.Popen(["timeout", "60", "cat"], stdin=parent.stdout)
    assert reader.wait() == 0


def test_the_seeds_are_the_files_of_their_table() -> None:
    seeds = Path(__file__).parents[1] / "seeds"
    table = dict(re.findall(r"^\| `(.+?\.onnx)` \|.*\| `([0-9a-f]{64})` \|", (seeds / "README.md").read_text(), re.MULTILINE))
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in seeds.glob("*.onnx")} == table and table


def test_firm_targets_move_strength_only() -> None:
    targets = torch.rand(FACES, len(KINDS)).softmax(1)
    label = np.arange(FACES) % len(KINDS)
    moved = train.firm(targets, label, 1.0)
    rows = np.arange(FACES)
    pairs = [each[:, 1:].unflatten(1, (6, 2)).sum(2) for each in (targets, moved)]
    assert torch.allclose(*pairs) and torch.equal(targets[:, 0], moved[:, 0])
    emotional = rows[label > 0]
    other = np.where(label % 2, label + 1, label - 1)[emotional]
    assert torch.all(moved[emotional, other] == 0) and torch.all(moved[emotional, label[emotional]] > 0)
    assert torch.equal(train.firm(targets, label, 0.0), targets)


def test_an_exported_file_comes_back_as_the_network_it_was() -> None:
    torch.manual_seed(13)
    random = np.random.default_rng(13)
    images = random.integers(0, 256, (FACES, 48, 48), np.uint8)
    network = build(Shape())
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in ((layer.weight, 0.5, 2), (layer.bias, -1, 1), (layer.running_mean, -1, 1),
                                      (layer.running_var, 0.5, 2)):  # fmt: skip
                nn.init.uniform_(values, low, high)
    expected = train.predict(network, images)
    offset = np.linspace(-1, 1, len(KINDS), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "network.onnx")
        to_onnx.fold(network, offset, 0.8)
        to_onnx.write(network, path)
        back = restore(path, Shape())
        assert np.abs(train.predict(back, images) - to_onnx.run(path, images)).max() < 1e-4
        model = onnx.load(path)
        quantise(model)
        onnx.save(model, path)
        stored = restore(path, Shape())
        assert np.abs(train.predict(stored, images) - to_onnx.run(path, images)).max() < 1e-4
    unfold(back, offset, 0.8)
    settle(back, torch.from_numpy(images).unsqueeze(1).float())
    assert np.abs(train.predict(back, images) - expected).max() < 1e-3
    # With the statistics of these very faces, training begins with what the file computes.
    back.train()
    back.dropout.p = 0.0
    with torch.no_grad():
        begun = back(torch.from_numpy(images).unsqueeze(1).float())
    assert np.abs(begun.numpy() - expected).max() < 1e-2


if __name__ == "__main__":
    testing.run_all(globals())
