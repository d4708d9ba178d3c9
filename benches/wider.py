#!/usr/bin/env python3
"""Recall and precision of the face detector on wider_dev, 300 photographs of WIDER FACE with labelled faces.

    benches/wider.py --data "$LECTERN_DATA/wider_dev" --lectern target/debug/lectern
    benches/wider.py --data "$LECTERN_DATA/wider_dev" --detections lines.jsonl
    benches/wider.py --data "$LECTERN_DATA/wider_dev" --lectern target/debug/lectern --side 640 --min-face 24 --heights 24,40 [--clear] [--square]

The detections are the JSON lines of `lectern eval detect --min-face 40 IMAGE…`:
{"file", "faces": [{"x", "y", "w", "h", "score", "landmarks"}]}, boxes in the image's own pixels. A line's file is
matched to boxes.json by the end of its path. Exit code: 0 if both floors hold, 1 if not, 2 for missing or broken input.

How a detection is judged, image by image:

- A labelled face counts if it is not flagged invalid and, once the longer side of the image is 640 px, is 40 px high or
  more, or as high as `--heights` says, without the second of them; with `--clear` only if it is neither strongly blurred nor
  strongly covered. All other labelled faces are ignorable: nobody asks for them and nobody is blamed for finding them.
- With `--square`, `--heights` means the side of the square with the box's area: the detector's own boxes are square, and
  labelled ones a third higher than wide.
- With `--side` the detector gets the images shrunk so far, and heights are those once the longer side has so many pixels.
- Detections are taken by descending score. Each takes the free countable face that it overlaps most, if their IoU
  (intersection over union) is .4 or more: a hit. A face can be taken once.
- A detection without such a face is ignored if its IoU with an ignorable face is .4 or more.
- Every other one is a false alarm; a second detection of the same face is one.
- Recall is hits over countable faces; precision is hits over hits and false alarms.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

SIDE, SMALLEST = 640, 40
EXIT_BELOW, EXIT_INPUT = 1, 2


def fail(message):
    print(f"wider: {message}", file=sys.stderr)
    sys.exit(EXIT_INPUT)


def overlap(a, b):
    """Intersection over union of two boxes with x, y, w, h."""
    width = min(a["x"] + a["w"], b["x"] + b["w"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["h"], b["y"] + b["h"]) - max(a["y"], b["y"])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a["w"] * a["h"] + b["w"] * b["h"] - both)


def judge(image, detections, threshold, heights, side=SIDE, clear=False, square=False):
    """Countable faces, hits and false alarms of one image."""
    scale = side / max(image["width"], image["height"])
    wanted, ignorable = [], []
    for face in image["faces"]:
        size = (face["w"] * face["h"]) ** 0.5 if square else face["h"]
        counts = not face["invalid"] and heights[0] <= size * scale < heights[1]
        # WIDER's flags: 2 of 0 to 2.
        counts = counts and not (clear and (face["blur"] == 2 or face["occlusion"] == 2))
        (wanted if counts else ignorable).append(face)
    free, hits, alarms = list(wanted), 0, 0
    for detection in sorted(detections, key=lambda found: -found["score"]):
        best = max(free, key=lambda face: overlap(detection, face), default=None)
        if best is not None and overlap(detection, best) >= threshold:
            free.remove(best)
            hits += 1
        elif not any(overlap(detection, face) >= threshold for face in ignorable):
            alarms += 1
    return len(wanted), hits, alarms


def read_lines(text):
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            found["/".join(entry["file"].replace("\\", "/").split("/")[-2:])] = entry["faces"]
        except (ValueError, KeyError, TypeError) as error:
            fail(f"line {number} of the detections is not a result of `eval detect`: {error!r}")
    return found


def shrink(data, images, side, folder):
    """Writes the images with a longer side of so many pixels into a folder of the same form."""
    for image in images:
        target = os.path.join(folder, "images", image["file"])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        size = f"scale={side}:-1" if image["width"] >= image["height"] else f"scale=-1:{side}"
        # Bytes of PNG under the image's own name: the decoder looks at the bytes.
        command = ["ffmpeg", "-v", "error", "-i", os.path.join(data, "images", image["file"]), "-vf", f"{size}:flags=lanczos",
                   "-f", "image2pipe", "-c:v", "png", "-"]
        with open(target, "wb") as file:
            subprocess.run(command, stdout=file, check=True)


def enlarge(faces, factor):
    return [face | {name: face[name] * factor for name in ("x", "y", "w", "h")} for face in faces]


def run(binary, data, images, min_face):
    paths = [os.path.join(data, "images", image["file"]) for image in images]
    command = [binary, "eval", "detect", "--min-face", str(min_face), *paths]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        fail(f"cannot run {binary}: {error}")
    if done.returncode != 0:
        fail(f"`{binary} eval detect` ended with exit code {done.returncode}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the wider_dev folder, with boxes.json and images/")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--lectern", metavar="BINARY", help="run this binary on all the images")
    source.add_argument("--detections", metavar="FILE", help="JSON lines from an earlier run, - for stdin")
    parser.add_argument("--min-recall", type=float, default=0.82)
    parser.add_argument("--min-precision", type=float, default=0.95)
    parser.add_argument("--min-face", type=int, default=SMALLEST, metavar="PX", help="what Lectern is asked for [default: 40]")
    parser.add_argument("--heights", type=lambda text: [float(part) for part in text.split(",")], metavar="FROM,TO",
                        default=[SMALLEST, float("inf")], help="which labelled faces count [default: 40 and more]")
    parser.add_argument("--side", type=int, metavar="PX", help="shrink the images so far first (needs ffmpeg)")
    parser.add_argument("--clear", action="store_true", help="count no face that is strongly blurred or covered")
    parser.add_argument("--square", action="store_true", help="take the side of a square of the same area for a face's height")
    parser.add_argument("--iou", type=float, default=0.4)
    options = parser.parse_args()

    try:
        with open(os.path.join(options.data, "boxes.json")) as file:
            images = json.load(file)
        if options.lectern and options.side:
            with tempfile.TemporaryDirectory() as folder:
                shrink(options.data, images, options.side, folder)
                text = run(options.lectern, folder, images, options.min_face)
        elif options.lectern:
            text = run(options.lectern, options.data, images, options.min_face)
        elif options.detections == "-":
            text = sys.stdin.read()
        else:
            with open(options.detections) as file:
                text = file.read()
    except (OSError, subprocess.CalledProcessError) as error:
        fail(error)
    found = read_lines(text)
    wanted = hits = alarms = 0
    for image in images:
        if image["file"] not in found:
            fail(f"no line for {image['file']}: give all {len(images)} images")
        faces, side = found[image["file"]], options.side or SIDE
        if options.side:
            faces = enlarge(faces, max(image["width"], image["height"]) / side)
        counts = judge(image, faces, options.iou, options.heights, side, options.clear, options.square)
        wanted, hits, alarms = wanted + counts[0], hits + counts[1], alarms + counts[2]
    recall, precision = hits / max(wanted, 1), hits / max(hits + alarms, 1)
    print(f"images {len(images)}  faces {wanted}  hits {hits}  false alarms {alarms}  "
          f"recall {recall:.4f}  precision {precision:.4f}")
    if recall < options.min_recall or precision < options.min_precision:
        print(f"wider: below the floor of recall {options.min_recall} or precision {options.min_precision}",
              file=sys.stderr)
        sys.exit(EXIT_BELOW)


if __name__ == "__main__":
    main()
