"""An ONNX network whose convolutions compute in integers (QLinearConv, one scale a tensor), to compare recipes.

`python -m history.integer F32.onnx INTEGER.onnx --cache faces.npz` has onnxruntime's own tool make it, calibrated on
faces of FER2013Train. It does not ship: slower and less accurate than export/quantise.py's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from dataset.data import load

CALIBRATION_FACES = 200


class Calibration(CalibrationDataReader):
    """Some faces of FER2013Train, one by one."""

    def __init__(self, cache: Path) -> None:
        images = load(cache, "FER2013Train").images
        self.faces = iter(images[:: len(images) // CALIBRATION_FACES, None, None].astype(np.float32))

    def get_next(self) -> dict[str, np.ndarray] | None:
        face = next(self.faces, None)
        return None if face is None else {"face": face}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("float_file", type=Path, help="the float32 ONNX file")
    parser.add_argument("integer_file", type=Path, help="the file to write")
    parser.add_argument("--cache", type=Path, required=True, help="faces.npz of dataset/data.py")
    options = parser.parse_args()
    quantize_static(
        options.float_file, options.integer_file, Calibration(options.cache), quant_format=QuantFormat.QOperator,
        op_types_to_quantize=["Conv"], weight_type=QuantType.QInt8, activation_type=QuantType.QInt8,
    )  # fmt: skip
    print(f"{options.float_file.stat().st_size} -> {options.integer_file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
