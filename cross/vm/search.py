#!/usr/bin/env python3
"""search.py CLIP DISK: looks for parts of the pictures in CLIP (raw YUYV, 720 x 576) anywhere in DISK.

A part is a run of 24 bytes with at least 10 different ones, so that it cannot be there by chance: as the camera
gives it (YUYV), and of its luma alone, as a gray picture would hold it. Exits 1 if any is found, or if the search
does not find what is planted for it.
"""

import mmap
import sys

ROW = 720 * 2
RUN = 24
NEEDLES = 120


def runs(clip: bytes) -> list[bytes]:
    """Runs spread over the first picture, in both layouts."""
    picture = clip[: ROW * 576]
    found: list[bytes] = []
    for layout in (picture, picture[::2]):
        varied = [
            layout[at : at + RUN] for at in range(0, len(layout) - RUN, 997) if len(set(layout[at : at + RUN])) >= 10
        ]
        found += varied[:: max(1, len(varied) // (NEEDLES // 2))][: NEEDLES // 2]
    return found


def main() -> int:
    clip = open(sys.argv[1], "rb").read()
    needles = runs(clip)
    if len(needles) < 20:
        print("  - the clip has too little texture to be searched for", file=sys.stderr)
        return 1
    if not all(needle in clip or needle in clip[::2] for needle in needles):
        return 1
    with open(sys.argv[2], "rb") as disk, mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_READ) as bytes_:
        # The guest wrote this line at its end: without it the wrong disk was searched.
        if bytes_.find(b"lectern appliance test: end of the search area") < 0:
            print("  - the guest's mark is not on the disk", file=sys.stderr)
            return 1
        places = [at for at in map(bytes_.find, needles) if at >= 0]
        print(f"  - {len(needles)} runs of a picture searched in {len(bytes_) >> 20} MB: {len(places)} found")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
