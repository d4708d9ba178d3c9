"""Faces as a distant camera would see them: pictures shrunk to fewer pixels by averaging.

`python -m dataset.shrink FER2013Valid OUT/FER2013Valid --side 24` writes every PNG of the first folder to the second, for
`lectern eval classify` and evaluate/score.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("faces", type=Path, help="folder with square pictures")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--side", type=int, required=True, help="pixels")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(options.faces.glob("*.png")):
        Image.open(path).resize((options.side, options.side), Image.Resampling.BOX).save(options.out / path.name)


if __name__ == "__main__":
    main()
