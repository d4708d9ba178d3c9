#!/usr/bin/env python3
"""Draws the data's way, from the camera to a dashboard:

    python3 docs/figures/data_way.py > docs/figures/data-way.svg

It has a background of its own, so that it can be read on white and on dark pages alike.
"""

from html import escape

INK, QUIET, PAPER = "#1b1f24", "#57606a", "#ffffff"
PIXELS, COUNTS, OUTSIDE = "#fde8d8", "#dcebfb", "#eef0f2"
STROKES = {PIXELS: "#bc4c00", COUNTS: "#0550ae", OUTSIDE: "#57606a"}
WIDTH, HEIGHT = 1000, 336


def text(x, y, words, size=14, colour=INK, weight="normal", anchor="middle", halo=False):
    around = f'stroke="{PAPER}" stroke-width="5" stroke-linejoin="round" paint-order="stroke" ' if halo else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" font-weight="{weight}" {around}'
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


def box(x, y, width, height, fill, title, lines):
    parts = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{STROKES[fill]}"/>']
    parts.append(text(x + width / 2, y + 25, title, 15, weight="bold"))
    for number, line in enumerate(lines):
        parts.append(text(x + width / 2, y + 48 + 18 * number, line, 12.5))
    return parts


def arrow(x1, x2, y, label, below):
    return [
        f'<line x1="{x1}" y1="{y}" x2="{x2 - 8}" y2="{y}" stroke="{INK}" stroke-width="1.6" marker-end="url(#head)"/>',
        text((x1 + x2) / 2, y - 8, label, 12.5, weight="bold", halo=True),
        text((x1 + x2) / 2, y + 18, below, 11.5, QUIET, halo=True),
    ]


def frame(x, y, width, height, title, colour):
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="none" stroke="{colour}" '
        f'stroke-dasharray="6 4"/>',
        text(x + 12, y + 20, title, 12.5, colour, "bold", "start"),
    ]


def main():
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="Helvetica, Arial, sans-serif" role="img" aria-label="The data\'s way: camera, vision, tally, '
        f'delivery, broker, dashboard">',
        f'<defs><marker id="head" viewBox="0 0 10 10" refX="2" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{INK}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="{PAPER}"/>',
    ]
    parts += frame(16, 16, 762, 304, "The device (one process)", QUIET)
    parts += frame(32, 48, 442, 208, "watch thread", STROKES[PIXELS])
    parts += frame(578, 48, 184, 208, "deliver thread", STROKES[COUNTS])

    y, height = 84, 148
    delivery = ["a minute: 1,024 bytes", "of JSON at most; kept", "until the broker has", "acknowledged it", "(spool)"]
    parts += box(44, y, 106, height, PIXELS, "camera", ["newest frame,", "twice a second"])
    parts += box(212, y, 112, height, PIXELS, "vision", ["find the face", "(MTCNN),", "cut it out,", "classify it", "(CBAM)"])
    parts += box(390, y, 72, height, COUNTS, "tally", ["count for", "a minute"])
    parts += box(592, y, 156, height, COUNTS, "delivery", delivery)
    parts += box(850, y, 134, height, OUTSIDE, "broker", ["gives it to", "dashboards,", "databases,", "Home Assistant"])
    middle = y + 110
    parts += arrow(152, 212, middle, "picture", "")
    parts += arrow(326, 390, middle, "kind", "1 of 13")
    parts += arrow(464, 592, middle, "minute record", "counts and times")
    parts += arrow(750, 850, middle, "MQTT", "TLS, QoS 1")

    parts.append(text(180, 282, "Pictures exist only here: in memory,", 13, STROKES[PIXELS], "bold"))
    parts.append(text(180, 300, "overwritten once they are counted.", 13, STROKES[PIXELS], "bold"))
    parts.append(text(586, 282, "From tally on there are only counts;", 13, STROKES[COUNTS], "bold"))
    parts.append(text(586, 300, "no type there can hold a pixel.", 13, STROKES[COUNTS], "bold"))
    parts.append("</svg>")
    print("\n".join(parts))


if __name__ == "__main__":
    main()
