"""Add constants to the logits of a finished ONNX file, in place: how likely its network finds a kind before it looks.

`python -m export.shift_logits models/expression.onnx disgust=0.8 happy=-0.1`: both kinds of an emotion move by the same
number. It goes into the last layer's bias, so nothing is computed more. Which numbers: `selection/prior.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from dataset.data import EMOTION_OF_KIND, EMOTIONS


def moves(texts: list[str]) -> np.ndarray:
    """What `EMOTION=NUMBER` adds to the logits [13]."""
    offset = np.zeros(len(EMOTION_OF_KIND), np.float32)
    for text in texts:
        name, _, number = text.partition("=")
        if name not in EMOTIONS:
            raise SystemExit(f"{name} is none of {', '.join(EMOTIONS)}")
        offset[EMOTION_OF_KIND == EMOTIONS.index(name)] += float(number)
    return offset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, help="the ONNX file of export/to_onnx.py or export/quantise.py, which is changed")
    parser.add_argument("move", nargs="+", metavar="EMOTION=NUMBER", help="added to both logits of this emotion")
    options = parser.parse_args()
    model = onnx.load(options.file)
    last = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
    bias = next((each for each in model.graph.initializer if last.op_type == "Gemm" and each.name == last.input[2]), None)
    if bias is None:
        raise SystemExit(f"{options.file} does not end in a dense layer with a bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + moves(options.move), bias.name))
    onnx.save(model, options.file)


if __name__ == "__main__":
    main()
