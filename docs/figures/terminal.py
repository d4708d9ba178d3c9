#!/usr/bin/env python3
"""Draws what a command prints on a terminal of 80 columns, its standard output alone:

    python3 docs/figures/terminal.py target/debug/lectern demo --minutes 2 > docs/figures/demo.svg
"""

import os
import pty
import re
import subprocess
import sys
from html import escape

PAPER, INK = "#1b1f24", "#d0d7de"
COLOURS = {"31": "#ff7b72", "32": "#56d364", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea", "39": INK}
COLUMN, LINE, MARGIN = 8.4, 18, 20


def printed(command):
    """What it writes to a terminal."""
    terminal, inside = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "NO_COLOR": ""}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=inside, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(inside)
        text = b""
        try:
            while part := os.read(terminal, 65536):
                text += part
        except OSError:  # Linux reports the end so
            pass
    if process.returncode:
        sys.exit(f"{command[0]} failed with exit code {process.returncode}")
    return text.decode().replace("\r\n", "\n").strip("\n").split("\n")


def line_parts(line):
    """Column, text and SGR parameter of each stretch of one style."""
    column, style = 0, "39"
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if match := re.fullmatch(r"\x1b\[([0-9;]*)m", part):
            style = match[1] if match[1] not in ("", "0") else "39"
        elif part:
            yield column, part, style
            column += len(part)


def main():
    command = sys.argv[1:] or sys.exit(__doc__)
    name = " ".join([os.path.basename(command[0]), *command[1:]])
    lines = [f"\x1b[1m$ {name}\x1b[0m", "", *printed(command)]
    width, height = int(80 * COLUMN + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
          f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">')
    print(f'<title>{escape(name)} on a terminal</title><rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>')
    for number, line in enumerate(lines):
        y = MARGIN + LINE * number
        for column, text, style in line_parts(line):
            colour = COLOURS.get(style, INK)
            # Bars as rectangles, for fonts differ in their block elements.
            bar = len(text) - len(text.lstrip("█"))
            if bar:
                print(f'<rect x="{MARGIN + COLUMN * column:.1f}" y="{y + 3}" width="{COLUMN * bar:.1f}" height="12" fill="{colour}"/>')
            weight = ' font-weight="bold"' if style == "1" else ""
            for words in re.finditer(r"\S+(?: \S+)*", text[bar:]):
                at = MARGIN + COLUMN * (column + bar + words.start())
                print(f'<text x="{at:.1f}" y="{y + 14}" textLength="{COLUMN * len(words[0]):.1f}" fill="{colour}"{weight}>{escape(words[0])}</text>')
    print("</svg>")


if __name__ == "__main__":
    main()
