#!/usr/bin/env python3
"""Whether `lectern analyze` reports the faces of photographs and recordings that nobody here chose.

    benches/world.py --data "$LECTERN_DATA/world_dev" --lectern target/release/lectern [--verbose] [--bar 'all>=.98' …]

The truth is what facenet-pytorch 2.6.0 finds with its full search (smallest face 24 px) in each picture that is looked at; world.json has
it beside the pictures. A face counts from a score of .99 and a longer side of 28 px on. A photograph is shown as a still scene of 6 s with
a little noise and judged from 3 s on; a recording is judged at each analysed picture. Each figure is a share:

- all: faces of still scenes that `--faces all` reports (IoU .4 or more);
- largest: pictures of still scenes in which the default reports the largest face, or one of .8 of its side;
- video: pictures of recordings with a face in which the default reports one (IoU .5 or more);
- swollen: of those in which a box is reported, boxes of 1.5 times the face's area or more;
- false: pictures without a face of score .6 or more in which one is reported.

Exit code 1 below a `--bar NAME>=SHARE` or above a `--bar NAME<=SHARE`. Needs ffmpeg, and Python's standard library alone.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FRAMES, JUDGED_FROM, RATE = 12, 6, 2
CERTAIN, SMALLEST, ANY = .99, 28, .6


def side(box):
    return max(box[2] - box[0], box[3] - box[1])


def area(box):
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def overlap(a, b):
    both = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return both / (area(a) + area(b) - both) if both else 0


class Judge:
    """Counts `figure: (hits, of)` and says where a scene fell short."""

    def __init__(self, lectern, folder):
        self.lectern, self.folder = lectern, folder

    def boxes(self, path, *options):
        """The boxes of each analysed picture, in order."""
        with tempfile.TemporaryDirectory() as work:
            frames, faces = Path(work, "frames.csv"), Path(work, "faces.csv")
            command = [self.lectern, "analyze", path, "--rate", RATE, "--frames-csv", frames, "--faces-csv", faces, *options]
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
            with open(frames) as file:
                found = {row["seconds"]: [] for row in csv.DictReader(file)}
            with open(faces) as file:
                for row in csv.DictReader(file):
                    x, y, width, height = (float(row[key]) for key in ("x", "y", "width", "height"))
                    found[row["seconds"]].append((x, y, x + width, y + height))
        return list(found.values())

    def still(self, path, truth):
        counts = Counter()
        with tempfile.TemporaryDirectory() as scene:
            command = ["ffmpeg", "-v", "error", "-loop", "1", "-i", path, "-vf", "noise=alls=4:allf=t:all_seed=7", "-q:v", "2",
                       "-frames:v", str(FRAMES), f"{scene}/%02d.jpg"]
            subprocess.run(command, check=True)
            every, default = self.boxes(scene, "--faces", "all"), self.boxes(scene)
        largest = [face for face in truth if side(face) >= .8 * max(map(side, truth))]
        for all_boxes, boxes in list(zip(every, default))[JUDGED_FROM:]:
            counts["all", "of"] += len(truth)
            counts["all", "hit"] += sum(any(overlap(face, box) >= .4 for box in all_boxes) for face in truth)
            counts["largest", "of"] += 1
            counts["largest", "hit"] += any(overlap(face, box) >= .4 for face in largest for box in boxes)
        return counts

    def recording(self, path, pictures):
        counts = Counter()
        with tempfile.TemporaryDirectory() as folder:
            # The truth is of the pictures that ffmpeg's filter takes, up to half a step later than those that a player shows at a tick.
            seen = Path(folder, "seen.mkv")
            filters = f"fps={RATE}:round=near:start_time=0"
            subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-an", "-vf", filters, "-c:v", "ffv1", seen], check=True)
            found = self.boxes(seen)
        for faces, boxes in zip(pictures, found):
            truth = certain(faces)
            if truth:
                closest = max(((overlap(face, box), face, box) for face in truth for box in boxes), default=None)
                counts["video", "of"] += 1
                counts["video", "hit"] += closest is not None and closest[0] >= .5
                if closest and closest[0] > 0:
                    counts["swollen", "of"] += 1
                    counts["swollen", "hit"] += area(closest[2]) >= 1.5 * area(closest[1])
            elif all(face[4] < ANY for face in faces):
                counts["false", "of"] += 1
                counts["false", "hit"] += bool(boxes)
        return counts

    def __call__(self, row):
        path, pictures = str(self.folder / row["name"]), row["frames"]
        if row["kind"] == "video":
            return self.recording(path, pictures)
        return self.still(path, certain(pictures[0])) if certain(pictures[0]) else Counter()


def certain(faces):
    return [face for face in faces if face[4] >= CERTAIN and side(face) >= SMALLEST]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lectern", required=True)
    parser.add_argument("--bar", action="append", default=[], metavar="NAME>=SHARE")
    parser.add_argument("--verbose", action="store_true", help="name each scene that falls short")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    rows = json.loads((options.data / "world.json").read_text())
    total = Counter()
    with ThreadPoolExecutor(options.jobs) as pool:
        for row, counts in zip(rows, pool.map(Judge(options.lectern, options.data), rows)):
            total += counts
            short = [f"{name} {counts[name, 'hit']}/{counts[name, 'of']}" for name in ("all", "largest", "video", "swollen", "false")
                     if counts[name, "hit"] != (0 if name in ("swollen", "false") else counts[name, "of"])]
            if options.verbose and short:
                print(f"{row['name']}: {', '.join(short)}")
    shares = {name: total[name, "hit"] / of for (name, kind), of in total.items() if kind == "of"}
    for name, share in sorted(shares.items()):
        print(f"{name} {share:.3f} ({total[name, 'hit']} of {total[name, 'of']})")
    missed = []
    for bar in options.bar:
        name, sign, value = bar.partition(">=") if ">=" in bar else bar.partition("<=")
        holds = name in shares and (shares[name] >= float(value) if sign == ">=" else shares[name] <= float(value))
        missed += [] if holds else [bar]
    if missed:
        sys.exit(f"short: {', '.join(missed)}")


if __name__ == "__main__":
    main()
