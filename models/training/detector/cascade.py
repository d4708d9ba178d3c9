"""The search of `lectern eval detect` in PyTorch, in batches, open between its stages.

The rules are those of `detector/reference_mtcnn.py`, with the caps of src/vision/mtcnn/cascade.rs. The program itself
runs one candidate at a time; here a stage's candidates are one batch, which is the same but for rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.ops import nms

from detector.networks import SIDES, head

FACTOR = 0.709
MOST_CELLS = 512
MOST = (128, 32)
THRESHOLDS = (0.6, 0.7, 0.8)
"""Those of the old weights' manifest; a manifest of other weights may differ."""


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


@dataclass
class Boxes:
    """Candidates after a stage: sides [N, 4] in pixels, and the network's answers [N, 5 or 15]."""

    boxes: Tensor
    heads: Tensor

    def take(self, rows: Tensor) -> Boxes:
        return Boxes(self.boxes[rows], self.heads[rows])

    def suppressed(self, threshold: float, most: int | None = None) -> Boxes:
        """Without those that overlap a better one by more (IoU), best first."""
        return self.take(nms(self.boxes, self.heads[:, 0], threshold)[:most])

    def squares(self, one: float) -> Tensor:
        """The regressed boxes, as squares. `one` is 0 after P-Net and 1 after R-Net, as in boxes.rs."""
        return square(self.regressed(one))

    def regressed(self, one: float) -> Tensor:
        size = self.boxes[:, 2:] - self.boxes[:, :2] + one
        return self.boxes + self.heads[:, 1:5] * torch.cat([size, size], 1)


def square(boxes: Tensor) -> Tensor:
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.amax(1, keepdim=True)
    corner = boxes[:, :2] + size / 2 - side / 2
    return torch.cat([corner, corner + side], 1)


def as_planes(picture: np.ndarray) -> Tensor:
    """[1, 3, h, w] float32 of an RGB picture [h, w, 3]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float().unsqueeze(0)


def pyramid(planes: Tensor, min_face: float) -> list[tuple[float, Tensor]]:
    """The levels as (scale, picture), the largest first."""
    height, width = planes.shape[2:]
    scale, levels = 12 / min_face, []
    side = min(height, width) * scale
    while side >= 12:
        levels.append((scale, adaptive_avg_pool2d(planes, (int(height * scale + 1), int(width * scale + 1)))))
        scale, side = scale * FACTOR, side * FACTOR
    return levels


def cells(scale: float, rows: Tensor, columns: Tensor) -> Tensor:
    """The boxes of P-Net's cells."""
    corner = torch.stack([columns, rows], 1).float() * 2
    return torch.floor(torch.cat([corner + 1, corner + 12], 1) / torch.tensor(scale, dtype=torch.float32))


def propose(network: nn.Module, planes: Tensor, min_face: float, threshold: float) -> Boxes:
    """The first stage: P-Net's cells above a logit, suppressed on each level."""
    found = [Boxes(torch.zeros(0, 4), torch.zeros(0, 5))]
    for scale, level in pyramid(planes, min_face):
        answers = head("pnet", network, level)[0]
        rows, columns = torch.nonzero(answers[0] >= threshold, as_tuple=True)
        one = Boxes(cells(scale, rows, columns), answers[:, rows, columns].T)
        best = one.heads[:, 0].argsort(descending=True)[:MOST_CELLS]
        found.append(one.take(best).suppressed(0.5))
    return Boxes(torch.cat([each.boxes for each in found]), torch.cat([each.heads for each in found]))


def cut(planes: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """What a network sees of each box [N, 3, side, side], and which boxes lie inside the picture at all."""
    height, width = planes.shape[2:]
    crops, kept = [], []
    for row, (x1, y1, x2, y2) in enumerate(boxes.to(torch.int64).tolist()):
        x1, y1, x2, y2 = max(x1, 1), max(y1, 1), min(x2, width), min(y2, height)
        if x2 >= x1 and y2 >= y1:
            crops.append(adaptive_avg_pool2d(planes[:, :, y1 - 1:y2, x1 - 1:x2], side))
            kept.append(row)
    return torch.cat(crops) if crops else torch.zeros(0, 3, side, side), torch.tensor(kept, dtype=torch.int64)


def judge(name: str, network: nn.Module, planes: Tensor, boxes: Tensor, threshold: float) -> Boxes:
    """R-Net or O-Net on each box; those above a logit."""
    crops, kept = cut(planes, boxes, SIDES[name])
    if not len(kept):
        return Boxes(torch.zeros(0, 4), torch.zeros(0, 15 if name == "onet" else 5))
    answers = head(name, network, crops)
    return Boxes(boxes[kept], answers).take(answers[:, 0] > threshold)


def refine(network: nn.Module, planes: Tensor, proposed: Boxes, threshold: float, most: int | None = MOST[0]) -> Boxes:
    """The second stage, on what the first one has proposed."""
    chosen = proposed.suppressed(0.7, most)
    return judge("rnet", network, planes, chosen.squares(0), threshold).suppressed(0.7)


def distinct(boxes: np.ndarray, scores: np.ndarray, threshold: float = 0.7) -> list[int]:
    """Rows of the boxes that cover different faces, best first: suppression by the smaller box, pixels counted inclusively."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        width = np.maximum(0, np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order]) + 1)
        height = np.maximum(0, np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order]) + 1)
        order = order[width * height / np.minimum(areas[best], areas[order]) <= threshold]
    return kept


@dataclass
class Search:
    """What a search has found, and its cost."""

    boxes: np.ndarray
    scores: np.ndarray
    """Logits of O-Net."""
    landmarks: np.ndarray
    """[N, 5, 2] in pixels."""
    squares: np.ndarray
    """The sides of the squares that O-Net has seen [N]."""
    passes: tuple[int, int]
    """How many candidates R-Net and O-Net have seen."""
    proposed: np.ndarray
    refined: np.ndarray
    """The squares that R-Net and O-Net have seen, for counting what each stage loses."""


@torch.no_grad()
def search(networks: dict[str, nn.Module], picture: np.ndarray, min_face: float, thresholds: tuple[float, float, float]) -> Search:
    """All faces of an RGB picture whose logits pass the thresholds (logits, not probabilities)."""
    planes = as_planes(picture)
    chosen = propose(networks["pnet"], planes, min_face, thresholds[0]).suppressed(0.7, MOST[0])
    proposed = chosen.squares(0)
    refined = judge("rnet", networks["rnet"], planes, proposed, thresholds[1]).suppressed(0.7, None)
    squares = refined.squares(1)[:MOST[1]]
    faces = judge("onet", networks["onet"], planes, squares, thresholds[2])
    boxes = faces.regressed(1).numpy()
    kept = distinct(boxes, faces.heads[:, 0].numpy()) if len(boxes) else []
    size = faces.boxes[:, 2:] - faces.boxes[:, :2] + 1
    points = torch.stack([faces.heads[:, 5:10], faces.heads[:, 10:15]], 2) * size[:, None] + faces.boxes[:, None, :2] - 1
    return Search(
        boxes[kept], faces.heads[kept, 0].numpy(), points[kept].numpy(), size[kept, 0].numpy(), (len(proposed), len(squares)),
        proposed.numpy(), squares.numpy(),
    )  # fmt: skip
