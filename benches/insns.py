#!/usr/bin/env python3
"""Exact instruction counts of each stage on ARM cores, without a board: qemu-user with a counting plugin.

    benches/insns.py --lectern target/aarch64-unknown-linux-gnu/release/lectern            # print, compare with the table
    benches/insns.py --lectern … --clips "$LECTERN_DATA/clips"                          # also the clips
    benches/insns.py --lectern … --write                                                # print, write the table

`lectern bench` reads its thread's CPU clock at the end of each stage; benches/insns.c counts the guest's instructions between
two such readings. Scenes are drawn here from the public-domain portrait of tests/fixtures, so that counts can be
repeated exactly wherever this runs. The table is benches/insns.json: millions of instructions a frame. Exit code: 0 if no
stage costs more than 5 % more than in the table, 1 if one does, 77 if a tool is missing (which is said), 2 on errors.

Needs gcc, ffmpeg, and Debian's dynamic qemu-aarch64 (package qemu-user 7.2: later and static builds have no -plugin),
libc6-arm64-cross for /usr/aarch64-linux-gnu.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "benches", "insns.json")
STAGES = ("decode", "find", "align", "classify")
GROWTH, MISSING = 1.05, 77
# What may grow without a word: below it a percentage is noise.
LEAST = 0.2


def skip(what):
    print(f"skipped: {what}", file=sys.stderr)
    sys.exit(MISSING)


def tool(name):
    return shutil.which(name) or skip(f"{name} is not installed")


def plugin(folder):
    """Compiles the counter."""
    out = os.path.join(folder, "insns.so")
    source = os.path.join(ROOT, "benches", "insns.c")
    subprocess.run([tool("gcc"), "-O2", "-shared", "-fPIC", "-o", out, source], check=True)
    return out


def emulator():
    found = tool("qemu-aarch64")
    said = subprocess.run([found, "-h"], stdout=subprocess.PIPE, text=True, check=False).stdout
    if "-plugin" not in said:
        skip(f"{found} has no -plugin")
    if not os.path.isdir("/usr/aarch64-linux-gnu/lib"):
        skip("/usr/aarch64-linux-gnu is missing (libc6-arm64-cross)")
    return found


def clip(folder, name, seconds, filters):
    """A Y4M clip at 2 frames a second, drawn by ffmpeg from the portrait (input 0) and a grey wall (input 1)."""
    path = os.path.join(folder, f"{name}.y4m")
    portrait = os.path.join(ROOT, "tests", "fixtures", "portrait.png")
    command = [tool("ffmpeg"), "-v", "error", "-y", "-loop", "1", "-framerate", "2", "-i", portrait,
               "-f", "lavfi", "-i", "color=c=0xa0a090:s=640x480:r=2",
               # Scaling 4:3 to 16:9 would leave pixels that are no squares.
               "-filter_complex", filters + ",setsar=1", "-t", str(seconds),
               "-pix_fmt", "yuv420p", "-strict", "-1", path]
    subprocess.run(command, check=True)
    return path


def scenes(folder):
    """Name, file and smallest face: what a classroom shows, then what is as bad as it gets; in 640x480, then in large pictures."""
    crowd = "[0]scale=100:100,split=24" + "".join(f"[p{i}]" for i in range(24)) + ";[1]copy[b0]"
    for i in range(24):
        crowd += f";[b{i}][p{i}]overlay={i % 6 * 106}:{i // 6 * 120}:shortest=1[b{i + 1}]"
    crowd += ";[b24]copy"
    group = "[0]scale=200:200,split=6" + "".join(f"[p{i}]" for i in range(6)) + ";[1]copy[b0]"
    for i in range(6):
        group += f";[b{i}][p{i}]overlay={i % 3 * 215}:{20 + i // 3 * 225}:shortest=1[b{i + 1}]"
    group += ";[b6]copy"
    noise = "[1]geq=lum='random(1)*255':cb=128:cr=128"
    # A wall of 1920x1080; with a screen on which everything moves, and somebody with a face of 28 px who walks up and down.
    hall = "[1]scale=1920:1080,noise=alls=6:allf=t"
    screen = "[w];color=c=gray:s=640x360:r=2,geq=lum='mod(X+40*T*(1+mod(Y,3)),200)':cb=128:cr=128[s];[w][s]overlay=1000:150"
    far = hall + screen + "[h];[0]scale=101:101[p];[h][p]overlay='600+300*sin(t/4)':520:shortest=1"
    many = "[0]trim=end_frame=1,scale=64:64,loop=479:1,tile=30x16,pad=1920:1080,settb=1/2,setpts=N,fps=2"
    small = {
        "one face, 20 s": clip(folder, "one", 20, "[0]scale=300:300[p];[1][p]overlay='200+100*sin(t/2.7)':180:shortest=1"),
        "empty room, 20 s": clip(folder, "empty", 20, "[1]noise=alls=8:allf=t"),
        "one face, first frame": clip(folder, "one1", 0.5, "[0]scale=300:300[p];[1][p]overlay=200:180:shortest=1"),
        "six faces, first frame": clip(folder, "group1", 0.5, group),
        "24 faces, first frame": clip(folder, "crowd1", 0.5, crowd),
        "noise, first frame": clip(folder, "noise", 0.5, noise),
        "checkerboard, first frame": clip(
            folder, "checker", 0.5, "[1]geq=lum='255*mod(floor(X/12)+floor(Y/12),2)':cb=128:cr=128"),
        "noise 1920x1080, first frame": clip(folder, "noise2k", 0.5, "[1]scale=1920:1080," + noise[3:]),
    }
    large = {
        "28 px in 1920x1080, 20 s": clip(folder, "far", 20, far),
        "empty 1920x1080, from 10 s on": clip(folder, "hall", 16, hall),
        "640x480 from 24 px on, 20 s": small["one face, 20 s"],
        "480 faces 1920x1080, first frame": clip(folder, "many", 0.5, many),
        "noise 3840x2160, first frame": clip(folder, "noise4k", 0.5, "[1]scale=3840:2160," + noise[3:]),
    }
    return {name: (path, 60) for name, path in small.items()} | {name: (path, 24) for name, path in large.items()}


def count(qemu, counter, cpu, binary, path, min_face):
    """Millions of instructions of each stage, a list of frames; and those from the start to the first frame's end."""
    with tempfile.TemporaryDirectory() as folder:
        marks = os.path.join(folder, "marks")
        command = [qemu, "-cpu", cpu, "-L", "/usr/aarch64-linux-gnu", "-plugin", f"{counter},out={marks}", binary,
                   "bench", "--json", "--min-face", str(min_face), "--clip", path]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LECTERN_")}
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
        with open(marks) as file:
            lines = [[int(word) / 1e6 for word in line.split()] for line in file if line.strip()]
    frames = []
    for line in lines:
        laps = [after - before for before, after in zip(line, line[1:])]
        # decode, find, then align and classify for each face, and wiping the frame, which belongs to decoding.
        frame = {"decode": laps[0] + laps[-1], "find": laps[1], "align": sum(laps[2:-1:2]), "classify": sum(laps[3:-1:2])}
        frames.append(frame)
    return frames, lines[0][0]


def table(options, qemu, counter, folder):
    """Rows of the table: scene -> stage -> millions of instructions a frame."""
    wanted = scenes(folder)
    if options.clips:
        names = sorted(name for name in os.listdir(options.clips) if name.endswith((".mkv", ".mp4")))
        for name in names:
            path = os.path.join(folder, f"{name}.y4m")
            subprocess.run([tool("ffmpeg"), "-v", "error", "-y", "-i", os.path.join(options.clips, name), "-vf",
                            "fps=2:round=near:start_time=0", "-pix_fmt", "yuv420p", path], check=True)
            wanted[name] = path, 60
    rows, clips = {}, []
    for name, (path, min_face) in wanted.items():
        if options.scene not in name:
            continue
        frames, start = count(qemu, counter, options.cpu, options.lectern, path, min_face)
        # A large picture is new for that long.
        frames = frames[20 if name.endswith("from 10 s on") else 0:]
        totals = [sum(frame.values()) for frame in frames]
        if name.endswith(".mkv"):
            clips += frames
        else:
            rows[name] = mean(frames, totals)
        if "start" not in rows:
            rows["start"] = {"frame": round(start, 1)}
        print(f"{name}: {sum(totals) / len(totals):.1f} a frame, {max(totals):.1f} the longest", file=sys.stderr, flush=True)
    if clips:
        rows["clips"] = mean(clips, [sum(frame.values()) for frame in clips])
    return rows


def mean(frames, totals):
    row = {stage: round(sum(frame[stage] for frame in frames) / len(frames), 2) for stage in STAGES}
    return row | {"frame": round(sum(totals) / len(totals), 2), "worst": round(max(totals), 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lectern", required=True, metavar="BINARY", help="built for aarch64")
    parser.add_argument("--cpu", default="cortex-a72", help="cortex-a72: Raspberry Pi 4; cortex-a76: Raspberry Pi 5")
    parser.add_argument("--qemu", help="qemu-aarch64 with -plugin [default: the one on PATH]")
    parser.add_argument("--clips", help="folder of videos to count too; they are not part of the table")
    parser.add_argument("--scene", default="", metavar="PART", help="count only scenes with this in their name")
    parser.add_argument("--write", action="store_true", help="write the table")
    options = parser.parse_args()
    if options.write and options.scene:
        parser.error("--write needs all scenes")
    qemu = options.qemu or emulator()
    with tempfile.TemporaryDirectory() as folder:
        rows = table(options, qemu, plugin(folder), folder)
    known = {}
    if os.path.exists(TABLE):
        with open(TABLE) as file:
            known = json.load(file)
    committed = known.get(options.cpu, {})
    print(f"{options.cpu}, millions of instructions" + "".join(f"{head:>10}" for head in (*STAGES, "frame", "worst")))
    grown = []
    for name, row in rows.items():
        print(f"{name:35}" + "".join(f"{row[key]:10.2f}" if key in row else " " * 10 for key in (*STAGES, "frame", "worst")))
        before = committed.get(name, {})
        grown += [f"{name}, {key}: {before[key]} -> {value}" for key, value in row.items()
                  if key in before and value > before[key] * GROWTH + LEAST]
    if options.write:
        known[options.cpu] = {name: row for name, row in rows.items() if name != "clips"}
        with open(TABLE, "w") as file:
            json.dump(known, file, indent=1)
            file.write("\n")
    elif grown:
        print("insns: grown by more than 5 %: " + "; ".join(grown), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
