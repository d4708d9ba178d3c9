"""A soup of checkpoints that were trained on from one start: the mean of their weights (Wortsman et al. 2022).

`python -m history.soup --cache faces.npz --out best.pt start.pt run.pt …` is greedy: it begins with the best and adds,
again and again, the one that helps most, also a second time, until none helps. What helps is judged on FER2013Valid as
selection/bounds.py does, with the bounds between the kinds at their best. How much of that is luck is told by the same
search on one half of the faces, looked at on the other.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset.data import Faces, load
from selection.bounds import Point, halves, judged_of, listed, mean_shares, search, shares_of
from train.networks import network_of
from train.train import predict

MOST = 8
"""Checkpoints in a soup, repeats counted."""

Chosen = tuple[int, ...]
Answers = Callable[[Chosen], np.ndarray]


def mean_of(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of weights and running statistics; counters are the first's."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def greedy(count: int, answers: Answers, faces: Faces, rows: np.ndarray, counted: np.ndarray) -> tuple[Chosen, Point]:
    """The soup of 0 to `count` - 1 that is best on those rows of the faces, and its best bounds."""
    part = faces.rows(rows)
    chosen: Chosen = ()
    best: Point | None = None
    while len(chosen) < MOST:
        tried = {tuple(sorted((*chosen, more))) for more in range(count)}
        points = {soup: search(answers(soup)[rows], part, counted)[0] for soup in sorted(tried)}
        soup = min(points, key=lambda each: points[each].rank())
        if best and points[soup].rank() >= best.rank():
            break
        chosen, best = soup, points[soup]
    return chosen, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="best.pt or other checkpoints of one shape")
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    valid, counted = load(options.cache, "FER2013Valid"), load(options.cache, "FER2013Train").label
    states = [torch.load(checkpoint)["weights"] for checkpoint in options.checkpoints]
    network = network_of(options.checkpoints[0])

    @functools.cache
    def answers(soup: Chosen) -> np.ndarray:
        network.load_state_dict(mean_of([states[each] for each in soup]))
        return predict(network, valid.images)

    soup, point = greedy(len(states), answers, valid, np.arange(len(valid.label)), counted)
    for each in soup:
        print(options.checkpoints[each], flush=True)
    print(f"bounds {point.neutral:.2f} and {point.rare:.2f}: {listed(point.shares)}", flush=True)
    judged: list[dict[str, float]] = []
    for choose, look in halves(len(valid.label), options.seed):
        there, found = greedy(len(states), answers, valid, np.flatnonzero(choose), counted)
        judged.append(shares_of(judged_of(found.moved(answers(there)[look], counted), valid.rows(look))))
    print(f"soup and bounds chosen on the other half: {listed(mean_shares(judged))}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    weights = mean_of([states[each] for each in soup])
    torch.save({"shape": torch.load(options.checkpoints[0])["shape"], "weights": weights}, options.out)


if __name__ == "__main__":
    main()
