"""The paper's network and training: InceptionResNetV2 with CBAM, and the networks it is compared with.

    python -m paper.runs train --cache faces.npz --out RUN --backbone inceptionresnetv2 --side 75
    python -m paper.runs evaluate --cache faces.npz RUN --pictures FOLDER
    python -m paper.runs export RUN --out paper.onnx
    python -m paper.runs compare RUN RUN … --curves curves.png
    python -m paper.runs pairs RUN_A RUN_B RUN_A RUN_B …

`train` writes `log.csv`, `last.pt` (for --resume), `end.pt` (the last epoch) and `best.pt` (highest accuracy over 13
kinds on FER2013Valid). Defaults are the paper's where it gives a number; PaperNet says where it does not.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.data import EMOTIONS, KINDS, Faces, load
from evaluate.figures import Judged, report
from evaluate.pictures import draw_both, pyplot
from export.to_onnx import OPSET, TOLERANCE
from paper.backbones import BACKBONES, load_imagenet
from train import parallel
from train.augment import Strength, warp
from train.model import Cbam
from train.train import Trainer, learning_rate, loss_of, predict, softmax, targets_of

VALID_FACES = 3375
"""What train/train.py judges by; its log does not say."""

WARM = 0.05
"""Share of a --cosine run in which the rate rises: random weights diverge at the full rate."""

PAPER = Strength(
    shift=0.08, degrees=14.0, scale=0.0, shear=0.0, contrast=0.0, brightness=0.0, gamma=0.0,
    degrade_share=0.0, noise=0.0, erase_share=0.0, mix_share=0.0,
)  # fmt: skip
"""Horizontal flip, translation and rotation; the paper gives no amounts, these are train/augment.py's."""


@dataclass(frozen=True)
class Design:
    """What a PaperNet is made of. `kernel` is that of the spatial attention: 2 (the paper), 7 (Woo et
    al.) or 0 for no attention; `reduction` is Woo et al.'s; the paper does not give its dropout."""

    backbone: str = "inceptionresnetv2"
    side: int = 139
    kernel: int = 2
    two_stage: bool = False
    reduction: int = 16
    dropout: float = 0.2


class TwoStage(nn.Module):
    """Seven emotions, then weak or strong for each of the six: features to log-probabilities [n,13].

    The paper trains the stages one after the other and does not say how; here they share the trunk.
    log P(kind) = log P(emotion) + log P(strength | emotion), so that the cross-entropy over 13 kinds is
    the sum of both stages' and a softmax over the output changes nothing.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.emotion = nn.Linear(inputs, len(EMOTIONS))
        self.strength = nn.Linear(inputs, len(EMOTIONS) - 1)

    def forward(self, features: Tensor) -> Tensor:
        emotion = self.emotion(features).float().log_softmax(1)
        strength = self.strength(features).float()
        weak, strong = F.logsigmoid(-strength), F.logsigmoid(strength)
        pairs = torch.stack((weak, strong), 2) + emotion[:, 1:, None]
        return torch.cat((emotion[:, :1], pairs.flatten(1)), 1)


class PaperNet(nn.Module):
    """Faces [n,1 or 3,S,S], luma 0 to 255, to logits [n,13]: the backbone's feature stages, CBAM, what
    is left of the backbone, dropout, flatten, dense. The paper's L2 layer is the optimiser's L2 term.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.backbone = BACKBONES[design.backbone]()
        if design.side < self.backbone.least:
            raise SystemExit(f"{design.backbone} needs {self.backbone.least} px or more: give --side")
        self.features, self.tail = self.backbone.features, self.backbone.tail
        self.attention: nn.Module = nn.Identity()
        if design.kernel:
            self.attention = Cbam(self.backbone.channels, design.kernel, design.reduction)
        self.dropout = nn.Dropout(design.dropout)
        with torch.no_grad():
            self.eval()
            inputs = self.flat(torch.zeros(1, 3, design.side, design.side)).shape[1]
        depthwise = any(layer.groups > 1 for layer in self.modules() if isinstance(layer, nn.Conv2d))
        # A depthwise convolution's gradient is 15 times slower in PyTorch 2.2 with channels last.
        self.layout = torch.contiguous_format if depthwise else torch.channels_last
        self.head: nn.Module = TwoStage(inputs) if design.two_stage else nn.Linear(inputs, len(KINDS))

    def flat(self, picture: Tensor) -> Tensor:
        maps = self.tail(self.attention(self.features(picture)))
        return self.dropout(maps).flatten(1)

    def forward(self, face: Tensor) -> Tensor:
        side = self.design.side
        if face.shape[-1] != side:
            face = F.interpolate(face, size=(side, side), mode="bilinear", antialias=face.shape[-1] > side)
        picture = ((face - 127.5) * (1 / 127.5)).expand(-1, 3, -1, -1)
        return self.head(self.flat(picture.contiguous(memory_format=self.layout))).float()


def network_of(run: Path) -> PaperNet:
    """The network in a run's `best.pt`, ready to predict."""
    state = torch.load(run / "best.pt")
    network = PaperNet(Design(**state["shape"]))
    network.load_state_dict(state["weights"])
    return network.to(memory_format=network.layout).eval()


def some(faces: Faces, count: int, seed: int) -> Faces:
    """As many faces, drawn without replacement; all of them for 0."""
    rows = np.random.default_rng(seed).permutation(len(faces.label))[: count or None]
    return faces.rows(rows)


def load_trunk(network: PaperNet, run: Path) -> None:
    """Copy all weights but the head's from the last epoch of another run."""
    weights = torch.load(run / "end.pt")["weights"]
    trunk = {name: weight for name, weight in weights.items() if not name.startswith("head.")}
    missing, unexpected = network.load_state_dict(trunk, strict=False)
    if unexpected or any(not name.startswith("head.") for name in missing):
        raise SystemExit(f"{run} has another trunk than this network")


class PaperTrainer(Trainer):
    """One run as the paper trains: Adam with L2, cross-entropy with hard labels, learning rate x0.1 on
    a plateau of the validation accuracy, early stopping, the best checkpoint; no averaged weights. With
    --cosine the rate depends on the step alone instead (train/train.py's schedule)."""

    def __init__(self, rank: int, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.rank, self.options = rank, options
        self.train = some(load(options.cache, "FER2013Train"), options.faces, options.seed)
        self.valid = some(load(options.cache, "FER2013Valid"), options.valid, options.seed)
        self.images = torch.from_numpy(self.train.images).unsqueeze(1)
        self.targets = targets_of(self.train, 0.0)
        self.shape = Design(options.backbone, options.side, options.kernel, options.two_stage)
        self.network = PaperNet(self.shape)
        if options.imagenet:
            load_imagenet(options.backbone, self.network.backbone)
        if options.trunk:
            load_trunk(self.network, options.trunk)
        self.average = self.network.to(memory_format=self.network.layout)
        self.optimizer = torch.optim.Adam(self.network.parameters(), options.rate, weight_decay=options.l2)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, "max", factor=0.1, patience=options.plateau
        )
        self.epoch, self.best, self.stale = 0, 0.0, 0
        self.losses: list[float] = []
        """Of the steps done in this epoch."""
        self.random: Tensor | None = None

    def batches(self) -> Iterator[Tensor]:
        """Every face once, shuffled; this worker's part of each whole batch."""
        order = torch.randperm(len(self.images)).split(self.options.batch)
        return (rows[self.rank :: self.options.workers] for rows in order if len(rows) == self.options.batch)

    def train_epoch(self) -> float:
        self.network.train()
        torch.manual_seed(self.options.seed * 10_000 + self.epoch)
        steps = len(self.images) // self.options.batch
        batches = list(self.batches())
        if self.random is not None:
            torch.set_rng_state(self.random)
        saved = time.monotonic()
        for step, rows in enumerate(batches[len(self.losses) :], len(self.losses)):
            if self.options.cosine:
                progress = (self.epoch * steps + step) / (self.options.epochs * steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(progress, self.options.rate, WARM)
            faces = warp(self.images[rows].float(), PAPER, self.images.shape[-1])
            if self.options.vertical:
                upside_down = torch.rand(len(faces), 1, 1, 1) < 0.5
                faces = torch.where(upside_down, faces.flip(2), faces)
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.network(faces)
            loss = loss_of(logits, self.targets[rows], 0.0)
            self.optimizer.zero_grad()
            loss.backward()
            parallel.average_gradients(self.network)
            self.optimizer.step()
            self.losses.append(loss.item())
            if self.rank == 0 and time.monotonic() - saved >= self.options.save_every * 60:
                self.save_state()
                print(f"epoch {self.epoch + 1}: step {step + 1} of {steps}, loss {np.mean(self.losses):.3f}", flush=True)
                saved = time.monotonic()
        self.epoch += 1
        loss = float(np.mean(self.losses))
        self.losses, self.random = [], None
        return loss

    def judge(self) -> dict[str, float]:
        with torch.autocast("cpu", torch.bfloat16):
            return super().judge() | {"n": len(self.valid.label)}

    def save(self, shares: dict[str, float]) -> None:
        """As Trainer's, but the best epoch has the highest accuracy; then the plateau is looked at."""
        super().save(shares | {"mean": shares["13 classes"]})
        if not self.options.cosine:
            self.plateau.step(shares["13 classes"])
        torch.save(self.plateau.state_dict(), self.options.out / "plateau.pt")

    def state(self) -> dict[str, object]:
        """As Trainer's, with the step: an epoch may take longer than a machine is free."""
        return super().state() | {"losses": self.losses, "random": torch.get_rng_state() if self.losses else None}

    def resume(self) -> dict[str, object]:
        state = super().resume()
        self.losses, self.random = state["losses"], state["random"]
        # Within the first epoch there is none yet.
        if (self.options.out / "plateau.pt").exists():
            self.plateau.load_state_dict(torch.load(self.options.out / "plateau.pt"))
        return state


def train(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    parallel.launch(options.workers, work, options)


def work(rank: int, options: argparse.Namespace) -> None:
    trainer = PaperTrainer(rank, options)
    if options.resume:
        trainer.resume()
    if rank == 0:
        parameters = sum(weight.numel() for weight in trainer.network.parameters())
        print(f"{parameters / 1e6:.2f} M parameters, {len(trainer.images)} faces, {trainer.shape}", flush=True)
    trainer.run()


def evaluate(options: argparse.Namespace) -> None:
    """Print every figure; draw both confusion matrices."""
    faces = load(options.cache, "FER2013Valid")
    network = network_of(options.run)
    probabilities = softmax(predict(network, faces.images, batch=100))
    print(report(Judged.of(probabilities, faces.label, faces.votes), options.draws, options.seed))
    if options.pictures:
        draw_both(probabilities, faces.label, options.pictures, f"{options.run.name}_confusion")


def export(options: argparse.Namespace) -> None:
    """Write ONNX with static shapes and check it with onnxruntime."""
    if options.run:
        network = network_of(options.run)
    else:
        torch.manual_seed(options.seed)
        network = PaperNet(Design(side=options.side)).eval()
    network = network.to(memory_format=torch.contiguous_format)
    side, path = network.design.side, options.out
    face = torch.rand(1, options.channels, side, side) * 255
    torch.onnx.export(
        network, (face,), str(path), opset_version=OPSET, input_names=["face"], output_names=["logits"]
    )
    onnx.checker.check_model(str(path), full_check=True)
    difference = difference_to_onnx(network, face, path)
    print(f"{network.design}\n{path.stat().st_size} bytes, largest difference of a logit to PyTorch {difference:.2e}")
    if difference > TOLERANCE:
        raise SystemExit(f"{path} differs from PyTorch by more than {TOLERANCE}: do not use it")


def difference_to_onnx(network: PaperNet, face: Tensor, path: Path) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(face).numpy()
    return float(np.abs(session.run(None, {"face": face.numpy()})[0] - expected).max())


def read_log(run: Path) -> list[dict[str, float]]:
    """Every epoch of a run of this or of train/train.py."""
    with open(run / "log.csv", newline="") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def compare(options: argparse.Namespace) -> None:
    """Print each run's best epoch as a table; draw the accuracy of every epoch."""
    print("| run | epochs | best | 7 classes, % | 13 classes, % | strength, % | n | minutes |\n" + "|---" * 8 + "|")
    _, axes = pyplot.subplots(figsize=(6.4, 4))
    for run in options.runs:
        rows = read_log(run)
        best = max(rows, key=lambda row: row["13 classes"])
        cells = " | ".join(f"{best[name]:.1f}" for name in ("7 classes", "13 classes", "strength"))
        minutes = sum(row["seconds"] for row in rows) / 60
        print(f"| {run.name} | {len(rows)} | {best['epoch']:.0f} | {cells} | {best.get('n', VALID_FACES):.0f} | {minutes:.0f} |")
        axes.plot([row["epoch"] for row in rows], [row["13 classes"] for row in rows], marker=".", label=run.name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("13 classes right on FER2013Valid, %")
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    if options.curves:
        axes.figure.savefig(options.curves, dpi=80, bbox_inches="tight")


def pairs(options: argparse.Namespace) -> None:
    """Print how the first of each two runs ended beside the second, and what is left of it over all pairs.

    The last epoch, so that nothing is chosen. The interval is Student's, over the pairs' differences.
    """
    if len(options.runs) % 2 or len(options.runs) < 4:
        raise SystemExit("give two pairs of runs or more: A B A B …")
    ends = {run: read_log(run)[-1] for run in options.runs}
    shown = ("7 classes", "balanced 7", "13 classes", "balanced 13", "strength", "majority 7")
    print("| pair | " + " | ".join(shown) + " |\n" + "|---" * (len(shown) + 1) + "|")
    for one, other in zip(options.runs[::2], options.runs[1::2]):
        cells = (f"{ends[one][each]:.1f}, {ends[other][each]:.1f}" for each in shown)
        print(f"| {one.name}, {other.name} ({ends[one]['epoch']:.0f} epochs) | " + " | ".join(cells) + " |")
    first, second = (np.array([[ends[run][each] for each in shown] for run in options.runs[side::2]]) for side in (0, 1))
    gain, count = first - second, len(first)
    reach = stats.t.ppf(0.975, count - 1) * gain.std(0, ddof=1) / count**0.5
    for title, side in (("first", first), ("second", second)):
        print(f"| {title}, mean ± standard deviation | " + " | ".join(
            f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(side.mean(0), side.std(0, ddof=1))) + " |")  # fmt: skip
    print("| first less second (95 %) | " + " | ".join(
        f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})" for mean, half in zip(gain.mean(0), reach)) + " |")  # fmt: skip


def add_train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--backbone", choices=BACKBONES, default="inceptionresnetv2")
    parser.add_argument("--imagenet", action="store_true", help="begin with ImageNet weights, where a package has them")
    parser.add_argument("--trunk", type=Path, metavar="RUN", help="begin with another run's weights, but for the head")
    parser.add_argument("--side", type=int, default=139, help="pixels; faces of 48 are enlarged to it")
    parser.add_argument("--kernel", type=int, choices=(0, 2, 7), default=2, help="spatial attention; 0: no CBAM")
    parser.add_argument("--two-stage", action="store_true", help="7 emotions, then weak or strong")
    # An upside-down face is never seen by the product, and turns the mouth's corners, which tell happy from sad.
    parser.add_argument("--vertical", action="store_true", help="also flip vertically, as the paper says")
    parser.add_argument("--faces", type=int, default=0, help="train on so many faces, 0: all")
    parser.add_argument("--valid", type=int, default=0, help="choose by so many faces, 0: all")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--plateau", type=int, default=50, help="epochs without progress before the rate is x0.1")
    parser.add_argument("--cosine", action="store_true", help="one cosine over --epochs instead of the plateau")
    parser.add_argument("--patience", type=int, default=200, help="epochs without progress before it stops")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--l2", type=float, default=1e-5)
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--save-every", type=float, default=10, metavar="MINUTES", help="how often last.pt is written within an epoch")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    add_train_options(training := commands.add_parser("train"))
    training.set_defaults(run_command=train)
    judging = commands.add_parser("evaluate", help=evaluate.__doc__)
    judging.add_argument("run", type=Path)
    judging.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    judging.add_argument("--pictures", type=Path, help="folder for the confusion matrices as PNG")
    judging.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    judging.add_argument("--seed", type=int, default=13)
    judging.set_defaults(run_command=evaluate)
    exporting = commands.add_parser("export", help=export.__doc__)
    exporting.add_argument("run", type=Path, nargs="?", help="without it: InceptionResNetV2+CBAM, untrained")
    exporting.add_argument("--out", type=Path, required=True)
    exporting.add_argument("--side", type=int, default=139, help="of the untrained network")
    exporting.add_argument("--channels", type=int, choices=(1, 3), default=1)
    exporting.add_argument("--seed", type=int, default=13)
    exporting.set_defaults(run_command=export)
    comparing = commands.add_parser("compare", help=compare.__doc__)
    comparing.add_argument("runs", type=Path, nargs="+")
    comparing.add_argument("--curves", type=Path, help="PNG to write")
    comparing.set_defaults(run_command=compare)
    pairing = commands.add_parser("pairs", help=pairs.__doc__)
    pairing.add_argument("runs", type=Path, nargs="+")
    pairing.set_defaults(run_command=pairs)
    options = parser.parse_args()
    options.run_command(options)


if __name__ == "__main__":
    main()
