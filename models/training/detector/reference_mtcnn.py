"""Reference detections of the original MTCNN (facenet-pytorch 2.6.0), and the same cascade over our ONNX files.

    python -m detector.reference_mtcnn write                  # tests/fixtures/portrait.json, from the original
    python -m detector.reference_mtcnn verify                 # our ONNX files in the cascade below against it
    python -m detector.reference_mtcnn detect IMAGE… >out     # JSON lines like `lectern eval detect`, our files
    python -m detector.reference_mtcnn detect --original …    # the same, from facenet-pytorch

`Cascade` below needs numpy and onnxruntime only, and is the specification in code: with f32 files it gives the
original's boxes to within rounding (`verify` prints how far). What one must do exactly as it does:

PYRAMID
 1. In f64: scale = 12/min_face; side = min(h, w)*scale; while side >= 12: keep scale; scale *= factor; side *= factor.
 2. A level is int(h*scale + 1) by int(w*scale + 1), truncated, product and sum in f64 (400*0.3 + 1 = 121).
 3. Each level is resampled from the full image, never from the level before, by averaging ("area", which is adaptive
    average pooling): output i takes the inputs from floor(i*in/out) up to, not including, ceil((i+1)*in/out), in
    integers, on rows and on columns. Neighbouring windows overlap by a pixel where in/out is not whole. The windows are
    the same for enlarging (then they have one or two pixels). No rounding to 8 bits.

P-NET
 4. A cell is kept where probability >= threshold (here inclusive; R-Net and O-Net: exclusive).
 5. Box of cell (row r, column c), everything in f32: x1 = floor((2c + 1)/scale), y1 = floor((2r + 1)/scale),
    x2 = floor((2c + 12)/scale), y2 = floor((2r + 12)/scale). The division must be f32 by f32: 2c + 1 = 3 over scale 0.3
    is 10 in f32 and in f64, but f32 numerator over f64 of the f32 scale would give 9.
 6. Non-maximum suppression by union within a level at IoU > .5, on these unregressed boxes, then over all levels at
    IoU > .7, still on the unregressed boxes.
 7. Regression: x1 + dx1*(x2 - x1), y1 + dy1*(y2 - y1), x2 + dx2*(x2 - x1), y2 + dy2*(y2 - y1): width WITHOUT + 1.
 8. Square: side l = max(w, h) with w = x2 - x1 and h = y2 - y1; x1 += w/2 - l/2, y1 += h/2 - l/2; x2 = x1 + l,
    y2 = y1 + l.

CUT for R-Net and O-Net
 9. Truncate the four numbers towards zero (not floor). Then x1, y1 at least 1, x2 at most the image's width, y2 at most
    its height. The cut is columns x1 - 1 up to, not including, x2, rows likewise: coordinates count from 1. It is NOT
    filled to a square again: at the border it is narrower, and the resampling (as in 3) stretches it. The box itself
    keeps its unclipped f32 numbers.
10. An empty cut (x2 <= x1 - 1 or y2 <= y1 - 1) makes the original fail; drop such a box.

R-NET
11. Keep probability > threshold. Suppression by union at IoU > .7 on the squared boxes as they were cut (f32, before
    regression), with R-Net's scores. Then regression as in 7 but with w = x2 - x1 + 1 and h = y2 - y1 + 1. Then square
    as in 8 (without + 1).

O-NET
12. Keep probability > threshold. Landmarks from the squared box before O-Net's regression:
    X = (x2 - x1 + 1)*x + x1 - 1, Y = (y2 - y1 + 1)*y + y1 - 1.
13. Regression with + 1 as in 11. The result is not squared and not clipped to the image.
14. Then suppression by the SMALLER area ("Min") at > .7 on the regressed boxes, and here with + 1: area is
    (x2 - x1 + 1)*(y2 - y1 + 1), intersection likewise (max(0, … + 1)), overlap = intersection/min(area, area).

SUPPRESSION in 6 and 11 is torchvision's: area (x2 - x1)*(y2 - y1), no + 1, intersection max(0, …) without + 1,
removed where overlap > threshold (equal stays), by descending score. 14 is facenet-pytorch's own in numpy. In both the
better score wins; order of equal scores is not defined by the original. The result is in descending order of score.
"""

import argparse
import hashlib
import json
import math
import os
import sys

import numpy as np
from PIL import Image

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
THRESHOLDS = [0.6, 0.7, 0.7]
FACTOR = 0.709
f32 = np.float32


# The cascade over our ONNX files


def resample(image, height, width):
    """Area resampling of [rows, columns, channels] f32 by adaptive windows (rule 3)."""

    def along(array, size):
        length = len(array)
        starts = [i * length // size for i in range(size)]
        ends = [-(-(i + 1) * length // size) for i in range(size)]
        sums = np.concatenate([np.zeros_like(array[:1], dtype=np.float64), np.cumsum(array, axis=0, dtype=np.float64)])
        count = np.subtract(ends, starts).reshape(-1, 1, 1)
        return (sums[ends] - sums[starts]) / count

    rows = along(image, height)
    return along(rows.transpose(1, 0, 2), width).transpose(1, 0, 2).astype(f32)


def suppress(boxes, scores, threshold, smaller=False):
    """Indices that survive, best score first. `smaller`: overlap over the smaller area, with + 1 (rule 14)."""
    one = f32(1 if smaller else 0)
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + one) * (y2 - y1 + one)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        width = np.maximum(0, np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order]) + one)
        height = np.maximum(0, np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order]) + one)
        both = width * height
        whole = np.minimum(areas[best], areas[order]) if smaller else areas[best] + areas[order] - both
        order = order[both / whole <= f32(threshold)]
    return np.array(kept, dtype=int)


def regress(boxes, offsets, one):
    width = boxes[:, 2] - boxes[:, 0] + f32(one)
    height = boxes[:, 3] - boxes[:, 1] + f32(one)
    return boxes + offsets * np.stack([width, height, width, height], axis=1)


def square(boxes):
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    x1 = boxes[:, 0] + width * f32(0.5) - side * f32(0.5)
    y1 = boxes[:, 1] + height * f32(0.5) - side * f32(0.5)
    return np.stack([x1, y1, x1 + side, y1 + side], axis=1)


def cut(image, box, side):
    """The resampled cut, or None where it is empty (rules 9 and 10)."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(value) for value in box)
    x1, y1, x2, y2 = max(x1, 1), max(y1, 1), min(x2, width), min(y2, height)
    if x2 <= x1 - 1 or y2 <= y1 - 1:
        return None
    return resample(image[y1 - 1:y2, x1 - 1:x2], side, side)


def probability(logit):
    return 1 / (1 + np.exp(-logit.astype(np.float64)))


class Cascade:
    def __init__(self, folder):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.nets = {name: onnxruntime.InferenceSession(os.path.join(folder, f"{name}.onnx"), options,
                                                        providers=["CPUExecutionProvider"])
                     for name in ("pnet", "rnet", "onet")}

    def run(self, name, image):
        session = self.nets[name]
        return session.run(None, {session.get_inputs()[0].name: image.transpose(2, 0, 1)[None]})[0][0]

    def propose(self, image, min_face, factor, threshold):
        height, width = image.shape[:2]
        scale, found = 12.0 / min_face, []
        side = min(height, width) * scale
        while side >= 12:
            cells = self.run("pnet", resample(image, int(height * scale + 1), int(width * scale + 1)))
            rows, columns = np.nonzero(cells[0] >= math.log(threshold / (1 - threshold)))
            corner = np.stack([columns, rows], axis=1).astype(f32) * 2
            boxes = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / f32(scale))
            kept = suppress(boxes, cells[0, rows, columns], 0.5)
            found.append((boxes[kept], cells[0, rows, columns][kept], cells[1:, rows, columns].T[kept]))
            scale, side = scale * factor, side * factor
        if not found:
            return np.zeros((0, 4), f32)
        boxes, scores, offsets = (np.concatenate(part) for part in zip(*found))
        kept = suppress(boxes, scores, 0.7)
        return square(regress(boxes[kept], offsets[kept], 0))

    def look(self, name, image, boxes, side, threshold):
        """Boxes that pass, and their heads."""
        passed, heads = [], []
        for box in boxes:
            face = cut(image, box, side)
            if face is None:
                continue
            head = self.run(name, face)
            if head[0] > math.log(threshold / (1 - threshold)):
                passed.append(box)
                heads.append(head)
        length = 5 if name == "rnet" else 15
        return np.array(passed, f32).reshape(-1, 4), np.array(heads, f32).reshape(-1, length)

    def detect(self, picture, min_face, factor=FACTOR, thresholds=THRESHOLDS):
        """Faces of an RGB picture [h, w, 3], best first."""
        image = picture.astype(f32)
        proposals = self.propose(image, min_face, factor, thresholds[0])
        boxes, heads = self.look("rnet", image, proposals, 24, thresholds[1])
        kept = suppress(boxes, heads[:, 0], 0.7)
        refined = square(regress(boxes[kept], heads[kept, 1:5], 1))
        boxes, heads = self.look("onet", image, refined, 48, thresholds[2])
        size = (boxes[:, 2:] - boxes[:, :2] + f32(1))[:, None]
        landmarks = heads[:, 5:].reshape(-1, 2, 5).transpose(0, 2, 1) * size + boxes[:, None, :2] - f32(1)
        boxes = regress(boxes, heads[:, 1:5], 1)
        kept = suppress(boxes, heads[:, 0], 0.7, smaller=True)
        return {
            "candidates": {"rnet": len(proposals), "onet": len(refined)},
            "faces": [as_face(boxes[i], probability(heads[i, 0]), landmarks[i]) for i in kept],
        }


def as_face(box, score, landmarks):
    def plain(values):
        return [round(float(value), 4) for value in values]

    return {"box": plain(box), "score": round(float(score), 7), "landmarks": [plain(point) for point in landmarks]}


# The original


class Original:
    def __init__(self):
        import torch
        from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

        torch.set_num_threads(1)
        self.nets = {"pnet": PNet().eval(), "rnet": RNet().eval(), "onet": ONet().eval()}
        self.count = {}
        for name in ("rnet", "onet"):
            self.nets[name].register_forward_pre_hook(lambda _, inputs, name=name: self.add(name, len(inputs[0])))

    def add(self, name, number):
        self.count[name] = self.count.get(name, 0) + number

    def detect(self, picture, min_face, factor=FACTOR, thresholds=THRESHOLDS):
        import torch
        from facenet_pytorch.models.utils.detect_face import detect_face

        self.count = {"rnet": 0, "onet": 0}
        with torch.no_grad():
            boxes, points = detect_face(picture, min_face, self.nets["pnet"], self.nets["rnet"], self.nets["onet"],
                                        thresholds, factor, torch.device("cpu"))
        faces = [as_face(box[:4], box[4], landmarks) for box, landmarks in zip(boxes[0], points[0])]
        return {"candidates": dict(self.count), "faces": faces}


# The scenes of tests/fixtures/portrait.json


def halve(picture):
    """Mean of each 2x2 block in integers, (a + b + c + d + 2) >> 2."""
    blocks = picture.astype(np.uint16)
    total = blocks[0::2, 0::2] + blocks[0::2, 1::2] + blocks[1::2, 0::2] + blocks[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def compose(portrait, canvas):
    picture = np.full((canvas["height"], canvas["width"], 3), canvas["gray"], np.uint8)
    for paste in canvas["pastes"]:
        patch = portrait
        for _ in range(paste["halvings"]):
            patch = halve(patch)
        height, width = patch.shape[:2]
        picture[paste["y"]:paste["y"] + height, paste["x"]:paste["x"] + width] = patch
    return picture


def scenes():
    alone = {"width": 400, "height": 400, "gray": 0, "pastes": [{"halvings": 0, "x": 0, "y": 0}]}
    group = {"width": 640, "height": 480, "gray": 128, "pastes": [
        {"halvings": 0, "x": 8, "y": 40},
        {"halvings": 1, "x": 424, "y": 16},
        {"halvings": 2, "x": 500, "y": 340},
    ]}
    # The face's box is cut by the left and upper border: tests how cuts at the border are made.
    border = {"width": 400, "height": 400, "gray": 0, "pastes": [{"halvings": 0, "x": 0, "y": 0}], "crop": [140, 60]}
    for name, canvas in (("portrait", alone), ("group", group), ("border", border)):
        for min_face in (40, 20):
            yield {"name": f"{name}-{min_face}", "min_face": min_face, "canvas": canvas}


def pixels(portrait, canvas):
    left, top = canvas.get("crop", [0, 0])
    return np.ascontiguousarray(compose(portrait, canvas)[top:, left:])


def write(options):
    portrait = np.asarray(Image.open(options.portrait).convert("RGB"))
    original, out = Original(), []
    for scene in scenes():
        picture = pixels(portrait, scene["canvas"])
        scene["rgb_sha256"] = hashlib.sha256(picture.tobytes()).hexdigest()
        scene.update(original.detect(picture, scene["min_face"]))
        out.append(scene)
        print(f"{scene['name']}: {len(scene['faces'])} faces, candidates {scene['candidates']}", file=sys.stderr)
    lines = ",\n  ".join(json.dumps(scene) for scene in out)
    head = json.dumps({"source": "facenet-pytorch 2.6.0, detect_face on torch 2.2.2, written by reference_mtcnn.py",
                       "factor": FACTOR, "thresholds": THRESHOLDS})
    with open(options.reference, "w") as file:
        file.write(f"{head[:-1]}, \"scenes\": [\n  {lines}\n]}}\n")


def verify(options):
    """Largest differences between our files in `Cascade` and the written reference; fails where a face is lost."""
    portrait = np.asarray(Image.open(options.portrait).convert("RGB"))
    cascade, wrong = Cascade(options.models), False
    with open(options.reference) as file:
        reference = json.load(file)
    for scene in reference["scenes"]:
        got = cascade.detect(pixels(portrait, scene["canvas"]), scene["min_face"])
        line = f"{scene['name']}: candidates {scene['candidates']} -> {got['candidates']}, faces {len(got['faces'])}"
        if len(got["faces"]) != len(scene["faces"]):
            wrong = True
            print(f"{line}, expected {len(scene['faces'])}")
            continue
        worst = {"box": 0.0, "score": 0.0, "landmarks": 0.0}
        for want in scene["faces"]:
            have = min(got["faces"], key=lambda face: np.abs(np.subtract(face["box"], want["box"])).max())
            for key in worst:
                worst[key] = max(worst[key], float(np.abs(np.subtract(have[key], want[key])).max()))
        print(line + "".join(f", {key} {value:.2g}" for key, value in worst.items()))
    sys.exit(1 if wrong else 0)


def detect(options):
    detector = Original() if options.original else Cascade(options.models)
    for path in options.images:
        image = Image.open(path).convert("RGB")
        scale = 640 / max(image.size)
        size = tuple(max(1, round(side * scale)) for side in image.size)
        picture = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        across, down = image.size[0] / size[0], image.size[1] / size[1]
        faces = []
        for face in detector.detect(picture, options.min_face)["faces"]:
            x1, y1, x2, y2 = face["box"]
            faces.append({"x": x1 * across, "y": y1 * down, "w": (x2 - x1) * across, "h": (y2 - y1) * down,
                          "score": face["score"], "landmarks": [[x * across, y * down] for x, y in face["landmarks"]]})
        print(json.dumps({"file": path, "faces": faces}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portrait", default=os.path.join(FIXTURES, "portrait.png"))
    parser.add_argument("--reference", default=os.path.join(FIXTURES, "portrait.json"))
    parser.add_argument("--models", default=os.path.join(ROOT, "models"), help="folder of the .onnx files")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").set_defaults(act=write)
    commands.add_parser("verify").set_defaults(act=verify)
    command = commands.add_parser("detect")
    command.add_argument("--original", action="store_true")
    command.add_argument("--min-face", type=float, default=40)
    command.add_argument("images", nargs="+", metavar="IMAGE")
    command.set_defaults(act=detect)
    options = parser.parse_args()
    options.act(options)


if __name__ == "__main__":
    main()
