"""Compare network files in the product, side by side: size, CPU time a face, and every figure.

`python -m evaluate.compare_files --lectern target/debug/lectern --faces FER2013Valid FIRST.onnx OTHER.onnx …` prints
Markdown. The time of a face is the CPU time of `lectern eval classify` on many faces less that on few, over the
difference; the files take turns, and the least of several rounds counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
from io import StringIO
from pathlib import Path

from evaluate.figures import figures
from evaluate.score import judge, read_lines

MANY, FEW = 1000, 100


def classify(lectern: Path, network: Path, files: list[Path]) -> tuple[str, float]:
    """The product's answers for the pictures and the CPU seconds they took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [lectern, "eval", "classify", "--classifier", network, *files]
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", type=Path, nargs="+", help="ONNX files; times are given relative to the first, too")
    parser.add_argument("--lectern", type=Path, required=True, help="the product")
    parser.add_argument("--faces", type=Path, required=True, help="folder FER2013Valid with its pictures")
    parser.add_argument("--data", type=Path, default=os.environ.get("LECTERN_DATA"),
                        help="folder that holds fer2013plus/ (default: $LECTERN_DATA)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data folder: give --data or set LECTERN_DATA")
    files = sorted(options.faces.glob("*.png"))
    times: dict[Path, list[float]] = {network: [] for network in options.networks}
    for _ in range(options.rounds):
        for network, seconds in times.items():
            many, few = (classify(options.lectern, network, files[:count])[1] for count in (MANY, FEW))
            seconds.append((many - few) / (MANY - FEW))
    first = min(times[options.networks[0]])
    header: list[str] = []
    for network, seconds in times.items():
        output, _ = classify(options.lectern, network, files)
        found = figures(judge(read_lines(StringIO(output)), Path(options.data) / "fer2013plus"))
        if not header:
            header = ["file", "bytes", "ms a face", "times the first"]
            header += [f"{name} (n {n})" for name, (_, n) in found.items()]
            print("| " + " | ".join(header) + " |\n|---" + "|---:" * (len(header) - 1) + "|")
        cells = [network.name, f"{network.stat().st_size:,}"]
        cells += [f"{1000 * min(seconds):.2f}", f"{min(seconds) / first:.2f}"]
        print("| " + " | ".join(cells + [f"{100 * share:.2f}" for share, _ in found.values()]) + " |", flush=True)


if __name__ == "__main__":
    main()
