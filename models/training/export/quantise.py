"""Store the weights of an ONNX network as int8, one scale for each output channel.

`python -m export.quantise F32.onnx INT8.onnx`: each weight of a convolution or dense layer becomes an int8
tensor and a DequantizeLinear, which tract folds when it loads the file. The arithmetic stays float32;
the file is about a quarter. With --cache it prints the figures of both files on FER2013Valid.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from dataset.data import load
from evaluate.figures import Judged, figures
from export.to_onnx import run
from train.train import softmax

SMALLEST = 256
"""Weights with fewer values stay float32: their int8 form would not be smaller."""


def quantise_tensor(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 values and float32 scales [channels] with weight ~ values * scale along the axis."""
    others = tuple(each for each in range(weight.ndim) if each != axis)
    scale = (np.abs(weight).max(others) / 127).astype(np.float32)
    scale[scale == 0] = 1
    shape = [-1 if each == axis else 1 for each in range(weight.ndim)]
    values = np.rint(weight / scale.reshape(shape)).clip(-127, 127).astype(np.int8)
    return values, scale


def output_axis(node: onnx.NodeProto) -> int:
    """The axis of a layer's weight that counts its outputs."""
    if node.op_type == "Gemm":
        transposed = any(each.name == "transB" and each.i == 1 for each in node.attribute)
        return 0 if transposed else 1
    return 0


def quantise(model: onnx.ModelProto) -> int:
    """Quantise in place the large weights of Conv and Gemm; how many there were."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    added: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in tensors:
            continue
        name = node.input[1]
        weight = numpy_helper.to_array(tensors[name])
        if weight.size < SMALLEST:
            continue
        node.input[1] = f"{name}.float"
        if name in done:
            continue
        done.add(name)
        axis = output_axis(node)
        values, scale = quantise_tensor(weight, axis)
        zero = np.zeros(scale.shape, np.int8)
        parts = {f"{name}.int8": values, f"{name}.scale": scale, f"{name}.zero": zero}
        model.graph.initializer.extend(numpy_helper.from_array(each, key) for key, each in parts.items())
        model.graph.initializer.remove(tensors[name])
        added.append(helper.make_node("DequantizeLinear", list(parts), [f"{name}.float"], axis=axis))
    nodes = added + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return len(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("float_file", type=Path, help="the float32 ONNX file")
    parser.add_argument("int8_file", type=Path, help="the file to write")
    parser.add_argument("--cache", type=Path, help="faces.npz: compare both on FER2013Valid")
    options = parser.parse_args()
    model = onnx.load(options.float_file)
    print(f"{quantise(model)} weights")
    onnx.save(model, options.int8_file)
    print(f"{options.float_file.stat().st_size} -> {options.int8_file.stat().st_size} bytes")
    if options.cache:
        valid = load(options.cache, "FER2013Valid")
        before, after = (
            figures(Judged.of(softmax(run(file, valid.images)), valid.label, valid.votes))
            for file in (options.float_file, options.int8_file)
        )
        for name, (share, n) in before.items():
            print(f"{name}: {100 * share:.2f} -> {100 * after[name][0]:.2f} % of {n}")


if __name__ == "__main__":
    main()
