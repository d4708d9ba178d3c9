"""Train one of the three networks on its candidates, from facenet-pytorch's weights.

    python -m detector.train NET --candidates FILE [FILE…] --out FOLDER [--steps 6000] [--rate 3e-4] [--resume]

writes FOLDER/NET.pt with the moving average of the weights, and FOLDER/NET.state.pt, from which --resume goes on.

The loss is the paper's: cross-entropy over positives and negatives, the hardest of each batch alone (online hard example mining); squared error of the
box offsets over positives and parts; for O-Net also that of the landmarks. The photographs have no landmarks, so O-Net learns to keep the old network's
answers: how the classifier's crop is framed depends on them.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from detector.dataset import NEGATIVE, PART, POSITIVE
from detector.networks import NAMES, head, load, mirrored_landmarks, mirrored_offsets, original, save

SHARES = {POSITIVE: 0.3, PART: 0.2, NEGATIVE: 0.5}
"""Of a batch."""

HARDEST = 0.7
"""The share of a batch's positives and negatives whose cross-entropy counts."""

WEIGHTS = {"pnet": (1.0, 4.0, 0.0), "rnet": (1.0, 4.0, 0.0), "onet": (1.0, 4.0, 40.0)}
"""Of the three losses: classes, box, landmarks. Squared errors of fractions are small numbers."""

AVERAGED = 0.998
"""Weight of the past in the moving average of the weights, for each step."""


class Candidates:
    """What is drawn from, in memory."""

    def __init__(self, files: list[Path]) -> None:
        loaded = [dict(np.load(file)) for file in files]
        whole = {name: np.concatenate([each[name] for each in loaded]) for name in ("images", "kind", "offsets")}
        self.images = torch.from_numpy(whole["images"])
        self.kind = torch.from_numpy(whole["kind"]).long()
        self.offsets = torch.from_numpy(whole["offsets"])
        self.rows = {kind: torch.nonzero(self.kind == kind)[:, 0] for kind in SHARES}
        self.landmarks = torch.zeros(len(self.kind), 10)

    def teach(self) -> None:
        """Take the landmarks that the old O-Net finds in each positive and part."""
        teacher = original("onet")
        rows = torch.cat([self.rows[POSITIVE], self.rows[PART]])
        with torch.no_grad():
            for some in rows.split(256):
                self.landmarks[some] = head("onet", teacher, self.images[some].float())[:, 5:]

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        parts = []
        for kind, share in SHARES.items():
            rows = self.rows[kind]
            parts.append(rows[torch.randint(len(rows), (round(batch * share),), generator=generator)])
        return torch.cat(parts)


def vary(images: Tensor, offsets: Tensor, landmarks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror half of the candidates and change their light."""
    count = len(images)
    mirrored = torch.rand(count, generator=generator) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    offsets = torch.where(mirrored[:, None], mirrored_offsets(offsets), offsets)
    landmarks = torch.where(mirrored[:, None], mirrored_landmarks(landmarks), landmarks)
    gain = torch.exp(0.12 * torch.randn(count, 1, 1, 1, generator=generator))
    shift = 10 * torch.randn(count, 1, 1, 1, generator=generator)
    tint = torch.exp(0.03 * torch.randn(count, 3, 1, 1, generator=generator))
    images = ((images - 127.5) * gain * tint + 127.5 + shift).clamp(0, 255)
    return images, offsets, landmarks


def losses(answers: Tensor, kind: Tensor, offsets: Tensor, landmarks: Tensor, hardest: float = HARDEST) -> tuple[Tensor, Tensor, Tensor]:
    """Of classes, box and landmarks."""
    judged = kind != PART
    errors = binary_cross_entropy_with_logits(answers[judged, 0], (kind[judged] == POSITIVE).float(), reduction="none")
    classes = errors.topk(max(1, round(hardest * len(errors))))[0].mean()
    faces = kind != NEGATIVE
    box = mse_loss(answers[faces, 1:5], offsets[faces])
    points = mse_loss(answers[faces, 5:], landmarks[faces]) if answers.shape[1] > 5 else torch.zeros(())
    return classes, box, points


def average(into: nn.Module, network: nn.Module, past: float) -> None:
    with torch.no_grad():
        for mean, now in zip(into.parameters(), network.parameters()):
            mean.lerp_(now, 1 - past)


def train(
    name: str, candidates: Candidates, out: Path, steps: int, rate: float, batch: int, seed: int, resume: bool,
    start: Path | None = None, stop: int | None = None,
) -> nn.Module:
    """The averaged network; the state is written every 500 steps and at the end. `stop` ends a run before its schedule does."""
    network = load(name, start)
    mean = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    state_path, first = out / f"{name}.state.pt", 0
    if resume and state_path.exists():
        state = torch.load(state_path)
        network.load_state_dict(state["network"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        first = state["step"]
    if name == "onet":
        candidates.teach()
    sums, begun = torch.zeros(3), time.process_time()
    last = stop or steps
    for step in range(first, last):
        for group in optimizer.param_groups:
            # A linear warm-up, then one cosine.
            group["lr"] = rate * min(1, (step + 1) / 200) * 0.5 * (1 + np.cos(np.pi * step / steps))
        rows = candidates.draw(batch, generator)
        images, offsets, landmarks = vary(candidates.images[rows].float(), candidates.offsets[rows], candidates.landmarks[rows], generator)
        parts = losses(head(name, network, images).flatten(1), candidates.kind[rows], offsets, landmarks)
        total = sum(weight * part for weight, part in zip(WEIGHTS[name], parts))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        average(mean, network, min(AVERAGED, (step + 1) / (step + 10)))
        sums += torch.stack([part.detach() for part in parts])
        if (step + 1) % 500 == 0 or step + 1 == last:
            done = (step % 500) + 1
            classes, box, points = (sums / done).tolist()
            print(f"{name} step {step + 1}: classes {classes:.4f} box {box:.5f} landmarks {points:.6f}, {time.process_time() - begun:.0f} s", flush=True)
            sums.zero_()
            state = {
                "network": network.state_dict(), "mean": mean.state_dict(), "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(), "step": step + 1,
            }  # fmt: skip
            torch.save(state, state_path.with_suffix(".new"))
            state_path.with_suffix(".new").rename(state_path)
    save(mean, out / f"{name}.pt")
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NAMES)
    parser.add_argument("--candidates", type=Path, nargs="+", required=True, help="files of detector.dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--start", type=Path, help="weights to begin with, instead of facenet-pytorch's")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--resume", action="store_true", help="go on from the last state of the same run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    train(
        options.network, Candidates(options.candidates), options.out, options.steps, options.rate, options.batch, options.seed, options.resume, options.start
    )


if __name__ == "__main__":
    main()
