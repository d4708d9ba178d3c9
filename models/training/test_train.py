"""What train.py, trunk.py and identity.py promise. Run it as it is (`python test_train.py`) or with pytest.

The tests of dlib's weights read the path of its file from IDENTITY_WEIGHTS and are skipped where it is not set.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

import identity
import train
from data import KINDS
from trunk import TrunkNet, TrunkShape, begin

WEIGHTS = os.environ.get("IDENTITY_WEIGHTS")
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


def test_the_trunk_begins_as_dlibs_network() -> None:
    """At dlib's own size the first three stages have odd sizes wherever they are halved, so nothing differs."""
    if not WEIGHTS:
        print("skipped: IDENTITY_WEIGHTS is not set")
        return
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


def main() -> None:
    torch.set_num_threads(1)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(f"ok {name}", flush=True)


if __name__ == "__main__":
    main()
