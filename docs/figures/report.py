#!/usr/bin/env python3
"""Takes a picture of a report, of two lectures of 50 minutes with made-up counts, with headless Chromium:

    python3 docs/figures/report.py docs/figures/report.png      (needs chromium, target/debug/lectern and a table to begin with)

The table is one that `lectern analyze` wrote, with its only minute replaced by made-up ones: nobody was watched.
"""

import csv
import pathlib
import random
import subprocess
import sys
import tempfile

# Shares of the 13 kinds in percent, in the order of the table.
LECTURES = {
    "Monday": [55, 6, 2, 2, 1, 1, 0, 16, 8, 5, 1, 2, 1],
    "Tuesday": [40, 8, 4, 2, 1, 1, 1, 22, 12, 5, 1, 2, 1],
}


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(["target/debug/lectern", "analyze", "tests/fixtures/portrait.png", "--csv", folder / "one.csv"],
                       stdout=subprocess.DEVNULL, check=True)
        with open(folder / "one.csv", newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, minute = reader.fieldnames, next(reader)
        kinds = columns[columns.index("neutral"):columns.index("angry_strong") + 1]
        with open(folder / "minutes.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for number, (label, shares) in enumerate(LECTURES.items()):
                for seq in range(50):
                    away, uncertain = draw.randint(5, 25), draw.randint(2, 12)
                    faces = draw.choices(kinds, [share * draw.uniform(0.3, 1.7) for share in shares], k=120 - away - uncertain)
                    writer.writerow(minute | {kind: faces.count(kind) for kind in kinds} | {
                        "device": label, "boot": f"{number:032x}", "label": label, "source": f"{label}.mkv", "seq": seq,
                        "start": f"2026-11-2{3 + number}T10:{seq:02}:00Z", "seconds": 60, "frames_expected": 120, "frames": 120,
                        "corrupt": 0, "no_face": away, "uncertain": uncertain, "faces": len(faces), "partial": "false"})
        subprocess.run(["target/debug/lectern", "report", folder / "minutes.csv", "--out", folder / "report.html"], check=True)
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,1500",
                        f"--screenshot={out.resolve()}", f"file://{folder}/report.html"], stderr=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
