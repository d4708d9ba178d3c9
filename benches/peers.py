#!/usr/bin/env python3
"""What finding a face costs, side by side in one run: facenet-pytorch, onnxruntime, MediaPipe and Lectern.

    python benches/peers.py --clips "$LECTERN_DATA/clips" --lectern target/debug/lectern

Needs benches/requirements.txt (torch, facenet-pytorch, onnxruntime, numpy, mediapipe) and ffmpeg. Each of the clips is seen twice a
second at 640x480, smallest face 60 px. One thread, CPU time (user and system) of the process; decoding and the
classifier are left out on every side.

- facenet: `detect_face` of facenet-pytorch, a full search on every frame;
- onnxruntime: the same cascade over our ONNX files, a full search on every frame: levels resampled by torch's area
  interpolation as facenet-pytorch does, candidates one by one, which is the shape of these files;
- mediapipe: the full-range detector of MediaPipe (BlazeFace, faces up to 5 m), on every frame;
- lectern: `find_ms` of `lectern bench --json`, tracking or searching;
- lectern search: `find_ms` of `lectern eval track --search`, a search for the largest face on every frame.

A search of ours on every frame costs more than MediaPipe's, and finds more (benches/reach.py, and the model card on photographs): what makes finding
cheap is that it follows.

The engines take turns; a round's figure is the mean over the frames of all clips, and what is printed is the median of the
rounds and of their ratios. `--floor find_facenet=10` and the like make the exit code 1 below a ratio: find_facenet, find_onnxruntime,
find_mediapipe (finding), search_mediapipe (a search on each frame against MediaPipe's), frame_facenet (Lectern's whole frame, decoding and classifier included, against facenet's finding).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import onnxruntime
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import detect_face

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "models", "training"))
from detector.reference_mtcnn import FACTOR, regress, square, suppress

SMALLEST, THRESHOLDS, WIDTH, HEIGHT = 60, [0.6, 0.7, 0.7], 640, 480
f32 = np.float32


def frames_of(clip):
    """The frames that `lectern bench` analyses, as [n, 480, 640, 3] bytes."""
    # As crates/vision/src/camera/timeline.rs: the last one at or before a tick.
    filters = f"settb=1/1000000,setpts=PTS-499,fps=2:round=up:start_time=0,scale={WIDTH}:{HEIGHT}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", clip, "-vf", filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


class Facenet:
    def __init__(self, smallest=SMALLEST):
        self.nets = [net().eval() for net in (PNet, RNet, ONet)]
        self.smallest = smallest

    def boxes(self, frame):
        """The faces of one frame, as rows of x1, y1, x2, y2."""
        with torch.no_grad():
            found = detect_face(frame, self.smallest, *self.nets, THRESHOLDS, FACTOR, torch.device("cpu"))[0][0]
        return np.asarray(found, f32).reshape(-1, 5)[:, :4]


class Mediapipe:
    """MediaPipe's full-range detector with its defaults. It has one input size, and no smallest face."""

    def __init__(self):
        from mediapipe.python.solutions.face_detection import FaceDetection

        self.detector = FaceDetection(model_selection=1, min_detection_confidence=.5)

    def boxes(self, frame):
        """The faces of one frame, as rows of x1, y1, x2, y2."""
        height, width = frame.shape[:2]
        found = self.detector.process(frame).detections or []
        boxes = [one.location_data.relative_bounding_box for one in found]
        rows = [[b.xmin * width, b.ymin * height, (b.xmin + b.width) * width, (b.ymin + b.height) * height] for b in boxes]
        return np.asarray(rows, f32).reshape(-1, 4)


def logit(probability):
    return float(np.log(probability / (1 - probability)))


class Onnxruntime:
    """The cascade of models/training/detector/reference_mtcnn.py, with nothing done slower than it must be."""

    def __init__(self, smallest=SMALLEST):
        self.smallest = smallest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.nets = [onnxruntime.InferenceSession(os.path.join(ROOT, "models", f"{name}.onnx"), options,
                                                  providers=["CPUExecutionProvider"]) for name in ("pnet", "rnet", "onet")]
        self.names = [net.get_inputs()[0].name for net in self.nets]

    def run(self, stage, batch):
        return self.nets[stage].run(None, {self.names[stage]: batch})[0]

    def look(self, stage, image, boxes, side):
        (height, width), cuts, kept = image.shape[2:], [], []
        for index, box in enumerate(boxes):
            x1, y1, x2, y2 = (int(value) for value in box)
            x1, y1, x2, y2 = max(x1, 1), max(y1, 1), min(x2, width), min(y2, height)
            if x2 > x1 - 1 and y2 > y1 - 1:
                cut = image[:, :, y1 - 1:y2, x1 - 1:x2]
                cuts.append(torch.nn.functional.interpolate(cut, (side, side), mode="area"))
                kept.append(index)
        if not cuts:
            return np.zeros((0, 4), f32), np.zeros((0, 15), f32)
        heads = np.concatenate([self.run(stage, cut.numpy()) for cut in cuts])
        passed = heads[:, 0] > logit(THRESHOLDS[stage])
        return boxes[kept][passed], heads[passed]

    def boxes(self, frame):
        """The faces of one frame, as rows of x1, y1, x2, y2."""
        height, width = frame.shape[:2]
        image = torch.from_numpy(frame.transpose(2, 0, 1)[None].astype(f32))
        scale, found = 12.0 / self.smallest, []
        side = min(height, width) * scale
        while side >= 12:
            level = torch.nn.functional.interpolate(image, (int(height * scale + 1), int(width * scale + 1)), mode="area")
            cells = self.run(0, level.numpy())[0]
            rows, columns = np.nonzero(cells[0] >= logit(THRESHOLDS[0]))
            corner = np.stack([columns, rows], axis=1).astype(f32) * 2
            boxes = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / f32(scale))
            kept = suppress(boxes, cells[0, rows, columns], 0.5)
            found.append((boxes[kept], cells[0, rows, columns][kept], cells[1:, rows, columns].T[kept]))
            scale, side = scale * FACTOR, side * FACTOR
        boxes, scores, offsets = (np.concatenate(part) for part in zip(*found))
        kept = suppress(boxes, scores, 0.7)
        boxes, heads = self.look(1, image, square(regress(boxes[kept], offsets[kept], 0)), 24)
        kept = suppress(boxes, heads[:, 0], 0.7)
        boxes, heads = self.look(2, image, square(regress(boxes[kept], heads[kept, 1:5], 1)), 48)
        boxes = regress(boxes, heads[:, 1:5], 1)
        return boxes[suppress(boxes, heads[:, 0], 0.7, smaller=True)]


def cost(engine, clips):
    """Mean milliseconds of CPU time a frame, and in how many of the frames a face was found."""
    began, found = time.process_time(), 0
    for frames in clips.values():
        found += sum(len(engine.boxes(frame)) > 0 for frame in frames)
    return 1000 * (time.process_time() - began) / sum(map(len, clips.values())), found


def lectern(binary, clips):
    """Means over all frames of what `lectern bench` says of each clip."""
    total = {}
    for clip in clips:
        done = subprocess.run([binary, "bench", "--json", "--min-face", str(SMALLEST), "--clip", clip], stdout=subprocess.PIPE, check=True)
        report = json.loads(done.stdout)
        values = dict(report["stages"], frame_ms=report["frame_ms"])
        total["frames"] = total.get("frames", 0) + report["frames"]
        total["found"] = total.get("found", 0) + report["found"]
        for key, value in values.items():
            total[key] = total.get(key, 0.0) + value * report["frames"]
    return {key: value if key in ("frames", "found") else value / total["frames"] for key, value in total.items()}


def lectern_search(binary, clips):
    """Mean milliseconds of a search on each frame, and in how many a face was found."""
    lines = []
    for clip in clips:
        command = [binary, "eval", "track", "--search", "--min-face", str(SMALLEST), clip]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        # The first frame of a process makes the plans.
        lines += [json.loads(line) for line in done.stdout.splitlines()][1:]
    return statistics.mean(line["find_ms"] for line in lines), sum(bool(line["faces"]) for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, help="folder of videos, or one video")
    parser.add_argument("--lectern", required=True, metavar="BINARY")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--floor", action="append", default=[], metavar="RATIO=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)

    paths = [options.clips]
    if os.path.isdir(options.clips):
        names = sorted(name for name in os.listdir(options.clips) if name.endswith((".mkv", ".mp4")))
        paths = [os.path.join(options.clips, name) for name in names]
    clips = {path: frames_of(path) for path in paths}
    facenet, ort, mediapipe = Facenet(), Onnxruntime(), Mediapipe()
    for engine in (facenet, ort, mediapipe):
        engine.boxes(next(iter(clips.values()))[0])
    rounds, found = [], {}
    for _ in range(options.rounds):
        one = {}
        one["facenet"], found["facenet"] = cost(facenet, clips)
        one["onnxruntime"], found["onnxruntime"] = cost(ort, clips)
        one["mediapipe"], found["mediapipe"] = cost(mediapipe, clips)
        one["search"], found["search"] = lectern_search(options.lectern, clips)
        ours = lectern(options.lectern, clips)
        found["lectern"] = ours["found"]
        one.update({f"lectern {key[:-3]}": value for key, value in ours.items() if key.endswith("_ms")})
        one["find_facenet"] = one["facenet"] / ours["find_ms"]
        one["find_onnxruntime"] = one["onnxruntime"] / ours["find_ms"]
        one["find_mediapipe"] = one["mediapipe"] / ours["find_ms"]
        one["search_mediapipe"] = one["search"] / one["mediapipe"]
        one["frame_facenet"] = one["facenet"] / ours["frame_ms"]
        rounds.append(one)
    median = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    frames = sum(map(len, clips.values()))
    print(f"{len(clips)} clips, {frames} frames, {options.rounds} rounds, one thread, CPU time, medians")
    for key in ("facenet", "onnxruntime", "mediapipe", "search", "lectern find", "lectern frame", "lectern decode", "lectern align", "lectern classify"):
        also = f"   a face in {found[key.split()[0]]} frames" if key.split()[-1] in ("facenet", "onnxruntime", "mediapipe", "search", "find") else ""
        print(f"{key:20} {median[key]:8.3f} ms a frame{also}")
    for key, said in (("find_facenet", "finding is cheaper than facenet-pytorch's by"),
                      ("find_onnxruntime", "finding is cheaper than onnxruntime's full search by"),
                      ("find_mediapipe", "finding is cheaper than MediaPipe's by"),
                      ("search_mediapipe", "a search on each frame costs more than MediaPipe's by"),
                      ("frame_facenet", "the whole frame is cheaper than facenet-pytorch's finding by")):
        print(f"{said:62} {median[key]:6.2f} times  ({key})")
    below = [floor for floor in options.floor if median[floor.split("=")[0]] < float(floor.split("=")[1])]
    if below:
        print(f"peers: below {', '.join(below)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
