#!/usr/bin/env python3
"""search.py FRAME DISK: looks for parts of a picture anywhere in the image of a disk.

FRAME begins with a line that tells a number of bytes, then follow so many: the picture as the camera gave it (YUYV,
rows without padding). It is searched for as that, as the RGB that the program makes of it, and as the planes of luma and of
colour that it keeps: in each layout as runs of 24 bytes, with at least 10 different ones so that none is there by chance, close enough that
every row of the picture has some.

That the search is not blind is seen from decoys: the guest puts the same bytes, each combined with a key by
exclusive or, to where a picture could come to lie. Exits 1 if a run is found, or if a decoy is not.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

# Bytes of a run, how many different ones it has at least, and how far apart runs begin.
RUN, VARIED, STEP = 24, 10, 256

# Where the guest puts a decoy, and with which key; appliance-guest.sh has the same.
DECOYS = {"a file": 0x55, "the journal": 0x21, "the network capture": 0x6A, "the files in memory": 0x33}


def rgb(y: int, cb: int, cr: int) -> bytes:
    """As `mean_rgb` in crates/vision/src/camera/frame.rs; tests/package.rs holds the two together."""
    luma, blue, red = 255 / 219 * (y - 16), cb - 128, cr - 128
    levels = (luma + 1.596_027 * red, luma - 0.391_762 * blue - 0.812_968 * red, luma + 2.017_232 * blue)
    return bytes(round(min(255, max(0, level))) for level in levels)


def decoded(yuyv: bytes) -> bytes:
    pairs = zip(yuyv[::4], yuyv[1::4], yuyv[2::4], yuyv[3::4])
    return b"".join(rgb(y, cb, cr) for left, cb, right, cr in pairs for y in (left, right))


def runs(layout: bytes, step: int) -> Iterator[bytes]:
    for at in range(0, len(layout) - RUN, step):
        run = layout[at : at + RUN]
        # The patterns that grep reads are lines.
        if len(set(run)) >= VARIED and b"\n" not in run:
            yield run


def needles(frame: bytes) -> dict[bytes, str]:
    """Each run, and what finding it means."""
    layouts = {"YUYV": frame, "RGB": decoded(frame), "luma": frame[::2], "colour": frame[1::2]}
    found = {run: name for name, layout in layouts.items() for run in runs(layout, STEP)}
    for name, key in DECOYS.items():
        # A few will do: these are there as a whole.
        found |= dict.fromkeys(runs(bytes(byte ^ key for byte in frame), 16 * STEP), name)
    return found


def count(wanted: dict[bytes, str], disk: str) -> dict[str, int]:
    """How many runs of each name are on the disk."""
    with tempfile.NamedTemporaryFile() as patterns:
        patterns.write(b"\n".join(wanted) + b"\n")
        patterns.flush()
        grep = ["grep", "--text", "--byte-offset", "--only-matching", "--fixed-strings", f"--file={patterns.name}", disk]
        said = subprocess.run(grep, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    if said.returncode > 1:
        sys.exit(said.stderr.decode())
    found = dict.fromkeys(wanted.values(), 0)
    for run in re.findall(rb"^\d+:(.{%d})$" % RUN, said.stdout, re.DOTALL | re.MULTILINE):
        found[wanted[run]] += 1
    return found


def main() -> int:
    with open(sys.argv[1], "rb") as file:
        size, _, rest = file.read().partition(b"\n")
    frame = rest[: int(size)] if size.isdigit() else b""
    wanted = needles(frame)
    found = count(wanted, sys.argv[2])
    blind = [name for name in DECOYS if not found.get(name)]
    seen = {name: number for name, number in found.items() if name not in DECOYS}
    print(f"  - {len(wanted)} runs searched for; decoys found: {({name: found.get(name, 0) for name in DECOYS})}")
    for name in ("YUYV", "RGB", "luma"):
        if list(wanted.values()).count(name) < 100:
            print(f"  - the picture has too little texture to be searched for as {name}")
            return 1
    if blind:
        print(f"  - the search is blind: what was put into {', '.join(blind)} is not found")
    if any(seen.values()):
        print(f"  - runs of the picture are on the disk: {seen}")
    return 1 if blind or any(seen.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
