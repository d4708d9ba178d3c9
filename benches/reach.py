#!/usr/bin/env python3
"""How far Lectern sees: it watches drawn lecture rooms with small faces, beside facenet-pytorch, onnxruntime and MediaPipe.

    python benches/reach.py --clips "$LECTERN_DATA/clips" --lectern target/debug/lectern --work rooms
    python benches/reach.py --clips "$LECTERN_DATA/clips" --lectern target/debug/lectern --quick
    python benches/reach.py … --set 20@1920x1080 --set 40@1280x720 --min-face 16

Needs benches/requirements.txt (torch, facenet-pytorch, onnxruntime, numpy, pillow, mediapipe) and ffmpeg. `benches/rooms.py`
tells what the rooms are, and draws them. A set FACE@WIDTHxHEIGHT is ten rooms of 85 frames, two a second; without `--set`
those of 28 and 22 px in 1920x1080 and of 60 px in 1280x720. `--work` keeps the rooms (2.6 GB a set in 1920x1080); `--quick` takes
two rooms each of 28 px in 1920x1080 and 60 px in 1280x720.

- found: of the frames with the person's face, from 2 s after it appeared, those in which a box with an IoU of .4 or more
  was reported. For the others, which look at single frames, all frames with the face count.
- false: of all frames, those with a box that touches no face. A box on a person's trunk is told apart, as `shirt`: on five
  of the clips' persons it shows a skull. The second person's face, and faces half covered, are no false ones.
- breaks: how often a face that was found was not in the next frame although it was there. wrong: of the frames in which Lectern
  has a box, those in which it is the second person's while the first, larger one can be seen.
- newcomer: seconds from the first frame with the face to the first in which it was found, each time it appears; `missed` is how
  often it was gone again before that.
- find: CPU time (user and system) of finding or following, one thread, mean a frame without each room's first, in which
  plans are made; worst: the longest frame. Decoding and the classifier are left out on every side.
- searched: of the frames, those in which Lectern says that it searched.

Lectern runs as the daemon does, over the whole room (`lectern eval track`); the others search every frame in full, and see each
so many frames (`--every`). They take turns, room by room. `--min-face` is the same for all of them: by default .8 of the
drawn face, and at most 22. `--floor` makes the exit code 1 below a value in any set: found=.97, find_facenet=20, find_onnxruntime=8;
`--ceiling` above one: false=.005.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import peers
import rooms
import torch

SETS = ["28@1920x1080", "22@1920x1080", "60@1280x720"]
QUICK = ["28@1920x1080", "60@1280x720"]
GRACE, HIT, TOUCHES = 2.0, .4, .05


class Score:
    """What one program found in the rooms of one set."""

    def __init__(self, grace):
        self.grace = grace
        self.frames = self.due = self.found = self.false = self.shirt = self.other = self.missed = 0
        self.breaks = self.wrong = self.boxed = 0
        self.searched, self.newcomers, self.costs, self.lost = 0, [], [], []

    def frame(self, truth, boxes, seen_for):
        """Judges one frame; whether the face was found."""
        self.frames += 1
        face, faces = truth["face"], [box for box in [truth["face"], *truth["others"], *truth["hidden"]] if box]
        hit = face is not None and any(rooms.overlap(box, face) >= HIT for box in boxes)
        if face is not None and seen_for >= self.grace:
            self.due += 1
            self.found += hit
            self.other += not hit and bool(len(boxes))
        self.boxed += bool(boxes)
        self.wrong += face is not None and not hit and any(rooms.overlap(box, other) >= HIT for box in boxes for other in truth["others"])
        astray = [box for box in boxes if all(rooms.overlap(box, known) < TOUCHES for known in faces)]
        printed = [any(inside(box, trunk) for trunk in truth["shirts"]) for box in astray]
        self.false += not all(printed)
        self.shirt += any(printed)
        return hit

    def room(self, truth, by_tick):
        """Judges a room, of which some frames were looked at."""
        since, found, held = None, True, False
        for tick, line in enumerate(truth["frames"]):
            if line["face"] is None:
                self.missed += not found
                since, found = None, True
            elif since is None:
                since, found = tick, False
            if tick not in by_tick:
                continue
            seen_for = (tick - since) / truth["rate"] if since is not None else 0
            hit = self.frame(line, by_tick[tick], seen_for)
            self.breaks += held and line["face"] is not None and not hit
            held = hit
            if hit and not found:
                found = True
                self.newcomers.append(seen_for)
            if line["face"] is not None and seen_for >= self.grace and not hit:
                self.lost.append(tick / truth["rate"])
        self.missed += not found

    def add(self, room):
        """Takes in what was counted elsewhere."""
        for name, value in vars(room).items():
            if name != "grace":
                setattr(self, name, getattr(self, name) + value)

    def numbers(self):
        of = lambda part, all: part / all if all else 0.0
        return {"found": of(self.found, self.due), "due": self.due, "frames": self.frames,
                "false": of(self.false, self.frames), "shirt": of(self.shirt, self.frames), "elsewhere": of(self.other, self.due),
                "breaks": self.breaks, "wrong": of(self.wrong, self.boxed),
                "find_ms": statistics.fmean(self.costs), "worst_ms": max(self.costs)}


def inside(box, trunk):
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return trunk[0] <= x <= trunk[2] and trunk[1] <= y <= trunk[3]


def watch(binary, video, min_face, truth, score):
    """Lectern over one room."""
    command = [binary, "eval", "track", video, "--min-face", str(min_face), "--rate", str(truth["rate"])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    score.room(truth, {round(line["t"] * truth["rate"]): [face["box"] for face in line["faces"]] for line in lines})
    score.costs += [line["find_ms"] for line in lines[1:]]
    score.searched += sum(line["searched"] for line in lines)


def look(engine, video, every, truth, score):
    """Another detector over some frames of one room."""
    seen = {}
    for tick, frame in rooms.read(video, every):
        began = time.process_time()
        seen[tick] = engine.boxes(frame).tolist()
        score.costs.append(1000 * (time.process_time() - began))
    score.room(truth, seen)


def measure(options, work, wanted):
    """One set: what each program found, and at what cost."""
    face, size = wanted.split("@")
    face, size = int(face), rooms.size_of(size)
    min_face = options.min_face or min(22, round(.8 * face))
    paths = rooms.draw_all(options.clips, work, size, face, options.rate, options.seconds, options.seed, options.most)
    ours, others, scores = Score(GRACE), {}, {}
    if not options.alone:
        others = {"facenet": peers.Facenet(min_face), "onnxruntime": peers.Onnxruntime(min_face), "mediapipe": peers.Mediapipe()}
        scores = {name: Score(0) for name in others}
        for _, frame in rooms.read(paths[0], 10 ** 6):
            for engine in others.values():
                engine.boxes(frame)
    for path in paths:
        with open(path[:-4] + ".json") as file:
            truth = json.load(file)
        room = Score(GRACE)
        watch(options.lectern, path, min_face, truth, room)
        ours.add(room)
        if options.each:
            one = room.numbers()
            print(f"  {truth['clip']:8} found {one['found']:6.1%} of {one['due']}   false {one['false']:6.2%}   shirt {one['shirt']:6.2%}   "
                  f"find {one['find_ms']:6.2f} ms   newcomers {room.newcomers}, missed {room.missed}   due and not found at {room.lost}")
        for name, engine in others.items():
            look(engine, path, options.every, truth, scores[name])
    print(f"\n{face} px in {size[0]}x{size[1]}: {len(paths)} rooms, {ours.frames} frames, smallest face {min_face} px")
    numbers = {"lectern": ours.numbers(), **{name: score.numbers() for name, score in scores.items()}}
    for name, one in numbers.items():
        print(f"  {name:12} found {one['found']:6.1%} of {one['due']}   false {one['false']:6.2%}   shirt {one['shirt']:6.2%} of {one['frames']}"
              f"   find {one['find_ms']:8.2f} ms   worst {one['worst_ms']:8.2f} ms")
    times = sorted(ours.newcomers)
    told = f"{statistics.median(times):.1f} s, at most {times[-1]:.1f} s" if times else "none found"
    print(f"  newcomer {told}, missed {ours.missed} of {len(times) + ours.missed}; found elsewhere {numbers['lectern']['elsewhere']:.1%}; "
          f"{numbers['lectern']['breaks']} breaks, wrong {numbers['lectern']['wrong']:.2%}; "
          f"searched {ours.searched / ours.frames:.1%} of the frames")
    result = {"set": wanted, "rooms": len(paths), "min_face": min_face, "newcomers": times, "missed": ours.missed,
              "searched": ours.searched / ours.frames, **numbers}
    for name in scores:
        result[f"find_{name}"] = numbers[name]["find_ms"] / max(numbers["lectern"]["find_ms"], 1e-9)
        print(f"  finding is {result[f'find_{name}']:.2f} times cheaper than {name}'s full search  (find_{name})")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, help="folder of the ten clips")
    parser.add_argument("--lectern", required=True, metavar="BINARY")
    parser.add_argument("--work", metavar="DIR", help="keep the rooms there for the next time")
    parser.add_argument("--set", action="append", dest="sets", metavar="FACE@WIDTHxHEIGHT")
    parser.add_argument("--quick", action="store_true", help="two rooms a set, two sets")
    parser.add_argument("--most", type=int, metavar="N", help="only so many rooms a set")
    parser.add_argument("--min-face", type=int, metavar="PX")
    parser.add_argument("--rate", type=float, default=2.0, metavar="HZ")
    parser.add_argument("--seconds", type=float, default=rooms.SECONDS, help="length of a room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, metavar="N", help="the others see each so many frames [default: 5, quick: 12]")
    parser.add_argument("--each", action="store_true", help="also tell of each room, and of each second in which its face was lost")
    parser.add_argument("--alone", action="store_true", help="without the others")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument("--floor", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--ceiling", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        options.most = options.most or 2
    options.every = options.every or (12 if options.quick else 5)
    sets = options.sets or (QUICK if options.quick else SETS)
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(options, options.work or folder, wanted) for wanted in sets]
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    bad = []
    for limits, sign in ((options.floor, 1), (options.ceiling, -1)):
        for limit in limits:
            name, value = limit.split("=")
            for result in results:
                reached = result["lectern"].get(name, result.get(name))
                if reached is None or sign * reached < sign * float(value):
                    bad.append(f"{result['set']}: {name} is {reached}, not {value}")
    if bad:
        print("reach: " + "; ".join(bad), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
