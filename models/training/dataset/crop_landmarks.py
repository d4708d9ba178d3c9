"""Where the landmarks lie in a FER-2013 crop: the framing that the classifier is trained on.

    LECTERN_DATA=... python -m dataset.crop_landmarks [--images 4000]

Takes every n-th picture of FER2013Train, enlarges it from 48 to 192 pixels (bicubic), repeats its border pixels for
96 more on each side (a FER crop often cuts chin and hair, and MTCNN wants to see around a face), runs the original
MTCNN of facenet-pytorch 2.6.0 and keeps the pictures with a face of probability .95 or more whose box is centred
inside the crop. Prints, as TOML comments and lines, the medians over those pictures as fractions of the crop's side:
(0, 0) is the crop's top left corner, (1, 1) its bottom right one. Left and right are averaged with their mirror
images, so the template is symmetric; the unmirrored medians are printed beside. Needs facenet-pytorch, torch, Pillow
and numpy.
"""

import argparse
import io
import os
import sys
import tarfile

import numpy as np
from PIL import Image

from detector.reference_mtcnn import Original

CROP, BORDER = 192, 96
NAMES = ["left eye in the image", "right eye", "nose", "left mouth corner", "right mouth corner"]
MIRROR = [1, 0, 2, 4, 3]


def pictures(archive, count):
    with tarfile.open(archive) as tar:
        names = sorted(n for n in tar.getnames() if n.startswith("FER2013Train/") and n.endswith(".png"))
        step = max(1, len(names) // count)
        chosen = set(names[::step][:count])
        for member in tar:
            if member.name in chosen:
                yield Image.open(io.BytesIO(tar.extractfile(member).read())).convert("L")


def place(detector, picture, probability):
    """Landmarks [5, 2] and box [x, y, w, h] as fractions of the crop's side, or None."""
    gray = np.asarray(picture.resize((CROP, CROP), Image.Resampling.BICUBIC))
    gray = np.pad(gray, BORDER, mode="edge")
    faces = detector.detect(np.repeat(gray[:, :, None], 3, axis=2), min_face=80)["faces"]
    if not faces or faces[0]["score"] < probability:
        return None
    x1, y1, x2, y2 = (np.array(faces[0]["box"]) - BORDER) / CROP
    if not (0 < (x1 + x2) / 2 < 1 and 0 < (y1 + y2) / 2 < 1):
        return None
    return (np.array(faces[0]["landmarks"]) - BORDER) / CROP, [x1, y1, x2 - x1, y2 - y1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--probability", type=float, default=0.95)
    options = parser.parse_args()
    data = os.environ.get("LECTERN_DATA")
    if not data:
        sys.exit("skipped: LECTERN_DATA is not set")

    detector, tried, points, boxes = Original(), 0, [], []
    for picture in pictures(os.path.join(data, "fer2013plus", "images.tar"), options.images):
        tried += 1
        found = place(detector, picture, options.probability)
        if found:
            points.append(found[0])
            boxes.append(found[1])
        if tried % 500 == 0:
            print(f"{tried} tried, {len(points)} kept", file=sys.stderr)
    points, boxes = np.array(points), np.array(boxes)

    flipped = points[:, MIRROR] * [-1, 1] + [1, 0]
    template = np.median(np.concatenate([points, flipped]), axis=0)
    template[2, 0] = 0.5
    print(f"# FER-2013 framing, by crop_landmarks.py: {len(points)} of {tried} pictures with a face of probability "
          f"{options.probability} or more")
    for name, plain, quarter, three in zip(NAMES, np.median(points, axis=0), *np.percentile(points, [25, 75], axis=0)):
        print(f"# {name}: median ({plain[0]:.4f}, {plain[1]:.4f}), quartiles x {quarter[0]:.4f} to {three[0]:.4f}, "
              f"y {quarter[1]:.4f} to {three[1]:.4f}")
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    tilt = np.degrees(np.arctan2(*(points[:, 1] - points[:, 0]).T[::-1]))
    for name, values in [
        ("distance of the eyes", np.linalg.norm(points[:, 1] - points[:, 0], axis=1)),
        ("height from eyes to mouth", mouth[:, 1] - eyes[:, 1]),
        ("tilt of the eyes, degrees", tilt),
        ("box width", boxes[:, 2]), ("box height", boxes[:, 3]),
        ("box centre x", boxes[:, 0] + boxes[:, 2] / 2), ("box centre y", boxes[:, 1] + boxes[:, 3] / 2),
        ("crop side over box height", 1 / boxes[:, 3]),
        ("crop centre below box centre, in box heights", (0.5 - boxes[:, 1] - boxes[:, 3] / 2) / boxes[:, 3]),
    ]:
        quarter, middle, three = np.percentile(values, [25, 50, 75])
        print(f"# {name}: median {middle:.4f}, quartiles {quarter:.4f} to {three:.4f}")
    print("landmarks = [" + ", ".join(f"[{x:.4f}, {y:.4f}]" for x, y in template) + "]")


if __name__ == "__main__":
    main()
