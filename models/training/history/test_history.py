"""What train/train.py, trunk.py and identity.py promise. `PYTHONPATH=models/training python -m history.test_history`,
or with pytest. The test of dlib's weights reads the path of their file from IDENTITY_WEIGHTS and is skipped where it
is not set.
"""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

import testing
from history import identity, train
from history.trunk import TrunkNet, TrunkShape, begin
from train.test_train import FACES, write_faces

WEIGHTS = os.environ.get("IDENTITY_WEIGHTS")


def curve(out: Path, cache: Path, *more: str | Path) -> list[str]:
    """Train an epoch and give the log without number and seconds."""
    arguments = ["train.py", "--cache", cache, "--out", out, "--epochs", 1, "--batch", 32, *more]
    with mock.patch.object(sys, "argv", [str(each) for each in arguments]):
        train.main()
    return (out / "log.csv").read_text().splitlines()[1].split(",")[2:]


def test_each_source_of_knowledge_changes_what_is_learnt() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache, frames = folder / "faces.npz", folder / "frames.npz"
        write_faces(cache)
        half = np.tile(np.eye(2, 3, dtype=np.float32) / 2, (FACES, 1, 1))
        np.savez(frames, **{"FER2013Train/matrix": half})
        curve(folder / "teacher", cache, "--shape", "tiny_trunk")
        teacher = folder / "teacher/best.pt"
        plain = ("--shape", "tiny")
        learnt = [
            curve(folder / f"{number}", cache, *plain, *more)
            for number, more in enumerate(
                ((), (), ("--live", teacher), ("--teacher", teacher), ("--frames", frames, "--framed-share", "1"),
                 ("--adjust", "1"), ("--wide",))
            )  # fmt: skip
        ]
        assert learnt[0] == learnt[1]
        assert len({tuple(each) for each in learnt}) == 6


def test_the_trunk_begins_as_dlibs_network() -> None:
    """At dlib's own size the first three stages have odd sizes wherever they are halved, so nothing differs."""
    if not WEIGHTS:
        raise unittest.SkipTest("IDENTITY_WEIGHTS does not name dlib's file")
    source = identity.read(Path(WEIGHTS))
    faces = torch.rand(8, 1, 150, 150) * 255
    for attended in (0, 1):
        shape = TrunkShape(side=150, stages=((32, 3), (64, 4), (128, 3)), attended=attended)
        network = TrunkNet(shape)
        begin(network, shape, Path(WEIGHTS), faces)
        means = torch.tensor(identity.MEANS).view(1, 3, 1, 1)
        with torch.no_grad():
            stem = F.relu(source.stem((faces.repeat(1, 3, 1, 1) - means) / 256))
            expected = source.blocks[:10](F.max_pool2d(stem, 3, 2))
            stem = F.relu(network.stem((faces - 127.5) / 64))
            assert torch.allclose(network.blocks(F.max_pool2d(stem, 3, 2)), expected, atol=1e-4)


if __name__ == "__main__":
    testing.run_all(globals())
