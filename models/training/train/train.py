"""Train the expression network on FER2013Train, choose its best epoch by FER2013Valid.

`python -m train.train --cache faces.npz --out FOLDER` writes to FOLDER each epoch: `log.csv`, `last.pt`
(to go on from with --resume), `end.pt` (the averaged weights) and `best.pt` (those of the best epoch).
The same seed and number of workers give the same curve, also when resumed.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.data import KINDS, Faces, load
from evaluate.figures import Judged, shares_of
from train import parallel
from train.augment import FULL, GENTLE, WIDE, Strength, augment
from train.model import count
from train.networks import SHAPES, AnyShape, build, checkpoint_of, network_of


def targets_of(faces: Faces, soft_share: float) -> Tensor:
    """Blend the soft targets with the recipe's hard labels, float [n,13]."""
    hard = np.eye(len(KINDS), dtype=np.float32)[faces.label]
    return torch.from_numpy(soft_share * faces.soft + (1 - soft_share) * hard)


def refine(targets: Tensor, faces: Faces, teachers: list[nn.Module], share: float) -> Tensor:
    """Blend the targets with what the teachers say of each clean face and of its mirror image.

    Ten votes are a noisy label; a trained network has seen what similar faces were voted. Each worker asks about
    its part of the faces.
    """
    images = faces.images[parallel.mine()]
    with torch.autocast("cpu", torch.bfloat16):
        answers = [
            softmax(predict(network, np.ascontiguousarray(side)))
            for network in teachers
            for side in (images, images[:, :, ::-1])
        ]
    everyone = torch.zeros(targets.shape)
    everyone[parallel.mine()] = torch.from_numpy(np.mean(answers, 0))
    return torch.lerp(targets, parallel.summed(everyone), share)


def firm(targets: Tensor, label: np.ndarray, share: float) -> Tensor:
    """Move `share` of what the targets [n,13] give to the labelled emotion's other strength to the labelled one.

    Soft targets lean to strong where the recipe wants it unanimous: nine of ten votes for happy are labelled weak,
    and drawn again they are ten in 35 % of the draws.
    """
    rows = np.flatnonzero(label)
    kept, other = label[rows], label[rows] + np.where(label[rows] % 2, 1, -1)
    targets = targets.clone()
    moved = share * targets[rows, other]
    targets[rows, kept] += moved
    targets[rows, other] -= moved
    return targets


def loss_of(logits: Tensor, targets: Tensor, emotion_share: float, strength_share: float = 0.0) -> Tensor:
    """Cross-entropy over 13 kinds, plus `emotion_share` times that over the seven emotions, plus `strength_share`
    times that of weak against strong, given the emotion."""
    logs = logits.log_softmax(1)
    kinds = -(targets * logs).sum(1).mean()
    pairs = logs[:, 1:].unflatten(1, (6, 2)).logsumexp(2)
    emotions = targets[:, 1:].unflatten(1, (6, 2)).sum(2)
    seven = -(targets[:, 0] * logs[:, 0] + (emotions * pairs).sum(1)).mean()
    return kinds + emotion_share * seven + strength_share * (kinds - seven)


def draw_weights(label: np.ndarray, power: float) -> Tensor:
    """Chance of each face to be drawn, such that kind c stands n_c^(1-power) times in an epoch."""
    return torch.from_numpy(np.bincount(label)[label] ** -power)


def leaning_of(targets: Tensor, weights: Tensor) -> Tensor:
    """The logits [13] of a network that has learnt no more than how often each kind is drawn.

    Added while it learns, they need not be learnt, and the answer does not lean on FER-2013's shares (logit adjustment,
    Menon et al. 2021).
    """
    drawn = (targets * weights[:, None]).sum(0)
    return (drawn / drawn.sum()).log().float()


def learning_rate(progress: float, peak: float, warm: float) -> float:
    """A linear rise over the first share `warm` of the training, then half a cosine to nearly 0."""
    if progress < warm:
        return peak * progress / warm
    return peak * (0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) + 1e-3)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics toward the network's."""
    for slow, fast in zip(average.state_dict().values(), network.state_dict().values()):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)


@torch.no_grad()
def predict(network: nn.Module, images: np.ndarray, batch: int = 225) -> np.ndarray:
    """Logits [n,13] of uint8 faces [n,48,48]."""
    network.eval()
    faces = torch.from_numpy(images).unsqueeze(1)
    return torch.cat([network(part.float()).float() for part in faces.split(batch)]).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(1).numpy()


def optimizer_of(network: nn.Module, peak: float, decay: float) -> torch.optim.Optimizer:
    """Nesterov SGD with weight decay on kernels only."""
    kernels = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=peak, momentum=0.9, nesterov=True)


class Trainer:
    """One run: the network, its averaged twin, the optimiser, and where it stands."""

    shapes: dict[str, AnyShape] = SHAPES
    """What --shape may name."""

    network_of: Callable[[Path], nn.Module] = staticmethod(network_of)
    """How a teacher's checkpoint is read."""

    def __init__(self, rank: int, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.rank = rank
        self.options = options
        self.train, self.valid = (load(options.cache, f"FER2013{part}") for part in ("Train", "Valid"))
        self.images = torch.from_numpy(self.train.images).unsqueeze(1)
        self.targets = targets_of(self.train, options.soft)
        if options.teacher:
            teachers = [self.network_of(teacher) for teacher in options.teacher]
            self.targets = refine(self.targets, self.train, teachers, options.teacher_share)
        self.targets = firm(self.targets, self.train.label, options.firm)
        self.weights = draw_weights(self.train.label, options.balance)
        self.leaning = torch.zeros(len(KINDS))
        if options.adjust:
            self.leaning = options.adjust * leaning_of(self.targets, self.weights)
        if options.frames:
            with np.load(options.frames) as arrays:
                self.frames = torch.from_numpy(arrays["FER2013Train/matrix"])
        self.shape = self.shapes[options.shape]
        self.network = build(self.shape)
        if options.start:
            self.network.load_state_dict(torch.load(options.start)["weights"])
        self.average = build(self.shape)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = optimizer_of(self.network, options.rate, options.decay)
        self.steps = len(self.images) // options.batch
        self.epoch = 0
        self.best = 0.0
        self.stale = 0

    def batch(self, rows: Tensor, strength: Strength) -> tuple[Tensor, Tensor]:
        """Those faces, augmented, and their targets."""
        frames = None
        if self.options.frames:
            framed = torch.rand(len(rows), 1, 1) < self.options.framed_share
            frames = torch.where(framed, self.frames[rows], torch.eye(2, 3))
        faces, targets = augment(self.images[rows].float(), self.targets[rows], strength, self.shape.side, frames)
        return faces.contiguous(memory_format=torch.channels_last), targets

    def batch_loss(self, rows: Tensor, strength: Strength) -> Tensor:
        faces, targets = self.batch(rows, strength)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(faces)
        return loss_of(logits.float() + self.leaning, targets, self.options.seven, self.options.strength)

    def augmentation(self) -> Strength:
        """How much this epoch's faces are augmented."""
        if self.options.wide:
            return WIDE
        return GENTLE if self.epoch >= (1 - self.options.gentle) * self.options.epochs else FULL

    def train_epoch(self) -> float:
        """One pass over as many drawn faces as there are; the mean loss of this worker."""
        self.network.train()
        workers = self.options.workers
        strength = self.augmentation()
        torch.manual_seed(self.options.seed * 10_000 + self.epoch)
        drawn = torch.multinomial(self.weights, self.steps * self.options.batch, replacement=True)
        torch.manual_seed(self.options.seed * 10_000 + self.epoch + 1_000_000 * (self.rank + 1))
        total = 0.0
        for step, rows in enumerate(drawn.split(self.options.batch)):
            done = self.epoch * self.steps + step
            progress = done / (self.options.epochs * self.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(progress, self.options.rate, self.options.warm)
            loss = self.batch_loss(rows[self.rank :: workers], strength)
            self.optimizer.zero_grad()
            loss.backward()
            parallel.average_gradients(self.network)
            self.optimizer.step()
            # A short memory at first, or the first epochs would show the initial weights.
            follow(self.average, self.network, min(self.options.average, done / (done + 10)))
            total += loss.item()
        self.epoch += 1
        return total / self.steps

    def judge(self) -> dict[str, float]:
        """The figures of the averaged weights on FER2013Valid, in percent, and their mean."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = predict(self.average, self.valid.images)
        judged = Judged.of(softmax(logits), self.valid.label, self.valid.votes)
        shares = shares_of(judged)
        loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(self.valid.label)).item()
        return shares | {"mean": float(np.mean(list(shares.values()))), "valid loss": loss}

    def save(self, shares: dict[str, float]) -> None:
        """Write `last.pt` and `end.pt`, and `best.pt` when the mean of the figures has risen."""
        folder = self.options.out
        self.stale += 1
        answers = checkpoint_of(self.average, self.shape) | {"epoch": self.epoch, "figures": shares}
        torch.save(answers, folder / "end.pt")
        if shares["mean"] > self.best:
            self.best, self.stale = shares["mean"], 0
            torch.save(answers, folder / "best.pt")
        self.save_state()

    def state(self) -> dict[str, object]:
        """What a later process needs to go on."""
        state = {name: getattr(self, name) for name in ("epoch", "best", "stale")}
        return state | {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}

    def save_state(self) -> None:
        torch.save(self.state(), self.options.out / "last.new")
        (self.options.out / "last.new").replace(self.options.out / "last.pt")

    def resume(self) -> dict[str, object]:
        state = torch.load(self.options.out / "last.pt")
        self.epoch, self.best, self.stale = state["epoch"], state["best"], state["stale"]
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        return state

    def note(self, row: dict[str, float]) -> None:
        """Add a row to the log and print it."""
        with open(self.options.out / "log.csv", "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({name: round(value, 4) for name, value in row.items()})
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)

    def run(self) -> None:
        """Train to the last epoch; the first worker judges, saves and logs."""
        while self.epoch < self.options.epochs:
            started = time.monotonic()
            loss = self.train_epoch()
            if self.rank == 0:
                shares = self.judge()
                self.save(shares)
                seconds = time.monotonic() - started
                self.note({"epoch": self.epoch, "seconds": seconds, "train loss": loss} | shares)
            if parallel.any_of(self.stale >= self.options.patience):
                break


def work(rank: int, options: argparse.Namespace, kind: type[Trainer] = Trainer) -> None:
    """One worker's part of the training."""
    trainer = kind(rank, options)
    if options.resume:
        trainer.resume()
    if rank == 0:
        multiplications, parameters = count(trainer.network, trainer.shape.side)
        print(f"{multiplications / 1e6:.1f} MMAC a face, {parameters / 1e6:.3f} M parameters, "
              f"{len(trainer.images)} faces, {trainer.steps} steps an epoch", flush=True)  # fmt: skip
    trainer.run()


def arguments(description: str, shapes: dict[str, AnyShape]) -> argparse.ArgumentParser:
    """What every run takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--shape", choices=shapes, default="device")
    parser.add_argument("--start", type=Path, help="begin with the weights of this best.pt")
    parser.add_argument("--teacher", type=Path, nargs="*", default=[], help="best.pt files to refine the targets with")
    parser.add_argument("--teacher-share", type=float, default=0.4, help="the teachers' share of the targets")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--patience", type=int, default=20, help="epochs without a better mean figure")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1, help="peak learning rate")
    parser.add_argument("--warm", type=float, default=0.06, help="share of the training to warm up")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay")
    parser.add_argument("--average", type=float, default=0.998, help="memory of the averaged weights")
    parser.add_argument("--soft", type=float, default=0.7, help="share of soft targets in the blend")
    parser.add_argument("--seven", type=float, default=0.5, help="weight of the loss over seven emotions")
    parser.add_argument("--strength", type=float, default=0.0, help="weight of the loss over weak and strong")
    parser.add_argument("--firm", type=float, default=0.0,
                        help="how far weak and strong go by the label alone: 0 to 1")  # fmt: skip
    parser.add_argument("--balance", type=float, default=0.25, help="0: as counted, 1: all kinds alike")
    parser.add_argument("--gentle", type=float, default=0.4, help="last share of the epochs with gentle augmentation")
    parser.add_argument("--wide", action="store_true", help="augment as other cameras would, in all epochs")
    parser.add_argument("--adjust", type=float, default=0.0, help="logit adjustment: 0 none, 1 all of FER-2013's shares")
    parser.add_argument("--frames", type=Path, help="frames.npz of dataset/frames.py: also train on the product's own crops")
    parser.add_argument("--framed-share", type=float, default=0.3, help="the share of such crops, where there is one")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    return parser


def launch(options: argparse.Namespace, part: Callable[[int, argparse.Namespace], None]) -> None:
    """Train in as many processes as the options say, each with part(rank, options)."""
    options.out.mkdir(parents=True, exist_ok=True)
    parallel.launch(options.workers, part, options)


def main() -> None:
    launch(arguments(__doc__, SHAPES).parse_args(), work)


if __name__ == "__main__":
    main()
