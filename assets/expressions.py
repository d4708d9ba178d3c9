#!/usr/bin/env python3
"""Draws the expressions of `lectern demo` over the face of assets/portrait.jpg: brows, eyes, mouth and folds.

    python3 assets/expressions.py      (needs numpy 2.4 and Pillow 12; writes assets/expressions.jpg)

The tiles stand side by side in the order of EXPRESSIONS, which is that of `Tile` in src/commands/demo/lecture.rs. The numbers were
found by random search for what the shipped classifier names so: they show that the program reacts, not that it is right.
"""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FOLDER = pathlib.Path(__file__).parent
LEFT, TOP, SIDE = 168, 56, 112  # of a tile, in pixels of the portrait
SCALE = 4  # drawn larger, then averaged

# In pixels of the portrait, y downwards. inner, outer: ends of the brows; arch: their middle; brow: their thickness; eye: height of
# the eyes; mouth: its row; width: half of it; corner: its corners; opening; teeth: part of the opening; fold: darkness of the folds.
EXPRESSIONS = {
    "neutral": dict(inner=4.2, outer=2.3, arch=-0.1, brow=2.9, eye=0.9, mouth=143.4, width=10.1, corner=6.9, opening=4.7, teeth=0, fold=0),
    "happy_weak": dict(inner=0.7, outer=5.8, arch=-6.3, brow=1.9, eye=1.2, mouth=143.2, width=16.0, corner=-2.7, opening=0, teeth=0, fold=0),
    "surprise_weak": dict(inner=6.3, outer=0.1, arch=-6.0, brow=2.4, eye=1.5, mouth=141.7, width=15.3, corner=3.0, opening=9, teeth=0, fold=0),
    "surprise_strong": dict(inner=-4.1, outer=-2.0, arch=-8.6, brow=1.6, eye=1.2, mouth=150.9, width=10.6, corner=2.0, opening=15.8, teeth=0, fold=0.2),
    "sad_weak": dict(inner=-1.9, outer=4.9, arch=-1.0, brow=2.7, eye=1.1, mouth=145.0, width=11.2, corner=2.8, opening=1.2, teeth=0, fold=0),
    "sad_strong": dict(inner=-4.7, outer=5.2, arch=4.4, brow=3.2, eye=0.7, mouth=147.9, width=15.0, corner=5.3, opening=2.0, teeth=0.9, fold=2.3),
    "angry_strong": dict(inner=8.6, outer=-0.4, arch=0.6, brow=3.0, eye=1.5, mouth=147.2, width=12.3, corner=1.8, opening=14.9, teeth=0.9, fold=2.5),
    "fear_strong": dict(inner=-2.5, outer=2.1, arch=3.2, brow=3.2, eye=1.5, mouth=147.8, width=18.8, corner=2.2, opening=8.9, teeth=0.9, fold=2.5),
}


def erased(pixels, centre, radii, rows):
    """An ellipse is replaced by a blend of the skin at its ends, along rows or columns."""
    if not rows:
        return erased(pixels.transpose(1, 0, 2), centre[::-1], radii[::-1], True).transpose(1, 0, 2)
    (cx, cy), (rx, ry) = centre, radii
    filled = pixels.copy()
    for y in range(int(cy - ry), int(cy + ry) + 1):
        rest = 1 - ((y - cy) / ry) ** 2
        if rest > 0:
            left, right = int(cx - rx * rest**0.5), int(cx + rx * rest**0.5) + 1
            part = np.linspace(0, 1, right - left + 1)[:, None]
            ends = pixels[y, left - 2 : left + 1].mean(0), pixels[y, right : right + 3].mean(0)
            filled[y, left : right + 1] = (1 - part) * ends[0] + part * ends[1]
    yy, xx = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    inside = ((xx - cx) / rx) ** 2 + ((yy - cy) / ry) ** 2 < 1
    mask = Image.fromarray((255 * inside).astype("uint8")).filter(ImageFilter.GaussianBlur(1.2))
    smooth = Image.fromarray(filled.clip(0, 255).astype("uint8")).filter(ImageFilter.GaussianBlur(1.5))
    weight = np.asarray(mask)[..., None] / 255
    return pixels * (1 - weight) + np.asarray(smooth) * weight


def with_eyes(pixels, height):
    """The eyes opened or narrowed: their rows are stretched from the pupils on."""
    yy, xx = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    for cx, cy in ((203.5, 101.5), (247, 103.5)):
        distance = ((xx - cx) / 13) ** 2 + ((yy - cy) / 9) ** 2
        source = cy + (yy - cy) * (1 + (1 / height - 1) * np.clip(1 - distance, 0, 1))
        row = np.floor(source).astype(int).clip(0, pixels.shape[0] - 2)
        part = (source - row)[..., None]
        stretched = pixels[row, xx] * (1 - part) + pixels[row + 1, xx] * part
        pixels = np.where((distance < 1)[..., None], stretched, pixels)
    return pixels


def curve(begin, middle, end):
    """A quadratic Bezier curve."""
    t = np.linspace(0, 1, 24)[:, None]
    return (1 - t) ** 2 * np.array(begin) + 2 * t * (1 - t) * np.array(middle) + t * t * np.array(end)


def tile(pixels, inner, outer, arch, brow, eye, mouth, width, corner, opening, teeth, fold):
    picture = Image.fromarray(with_eyes(pixels, eye).clip(0, 255).astype("uint8"))
    picture = picture.crop((LEFT, TOP, LEFT + SIDE, TOP + SIDE)).resize((SIDE * SCALE, SIDE * SCALE), Image.BICUBIC)
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)

    def placed(points):
        return [((x - LEFT) * SCALE, (y - TOP) * SCALE) for x, y in points]

    def stroke(points, colour, thickness):
        draw.line(placed(points), fill=colour, width=max(1, int(thickness * SCALE)), joint="curve")
        for x, y in placed([points[0], points[-1]]):
            radius = thickness * SCALE / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    for side, cx, cy in ((-1, 202, 90.5), (1, 249.5, 92)):
        begin, end = (cx - side * 11, cy + inner), (cx + side * 12, cy + outer)
        middle = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2 + arch)
        stroke(curve(begin, middle, end), (112, 72, 44, 235), brow)
    if fold:
        for dx in (-3, 3):
            stroke(curve((226 + dx, 92), (226 + dx * 0.7, 96), (226 + dx, 100)), (150, 100, 75, int(60 * fold)), 1.2)
        for side in (-1, 1):
            points = curve((224 + side * 11, 124), (224 + side * 19, 130), (224 + side * 24, 140))
            stroke(points, (150, 95, 75, int(70 * fold)), 1.4)
    left, right, lip = (224 - width, mouth + corner), (224 + width, mouth + 1 + corner), (186, 98, 92, 255)
    upper = curve(left, (224, mouth - corner - opening), right)
    lower = curve(left, (224, mouth - corner + opening * 1.3), right)
    if opening > 0.5:
        draw.polygon(placed([*upper, *lower[::-1]]), fill=(62, 22, 22, 255))
        if teeth:
            draw.polygon(placed([*upper, *(upper + (lower - upper) * [0, teeth])[::-1]]), fill=(226, 214, 200, 255))
        stroke(upper, lip, 2.6)
        stroke(lower, lip, 3.4)
    else:
        stroke(upper - [0, 1.2], lip, 2.4)
        stroke(lower + [0, 1.8], lip, 3.2)
        stroke(upper, (96, 40, 38, 255), 1.2)
        below = curve((224 - width / 2, mouth), (224, mouth + 2 - corner), (224 + width / 2, mouth))
        stroke(below + [0, 7], (150, 100, 80, 90), 1.6)
    layer = layer.filter(ImageFilter.GaussianBlur(SCALE * 0.45))
    picture.paste(layer, (0, 0), layer)
    return picture.resize((SIDE, SIDE), Image.LANCZOS)


def main():
    pixels = np.asarray(Image.open(FOLDER / "portrait.jpg").convert("RGB")).astype(float)
    pixels = erased(pixels, (224, 146), (31, 17), True)
    for centre in ((202, 91), (251, 93)):
        pixels = erased(pixels, centre, (16, 6), False)
    row = Image.new("RGB", (SIDE * len(EXPRESSIONS), SIDE))
    for n, shape in enumerate(EXPRESSIONS.values()):
        row.paste(tile(pixels, **shape), (n * SIDE, 0))
    row.save(FOLDER / "expressions.jpg", quality=90)


if __name__ == "__main__":
    main()
