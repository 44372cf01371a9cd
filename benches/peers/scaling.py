#!/usr/bin/env python3
"""Draws what `cargo bench --features bench --bench scaling` prints: one SVG a plot, measured costs and their floors.

    cargo bench --features bench --bench scaling > scaling.csv
    python3 benches/peers/scaling.py scaling.csv benches/plots
"""
import argparse
import csv
import math
import pathlib

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 70, 20, 40, 55
COLORS = ["#1f6f8b", "#c8553d", "#588157", "#8d6a9f", "#b08900", "#444444"]
TITLES = {
    "batch": ("Cost by batch (D = 64)", "rows of a batch"),
    "dim": ("Cost by width (B = 4096)", "width D"),
    "rows": ("Cost by table rows (B = 1024, D = 64)", "users; a quarter as many items"),
    "threads": ("Cost by threads (B = 8192, D = 64)", "threads"),
}


def ticks(low, high):
    """1, 2, 5 times powers of ten between two numbers."""
    steps = [m * 10**e for e in range(-3, 12) for m in (1, 2, 5)]
    found = [s for s in steps if low <= s <= high]
    return found if len(found) <= 8 else [s for s in found if f"{s:e}"[0] == "1"]


def name(number):
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def draw(plot, rows):
    title, label = TITLES[plot]
    xs = [float(r["x"]) for r in rows]
    ys = [float(r[c]) for r in rows for c in ("ns_per_example", "floor_ns")]
    low_x, high_x, low_y, high_y = min(xs) / 1.15, max(xs) * 1.15, min(ys) / 1.3, max(ys) * 1.3

    def place(x, y):
        right = (math.log(x) - math.log(low_x)) / (math.log(high_x) - math.log(low_x))
        up = (math.log(y) - math.log(low_y)) / (math.log(high_y) - math.log(low_y))
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">{label}</text>',
        f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">ns per example</text>',
    ]
    for y in ticks(low_y, high_y):
        _, at = place(low_x, y)
        out.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{name(y)}</text>')
    shown = sorted(set(xs))
    for x in shown if len(shown) <= 12 else ticks(low_x, high_x):
        at, _ = place(x, low_y)
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{name(x)}</text>')
    # A plot over the threads is one line; the others have one a number of threads.
    series = [None] if plot == "threads" else sorted({int(r["threads"]) for r in rows})
    for number, threads in enumerate(series):
        mine = sorted((r for r in rows if threads in (None, int(r["threads"]))), key=lambda r: float(r["x"]))
        color = COLORS[number % len(COLORS)]
        for column, style in (("ns_per_example", ""), ("floor_ns", ' stroke-dasharray="5 4"')):
            points = [place(float(r["x"]), float(r[column])) for r in mine]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{style}/>')
            if not style:
                out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
        words = "measured" if threads is None else f"{threads} thread{'s' if threads > 1 else ''}"
        out.append(f'<text x="{LEFT + 10}" y="{TOP + 4 + 16 * number}" fill="{color}">{words}, floor dashed</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=pathlib.Path, help="the output of the scaling benchmark")
    parser.add_argument("folder", type=pathlib.Path, help="where the SVGs go")
    args = parser.parse_args()
    with args.csv.open() as lines:
        rows = list(csv.DictReader(lines))
    args.folder.mkdir(parents=True, exist_ok=True)
    for plot in TITLES:
        mine = [r for r in rows if r["plot"] == plot]
        if mine:
            (args.folder / f"scaling-{plot}.svg").write_text(draw(plot, mine))


if __name__ == "__main__":
    main()
