#!/usr/bin/env python3
"""Draws lecture rooms, seen from the back: a person far away, with the truth of where the face is.

    python benches/rooms.py --clips "$LECTERN_DATA/clips" --into rooms --face 28 --size 1920x1080

A room is one clip's person, cut out of the clip, shrunk by averaging in linear light so that the face's box has the height
that is asked for, and put behind a row of desks: wall, door, board, posters, lamps, audience, sensor noise, here and there
flickering lamps, and a screen whose slides change or on which a video plays. In 42.5 seconds the person comes (in at
a side, through the door at once, or is there already), stands, walks slowly, leaves, and comes again; in some rooms somebody
passes before the face, and in some a second person stands or sits farther away. Everything follows from the seed.

Written are `rooms/SIZE-FACE/CLIP.y4m` (4:2:0, BT.601's limited range) and `CLIP.json`, the truth:
{"clip", "width", "height", "rate", "face_px", "second", "frames": [{"face", "others", "hidden", "shirts"}]}. `face` is the
person's box [x1, y1, x2, y2] in pixels, or null; `others` has the second person's. `hidden` has faces that are covered or cut
off by the border: nobody is asked to find them, nor blamed for it. `shirts` has the persons' trunks, because five of the clips
show a skull on a shirt, which detectors take for a face. The truth comes from facenet-pytorch on the clip itself, in which
each face is 60 to 90 px high, as the median over five frames.

Needs numpy, pillow, ffmpeg, and for the truth torch and facenet-pytorch (models/training/requirements.txt).
"""

import argparse
import fractions
import functools
import glob
import json
import os
import subprocess

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

f32 = np.float32
SECONDS, CLIP_RATE = 42.5, 30
# The part of a clip in which the person stands, above the knees: left, top, right, bottom.
PART = (90, 30, 480, 405)
# Where the clips show nothing but wall.
WALL = [(60, 365, 128, 172), (5, 70, 200, 470), (60, 230, 445, 474)]
# By how much a wall may differ from a smooth one and still be wall, and in how many clips it must be seen.
PLATE, SEEN = 22, 3
# Low at the sides, where a ledge is, it may differ by more.
LEDGE, LEDGE_OFF = (slice(310, 480), np.r_[0:220, 395:640]), 45


# The persons.

def frames_of(clip):
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", clip, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 480, 640, 3)


def smooth_wall(median):
    """The wall's brightness as a polynomial of second degree, fitted where there is wall."""
    y, x = np.mgrid[0:480, 0:640].astype(f32)
    x, y = x / 320 - 1, y / 240 - 1
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    wall = np.zeros(x.shape, bool)
    for top, bottom, left, right in WALL:
        wall[top:bottom, left:right] = True
    fitted = np.empty_like(median)
    for channel in range(3):
        kept = wall
        for _ in range(6):
            fit = basis @ np.linalg.lstsq(basis[kept], median[..., channel][kept], rcond=None)[0]
            kept = wall & (np.abs(median[..., channel] - fit) < 10)
        fitted[..., channel] = fit
    return fitted


def empty_rooms(clips):
    """The clips' room without its person: what most clips show of the wall, with each clip's own light."""
    medians = {name: np.median(frames[::3].astype(f32), axis=0) for name, frames in clips.items()}
    walls = {name: smooth_wall(median) for name, median in medians.items()}
    ratios, most = [], np.full((480, 640, 1), PLATE)
    most[LEDGE] = LEDGE_OFF
    for name, median in medians.items():
        off = np.abs(median - walls[name]).max(-1, keepdims=True) > most
        ratios.append(np.where(off, np.nan, median / walls[name]))
    # Where nearly all clips have their person the wall is taken to be smooth.
    seen = (~np.isnan(ratios)).sum(axis=0) >= SEEN
    ratio = np.ones_like(ratios[0])
    ratio[seen] = np.nanmedian(np.array(ratios, f32)[:, seen], axis=0)
    return {name: wall * ratio for name, wall in walls.items()}


def image(array):
    # A copy, because pillow does not write into numpy's memory.
    return Image.fromarray(array).copy()


def opacity(frame, empty, face):
    """How much of each pixel is the person, from 0 to 1."""
    off = np.abs(frame.astype(f32) - empty).max(-1)
    hard = image(((off > 20) * 255).astype(np.uint8)).filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MedianFilter(5))
    coarse = np.array(hard.filter(ImageFilter.MaxFilter(9)).resize((160, 120), Image.BOX)) > 100
    coarse[:, :25] = coarse[:, 119:] = False
    # What the outside does not reach is inside, and of that the person is the part in the middle.
    flooded = image(np.pad(coarse * np.uint8(255), 1))
    ImageDraw.floodfill(flooded, (0, 0), 128)
    inside = np.array(flooded)[1:-1, 1:-1] != 128
    seed = min(zip(*np.nonzero(inside)), key=lambda at: abs(at[1] - 78) + abs(at[0] - 80))
    body = image(inside * np.uint8(255))
    ImageDraw.floodfill(body, (int(seed[1]), int(seed[0])), 100)
    body = image((np.array(body) == 100) * np.uint8(255))
    core = body.filter(ImageFilter.MinFilter(5)).resize((640, 480), Image.BILINEAR)
    rim = body.filter(ImageFilter.MaxFilter(3)).resize((640, 480), Image.BILINEAR)
    soft = np.clip((off - 12) / 18, 0, 1)
    alpha = np.maximum(soft, np.array(core, f32) / 255) * (np.array(rim, f32) / 255)
    # A pale face may be as bright as the wall.
    y, x = np.mgrid[0:480, 0:640]
    across, down = (2 * x - face[0] - face[2]) / (face[2] - face[0]), (2 * y - face[1] - face[3]) / (face[3] - face[1])
    return np.maximum(alpha, np.clip((1 - across ** 2 - down ** 2) * 4, 0, 1))


def faces_of(frames):
    """The person's face in each frame of a clip."""
    import peers
    find, boxes = peers.Facenet(40), []
    for frame in frames:
        # A head is above any print of one.
        heads = [box for box in find.boxes(frame) if 50 < box[3] - box[1] < 110]
        boxes.append(min(heads, key=lambda box: box[1]) if heads else np.full(4, np.nan))
    boxes = np.array(boxes, f32)
    around = np.stack([np.roll(np.pad(boxes, ((2, 2), (0, 0)), "edge"), shift, 0)[2:-2] for shift in range(-2, 3)])
    return np.nanmedian(around, axis=0).astype(f32)


@functools.cache
def all_clips(folder):
    """The frames of each clip and the room without its person."""
    clips = {name: frames_of(os.path.join(folder, f"{name}.mkv")) for name in names_of(folder)}
    return clips, empty_rooms(clips)


def names_of(folder):
    names = sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(folder, "*.mkv")))
    if not names:
        raise FileNotFoundError(f"{folder}: no clips; see --clips")
    return names


@functools.lru_cache(maxsize=3)
def person_of(folder, work, name):
    """The person of a clip, from `work` if there already."""
    kept = os.path.join(work, "persons", f"{name}.npz")
    if not os.path.exists(kept):
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        clips, empty = all_clips(folder)
        frames, (left, top, right, bottom) = clips[name], PART
        faces = faces_of(frames)
        alpha = np.stack([(opacity(frame, empty[name], face) * 255).astype(np.uint8) for frame, face in zip(frames, faces)])
        pixels = np.concatenate([frames, alpha[..., None]], axis=-1)[:, top:bottom, left:right]
        np.savez(kept, pixels=pixels, boxes=faces - np.array([left, top, left, top], f32))
    return Person(np.load(kept))


class Person:
    def __init__(self, kept):
        self.pixels, self.boxes = kept["pixels"], kept["boxes"]
        # Without the shine of the clip's own wall around the person.
        self.pixels[..., 3] = np.clip((self.pixels[..., 3].astype(np.int16) - 64) * 4 // 3, 0, 255)
        self.face = float(np.median(self.boxes[:, 3] - self.boxes[:, 1]))
        self.head = np.median((self.boxes[:, :2] + self.boxes[:, 2:]) / 2, axis=0)

    def at(self, seconds):
        """The clip's frame at a time, played to and fro without an end."""
        last = len(self.pixels) - 1
        at = int(seconds * CLIP_RATE) % (2 * last)
        return min(at, 2 * last - at)

    def below(self, face_px):
        """From the middle of the face to where the person is cut off, in pixels."""
        return (self.pixels.shape[1] - self.head[1]) * face_px / self.face

    def shrunk(self, seconds, face_px, middle, mirrored, gain):
        """Premultiplied linear light and opacity, where their top left corner is, and the face's box."""
        pixels, box = self.pixels[self.at(seconds)], self.boxes[self.at(seconds)]
        scale, head = face_px / self.face, self.head
        if mirrored:
            width = pixels.shape[1]
            pixels, head = pixels[:, ::-1], np.array([width - head[0], head[1]])
            box = np.array([width - box[2], box[1], width - box[0], box[3]])
        corner = np.array(middle) - head * scale
        start = np.ceil(corner)
        skipped = (start - corner) / scale
        size = np.floor((np.array(pixels.shape[1::-1]) - skipped) * scale).astype(int)
        part = (*skipped, *(skipped + size / scale))
        alpha = pixels[..., 3].astype(f32) / 255
        light = (pixels[..., :3].astype(f32) / 255) ** f32(2.2) * gain * alpha[..., None]
        how = Image.BOX if scale < 0.7 else Image.BILINEAR
        planes = [light[..., 0], light[..., 1], light[..., 2], alpha]
        planes = [np.array(Image.fromarray(plane).resize(tuple(size), how, box=part)) for plane in planes]
        return np.stack(planes, -1), start.astype(int), box * scale + np.tile(corner, 2)


# The room.

def shade(rng, low, high, tint=12):
    base = rng.uniform(low, high)
    return tuple(int(v) for v in np.clip(base + rng.uniform(-tint, tint, 3), 0, 255))


def draw_room(rng, width, height, face, desk, door):
    """What stands still: the room behind the persons, and the desks and the audience before them with their opacity."""
    unit = height / 1080
    y, x = np.mgrid[0:height, 0:width].astype(f32)
    wall = np.array(shade(rng, 150, 215), f32)
    light = 1 + rng.uniform(-.15, .15) * (x / width - .5) + rng.uniform(-.2, .1) * (y / height - .5)
    light -= .25 * ((x / width - rng.uniform(.3, .7)) ** 2 + (y / height - .4) ** 2)
    blotches = Image.fromarray(rng.normal(0, 1, (9, 16)).astype(f32)).resize((width, height), Image.BICUBIC)
    light += .012 * np.array(blotches)
    picture = Image.fromarray(np.clip(wall * light[..., None], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)

    def box(left, top, across, down, colour, edge=None, line=3):
        draw.rectangle([left, top, left + across, top + down], colour, edge, max(1, int(line * unit)))

    ceiling = rng.uniform(.04, .1) * height
    draw.rectangle([0, 0, width, ceiling], shade(rng, 200, 235))
    for at in np.arange(rng.uniform(0, .15), 1, rng.uniform(.2, .3)):
        box(at * width, ceiling * .2, .12 * width, ceiling * .4, (252, 252, 246), shade(rng, 150, 190))
    # Door, board, cupboard, posters, clock, window.
    colour = shade(rng, 80, 160, 30)
    box(door - 2.4 * face, desk - 7.5 * face, 4.8 * face, 9 * face, colour, shade(rng, 60, 110), 6)
    box(door + 1.6 * face, desk - 2.5 * face, .6 * face, .2 * face, (190, 190, 185))
    left = rng.uniform(.05, .6) * width
    box(left, rng.uniform(.14, .25) * height, rng.uniform(.15, .3) * width, rng.uniform(.18, .28) * height,
        [(236, 238, 240), (38, 74, 60), (30, 90, 150)][rng.integers(3)], shade(rng, 90, 150), 7)
    left = rng.uniform(.0, .9) * width
    box(left, desk - rng.uniform(250, 420) * unit, rng.uniform(130, 260) * unit, 600 * unit, shade(rng, 90, 190, 25), shade(rng, 50, 90))
    for _ in range(rng.integers(2, 6)):
        left, top = rng.uniform(.02, .95) * width, rng.uniform(.12, .38) * height
        across, down = rng.uniform(40, 110) * unit, rng.uniform(60, 140) * unit
        box(left, top, across, down, shade(rng, 120, 250, 60), shade(rng, 60, 250))
        for _ in range(rng.integers(3, 12)):
            px, py = left + rng.uniform(.1, .6) * across, top + rng.uniform(.05, .85) * down
            box(px, py, rng.uniform(.1, .35) * across, rng.uniform(.02, .12) * down, shade(rng, 20, 230, 70))
    cx, cy, r = rng.uniform(.1, .9) * width, rng.uniform(.12, .2) * height, 26 * unit
    draw.ellipse([cx - r, cy - r, cx + r, cy + r], (240, 240, 236), (40, 40, 44), max(1, int(4 * unit)))
    draw.line([cx, cy - .7 * r, cx, cy, cx + .5 * r, cy], (30, 30, 30), max(1, int(3 * unit)))
    if rng.random() < .5:
        left = 0 if rng.random() < .5 else .88 * width
        box(left, .15 * height, .12 * width, .4 * height, (246, 250, 255), shade(rng, 190, 230), 12)
        draw.line([left + .06 * width, .15 * height, left + .06 * width, .55 * height], shade(rng, 170, 220), int(10 * unit) + 1)
    picture = picture.filter(ImageFilter.GaussianBlur(.8 * unit))

    front = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(front)
    top, side = shade(rng, 110, 200, 25), shade(rng, 60, 120, 20)
    draw.rectangle([0, desk, width, desk + 26 * unit], (*top, 255))
    draw.rectangle([0, desk + 26 * unit, width, height], (*side, 255))
    for _ in range(rng.integers(2, 5)):
        left = rng.uniform(0, .95) * width
        draw.rectangle([left, desk - 34 * unit, left + 60 * unit, desk + 6 * unit], (*shade(rng, 30, 90), 255))
    for left in np.arange(rng.uniform(-.05, .05), 1, rng.uniform(.09, .14)):
        # Backs of chairs, some with somebody's back of the head above.
        left, across = left * width, 140 * unit
        high = max(desk + 80 * unit, height - rng.uniform(180, 240) * unit)
        draw.rounded_rectangle([left, high, left + across, height + 40], 20 * unit, (*shade(rng, 25, 70), 255))
        if rng.random() < .5:
            cx, r = left + across / 2, 44 * unit
            draw.rounded_rectangle([cx - 75 * unit, high - 20 * unit, cx + 75 * unit, height], 40 * unit, (*shade(rng, 40, 150, 50), 255))
            draw.ellipse([cx - r, high - 100 * unit, cx + r, high + 20 * unit], (*shade(rng, 20, 90, 20), 255))
    front = np.array(front.filter(ImageFilter.GaussianBlur(.8 * unit)))
    return np.array(picture), front


def screen_at(rng_seed, seconds, across, down, video):
    """What a projector shows: a slide for some seconds, or a video that changes with each frame."""
    slide = int(seconds // 4.5)
    rng = np.random.default_rng([*rng_seed, slide])
    picture = Image.new("RGB", (across, down), shade(rng, 225, 255, 6) if rng.random() < .7 else shade(rng, 15, 60))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([.05 * across, .06 * down, rng.uniform(.4, .9) * across, .14 * down], shade(rng, 40, 120, 60))
    for row in np.arange(.24, .9, .085):
        if rng.random() < .75:
            for word in np.arange(.08, rng.uniform(.3, .62), .07):
                draw.rectangle([word * across, row * down, (word + rng.uniform(.03, .06)) * across, (row + .035) * down], shade(rng, 60, 110))
    # A photograph or a diagram.
    blobs = Image.fromarray(rng.normal(140, 35, (5, 6, 3)).clip(0, 255).astype(np.uint8)).resize((int(.28 * across), int(.5 * down)), Image.BICUBIC)
    picture.paste(blobs, (int(.66 * across), int(.26 * down)))
    if video:
        waves = rng.uniform(0, 6, (6, 8, 3)) + 3 * seconds * rng.uniform(.5, 1.5, (6, 8, 3))
        film = Image.fromarray(np.clip(rng.uniform(70, 150) + 45 * np.sin(waves[..., :1]) + 20 * np.sin(waves), 0, 255).astype(np.uint8)).resize((across, down), Image.BICUBIC)
        draw = ImageDraw.Draw(film)
        for _ in range(5):
            x, y, speed, size = rng.uniform(0, 1), rng.uniform(.1, .9), rng.uniform(-.4, .4), rng.uniform(.03, .12)
            x = (x + speed * seconds) % 1
            draw.ellipse([(x - size) * across, (y - size) * down, (x + size) * across, (y + 1.4 * size) * down], shade(rng, 60, 230, 60))
        return np.array(film)
    return np.array(picture)


class Path:
    """Where the person's face is at a time: stands, walks, and is away."""

    def __init__(self, rng, index, width, face, door, seconds):
        self.rng, speed = rng, rng.uniform(1.5, 2.6) * face
        away = 3 * face
        places = rng.uniform(.15, .85, 5) * width
        leaves, gone = rng.uniform(18, 21), rng.uniform(5, 8)
        enters = 0 if index % 4 == 2 else rng.uniform(3, 6)
        self.parts = []
        at = self.come(enters, index % 4, places[0], door, away, width, speed)
        at = self.stay(at, places[0], rng.uniform(3, 6))
        at = self.walk(at, places[0], places[1], speed, leaves)
        x = self.parts[-1][3]
        at = self.stay(at, x, max(leaves - at, 1))
        at = self.leave(at, index % 4, x, away, width, speed)
        back = at + gone
        at = self.come(back, index % 4, places[2], door, away, width, speed)
        at = self.stay(at, places[2], rng.uniform(2, 5))
        at = self.walk(at, places[2], places[3], speed, seconds)
        self.stay(at, self.parts[-1][3], seconds)

    def stay(self, at, x, length):
        self.parts.append((at, at + length, x, x))
        return at + length

    def walk(self, at, x, to, speed, until):
        """Walks until the end or the place is reached."""
        length = min(abs(to - x) / speed, max(until - at, .1))
        self.parts.append((at, at + length, x, x + np.sign(to - x) * speed * length))
        return at + length

    def come(self, at, kind, place, door, away, width, speed):
        if kind in (1, 2):
            if kind == 1:
                at = self.stay(at, door, 1)
                return self.walk(at, door, place, speed, at + 99)
            return at
        border = -away if place < width / 2 else width + away
        return self.walk(at, border, place, speed * 1.6, at + 99)

    def leave(self, at, kind, x, away, width, speed):
        if kind in (1, 2):
            return at
        return self.walk(at, x, -away if x < width / 2 else width + away, speed * 1.8, at + 99)

    def at(self, seconds):
        for start, end, x, to in self.parts:
            if start <= seconds < end:
                return x + (to - x) * (seconds - start) / (end - start)
        return None


def put(canvas, sprite, corner):
    """Lays premultiplied linear light over the picture; returns the rows and columns that it covers."""
    height, width = canvas.shape[:2]
    (left, top), (down, across) = corner, sprite.shape[:2]
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + across, width), min(top + down, height)
    if x2 <= x1 or y2 <= y1:
        return None
    part = sprite[y1 - top:y2 - top, x1 - left:x2 - left]
    under = (canvas[y1:y2, x1:x2].astype(f32) / 255) ** f32(2.2)
    over = part[..., :3] + under * (1 - part[..., 3:])
    canvas[y1:y2, x1:x2] = np.clip(over, 0, 1) ** f32(1 / 2.2) * 255 + .5
    return x1, y1, x2, y2


def to_yuv(rgb):
    """BT.601 in limited range, 4:2:0; sides must be even."""
    rgb = rgb.astype(f32)
    luma = 16 + rgb @ np.array([.2568, .5041, .0979], f32)
    mean = (rgb[::2, ::2] + rgb[1::2, ::2] + rgb[::2, 1::2] + rgb[1::2, 1::2]) / 4
    return luma, 128 + mean @ np.array([-.1482, -.2910, .4392], f32), 128 + mean @ np.array([.4392, -.3678, -.0714], f32)


def to_rgb(luma, cb, cr):
    cb, cr = (np.repeat(np.repeat(plane.astype(f32) - 128, 2, 0), 2, 1) for plane in (cb, cr))
    y = (luma.astype(f32) - 16) * f32(1.1644)
    rgb = np.stack([y + f32(1.596) * cr, y - f32(.3918) * cb - f32(.813) * cr, y + f32(2.0172) * cb], -1)
    return np.clip(rgb + .5, 0, 255).astype(np.uint8)


def read(path, every=1):
    """Frames of a Y4M file that was written here, as [height, width, 3] bytes; each so many."""
    with open(path, "rb") as file:
        words = file.readline().decode().split()
        width, height = (int(next(word[1:] for word in words if word[0] == side)) for side in "WH")
        size, at, start = width * height * 3 // 2, 0, file.tell()
        while True:
            file.seek(start + at * (6 + size))
            if file.readline() != b"FRAME\n":
                return
            raw = np.frombuffer(file.read(size), np.uint8)
            luma, chroma = raw[:width * height].reshape(height, width), raw[width * height:].reshape(2, height // 2, width // 2)
            yield at, to_rgb(luma, *chroma)
            at += every


class Noise:
    """A sensor's, cut from a stock at random, so that a frame costs little."""

    def __init__(self, rng, pixels, sigma):
        self.rng = rng
        self.stock = np.rint(rng.standard_normal(3 * pixels, f32) * sigma).astype(np.int16)

    def add(self, plane):
        at = self.rng.integers(0, len(self.stock) - plane.size)
        noisy = np.rint(plane).astype(np.int16)
        noisy += self.stock[at:at + plane.size].reshape(plane.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8).tobytes()


def draw(clips, work, index, size, face, rate, seconds, seed, into):
    """Writes one room and its truth."""
    (width, height), names = size, names_of(clips)
    name, rng = names[index], np.random.default_rng([seed, index, width, face])
    person, unit = person_of(clips, work, name), height / 1080
    # So low that desks hide where the person is cut off, which with large faces is the picture's border.
    y = rng.uniform(.33, .5) * height
    desk = min(y + person.below(face) - 6, height - 60 * unit)
    y = desk + 6 - person.below(face)
    door = rng.uniform(.12, .88) * width
    picture, front = draw_room(rng, width, height, face, desk, door)
    front_alpha = front[..., 3:].astype(f32) / 255
    path = Path(rng, index, width, face, door, seconds)
    mirrored, gain, video = rng.random() < .5, f32(rng.uniform(.75, 1.1)), index % 2 == 1
    across, down = int(rng.uniform(.22, .36) * width) // 2 * 2, int(rng.uniform(.24, .34) * height) // 2 * 2
    left, top = int(rng.uniform(.05, .6) * width) // 2 * 2, int(rng.uniform(.12, .2) * height) // 2 * 2
    second = None
    if index % 3 == 1 and len(names) > 1:
        other = names[(index + 1) % len(names)]
        far = face * rng.uniform(.7, .8)
        second = (person_of(clips, work, other), far, rng.uniform(.1, .9) * width, rng.uniform(0, 8), rng.uniform(25, 60))
    passes = rng.uniform(11, 16) if index % 5 == 3 else None
    flicker = .012 if index % 3 == 2 else 0

    def convert(canvas, planes, part):
        x1, y1, x2, y2 = part
        luma, cb, cr = to_yuv(canvas[y1:y2, x1:x2])
        planes[0][y1:y2, x1:x2] = luma
        planes[1][y1 // 2:y2 // 2, x1 // 2:x2 // 2] = cb
        planes[2][y1 // 2:y2 // 2, x1 // 2:x2 // 2] = cr

    def even(part):
        """The part and as much more that its colours are whole samples."""
        return part[0] // 2 * 2, part[1] // 2 * 2, -(-part[2] // 2) * 2, -(-part[3] // 2) * 2

    def cover(canvas, part):
        x1, y1, x2, y2 = part
        alpha = front_alpha[y1:y2, x1:x2]
        canvas[y1:y2, x1:x2] = canvas[y1:y2, x1:x2] * (1 - alpha) + front[y1:y2, x1:x2, :3] * alpha + .5

    whole = (0, 0, width, height)
    still = picture.copy()
    cover(still, whole)
    still_planes = to_yuv(still)
    noises = [Noise(rng, width * height, rng.uniform(2, 4)), Noise(rng, width * height // 4, 1.5)]
    step = fractions.Fraction(rate).limit_denominator(1001)
    truth = {"clip": name, "width": width, "height": height, "rate": rate, "face_px": face, "second": second and other, "frames": []}
    with open(os.path.join(into, f"{name}.y4m"), "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{step.numerator}:{step.denominator} Ip A1:1 C420jpeg\n".encode())
        for tick in range(int(seconds * rate)):
            now = tick / rate
            canvas, parts = picture.copy(), [(left, top, left + across, top + down)]
            canvas[top:top + down, left:left + across] = screen_at((seed, index), now, across, down, video)
            line = {"face": None, "others": [], "hidden": [], "shirts": []}
            shown = []
            if second and second[3] <= now < second[4]:
                who, far, x, _, _ = second
                shown.append(("others", *who.shrunk(now + 5, far, (x, desk + 6 - who.below(far)), not mirrored, gain)))
            x = path.at(now)
            if x is not None:
                shown.append(("face", *person.shrunk(now, face, (x, y), mirrored, gain)))
            boxes = []
            for what, sprite, corner, box in shown:
                if part := put(canvas, sprite, corner):
                    parts.append(part)
                    boxes.append((what, box))
                    middle, h = (box[0] + box[2]) / 2, box[3] - box[1]
                    line["shirts"].append([middle - 2 * h, box[3], middle + 2 * h, box[3] + 4.5 * h])
            covered = None
            if passes and x is not None and passes <= now < passes + 1.5:
                # Somebody's head, near the camera, goes past.
                r = 1.3 * face
                cx = x + (now - passes - .75) * 1.1 * face
                covered = [cx - r, y - 1.3 * r, cx + r, height]
                over = image(canvas)
                pen = ImageDraw.Draw(over)
                pen.ellipse([cx - r, y - 1.3 * r, cx + r, y + 1.3 * r], (58, 44, 36))
                pen.rounded_rectangle([cx - 2 * r, y + 1.1 * r, cx + 2 * r, height], r, (70, 84, 110))
                canvas = np.array(over)
                parts.append((max(0, int(cx - 2 * r)), max(0, int(y - 1.4 * r)), min(width, int(cx + 2 * r) + 1), height))
            for what, box in boxes:
                inside = np.clip(box, 0, [width, height, width, height])
                part = (inside[2] - inside[0]) * (inside[3] - inside[1]) / ((box[2] - box[0]) * (box[3] - box[1]))
                behind = what == "others" and len(boxes) > 1 and overlap(boxes[0][1], grown(boxes[1][1], 2.5)) > 0
                hidden = part < .95 or behind or (covered is not None and overlap(box, covered) > 0)
                box = [round(float(v), 2) for v in box]
                if hidden:
                    line["hidden"].append(box)
                elif what == "face":
                    line["face"] = box
                else:
                    line["others"].append(box)
            truth["frames"].append(line)
            planes = [plane.copy() for plane in still_planes]
            parts = [even(part) for part in parts]
            for part in parts:
                cover(canvas, part)
            for part in parts:
                convert(canvas, planes, part)
            if flicker:
                rows = np.arange(height, dtype=f32)[:, None]
                planes[0] = 16 + (planes[0] - 16) * (1 + f32(flicker) * np.sin(rows / 90 / f32(unit) + f32(2.4 * tick)))
            file.write(b"FRAME\n")
            file.write(noises[0].add(planes[0]))
            file.write(noises[1].add(planes[1]))
            file.write(noises[1].add(planes[2]))
    with open(os.path.join(into, f"{name}.json"), "w") as file:
        json.dump(truth, file)


def overlap(a, b):
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def grown(box, factor):
    dx, dy = (box[2] - box[0]) * (factor - 1) / 2, (box[3] - box[1]) * (factor - 1) / 2
    return [box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy]


def folder_of(work, size, face, rate, seconds, seed):
    return os.path.join(work, f"{size[0]}x{size[1]}-{face}px-{rate:g}hz-{seconds:g}s-seed{seed}")


def draw_all(clips, work, size, face, rate=2.0, seconds=SECONDS, seed=1, most=None):
    """Draws the rooms that are not in `work` yet; the paths of their videos."""
    into = folder_of(work, size, face, rate, seconds, seed)
    os.makedirs(into, exist_ok=True)
    names = names_of(clips)[:most]
    for index, name in enumerate(names):
        # The truth is written last.
        if not os.path.exists(os.path.join(into, f"{name}.json")):
            draw(clips, work, index, size, face, rate, seconds, seed, into)
    return [os.path.join(into, f"{name}.y4m") for name in names]


def size_of(text):
    width, height = (int(side) for side in text.split("x"))
    if width % 2 or height % 2:
        raise ValueError("sides must be even")
    return width, height


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, help="folder of the ten clips")
    parser.add_argument("--into", required=True, metavar="FOLDER")
    parser.add_argument("--size", type=size_of, default=(1920, 1080), metavar="WIDTHxHEIGHT")
    parser.add_argument("--face", type=int, default=28, metavar="PX", help="height of the face's box")
    parser.add_argument("--rate", type=float, default=2.0, metavar="HZ")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, help="draw only so many rooms")
    options = parser.parse_args()
    for path in draw_all(options.clips, options.into, options.size, options.face, options.rate, options.seconds, options.seed, options.most):
        print(path)


if __name__ == "__main__":
    main()
