"""The mean of two checkpoints' weights, where the second was trained on from the first (Wortsman et al. 2022).

`python -m selection.average_weights first.pt second.pt --share 0.6 --out best.pt`: that share of the second, the rest
of the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("first", type=Path, help="best.pt of train/train.py")
    parser.add_argument("second", type=Path, help="another of the same shape")
    parser.add_argument("--share", type=float, default=0.5, help="the second's share")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    first, second = torch.load(options.first), torch.load(options.second)
    if first["shape"] != second["shape"]:
        raise SystemExit("the networks differ in shape")
    weights = {
        name: torch.lerp(value, second["weights"][name], options.share) if value.is_floating_point() else value
        for name, value in first["weights"].items()
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"shape": first["shape"], "weights": weights}, options.out)


if __name__ == "__main__":
    main()
