#!/usr/bin/env python3
"""What a recording costs beside decoding it alone, and what a second job saves.

    benches/recordings.py --lectern target/debug/lectern --clip lecture.mp4 [--minutes 60] [--rounds 3]

The clip is repeated without decoding it until it is as long as asked. CPU seconds are of the program and its children; ffmpeg's are of
`ffmpeg -i CLIP -f null -`. Walls of one and of two jobs are of four copies, in turn. Prints one line for each figure, medians of the rounds.
"""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time


def cost(command):
    """CPU and wall seconds of a command with its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lectern", required=True)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = os.path.join(folder, "clip.mp4")
        seconds = str(60 * options.minutes)
        subprocess.run(["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", options.clip, "-t", seconds, "-c", "copy", clip], check=True)
        decoding, analysing, walls = [], [], {1: [], 2: []}
        for _ in range(options.rounds):
            decoding.append(cost(["ffmpeg", "-v", "error", "-i", clip, "-map", "0:v:0", "-f", "null", "-"])[0])
            analysing.append(cost([options.lectern, "analyze", clip])[0])
        # A quarter of it, four times, so that two jobs have the same to do.
        quarter = os.path.join(folder, "quarter.mp4")
        subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-t", str(15 * options.minutes), "-c", "copy", quarter], check=True)
        for _ in range(options.rounds):
            for jobs, taken in walls.items():
                taken.append(cost([options.lectern, "analyze", "--jobs", str(jobs), *[quarter] * 4])[1])
    decoding, analysing = statistics.median(decoding), statistics.median(analysing)
    one, two = (statistics.median(walls[jobs]) for jobs in (1, 2))
    print(f"ffmpeg decodes {options.minutes} minutes: {decoding:.1f} s CPU")
    print(f"lectern analyses them: {analysing:.1f} s CPU, {analysing / decoding:.2f} times as much")
    print(f"four quarters with one job: {one:.1f} s wall; with two: {two:.1f} s, {two / one:.2f} times as long")


if __name__ == "__main__":
    main()
