#!/usr/bin/env python3
"""The packaged program on emulated ARM cores against the program of this machine, on the pictures of tests/fixtures.

    .ci/emulated.py --lectern target/debug/lectern --packaged target/aarch64-unknown-linux-gnu/release/lectern

Both find the same faces, with landmarks and scores, and give the same probabilities, within what another order of the same
f32 arithmetic may change. Exit code 1 if not. Needs qemu-aarch64 (package qemu-user) and libc6-arm64-cross.
"""

import argparse
import glob
import json
import subprocess
import sys

CORES = {"cortex-a72": "Raspberry Pi 4", "cortex-a76": "Raspberry Pi 5"}
# Not wider than in tests/detector.rs and tests/classifier.rs: the first for pixels, the second for scores and probabilities.
PIXELS, SHARE = 0.5, 0.001
IN_PIXELS = {"x", "y", "w", "h", "landmarks"}


def lines(command):
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def differences(one, other, where, within):
    """Each place at which the two are not alike, in words."""
    if type(one) is not type(other):
        yield f"{where}: {one} and {other}"
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f"{where}: {sorted(one)} and {sorted(other)}"
            return
        for key in one:
            yield from differences(one[key], other[key], f"{where} {key}", PIXELS if key in IN_PIXELS else within)
    elif isinstance(one, list):
        if len(one) != len(other):
            yield f"{where}: {len(one)} and {len(other)}"
            return
        for index, (first, second) in enumerate(zip(one, other)):
            yield from differences(first, second, f"{where} {index}", within)
    elif isinstance(one, float):
        if abs(one - other) > within:
            yield f"{where}: {one} and {other}"
    elif one != other:
        yield f"{where}: {one} and {other}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lectern", required=True, help="the program of this machine")
    parser.add_argument("--packaged", required=True, help="the program for arm64")
    options = parser.parse_args()
    tasks = [["eval", "detect", *sorted(glob.glob("tests/fixtures/portrait.*g") + glob.glob("assets/*.png"))],
             ["eval", "classify", *sorted(glob.glob("tests/fixtures/faces/*.png"))]]
    wrong = 0
    for task in tasks:
        expected = lines([options.lectern, *task])
        for core, board in CORES.items():
            found = lines(["qemu-aarch64", "-cpu", core, "-L", "/usr/aarch64-linux-gnu", options.packaged, *task])
            apart = list(differences(expected, found, task[1], SHARE))
            wrong += len(apart)
            for each in apart:
                print(f"{core}: {each}")
            print(f"{task[1]} of {len(found)} pictures on {core} ({board}): {len(apart)} differences")
    # No picture, no proof.
    sys.exit(1 if wrong or not expected else 0)


if __name__ == "__main__":
    main()
