"""Small charts as SVG. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 56, 14, 30


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers that span a range."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= raw * 0.999)
    first = math.floor(low / step)
    return [round(at * step, 10) for at in range(first, math.ceil(high / step - 1e-9) + 1)]


def loss_curve(losses: Sequence[float]) -> Markup:
    """The loss of every epoch. Epochs whose loss is no number leave a gap and are named below by the page."""
    known = [loss for loss in losses if math.isfinite(loss)]
    if not known:
        return Markup("")
    marks = ticks(min(known), max(known))
    low, high = marks[0], marks[-1] if marks[-1] > marks[0] else marks[0] + 1
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at: int) -> float:
        return LEFT + inner_width * (at / max(1, len(losses) - 1) if len(losses) > 1 else 0.5)

    def y(loss: float) -> float:
        return TOP + inner_height * (1 - (loss - low) / (high - low))

    parts = [grid_line(y(mark), f"{mark:g}") for mark in marks]
    every = max(1, math.ceil(len(losses) / 10))
    parts += [
        f'<text class="tick" x="{x(at):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{at + 1}</text>'
        for at in range(0, len(losses), every)
    ]
    parts.append(f'<text class="tick" x="{WIDTH - RIGHT + 16}" y="{HEIGHT - 8}">epoch</text>')
    parts += [f'<polyline class="line" points="{points}"/>' for points in lines(losses, x, y)]
    points = [(at, loss) for at, loss in enumerate(losses) if math.isfinite(loss)]
    parts += [
        f'<circle class="dot" cx="{x(at):.1f}" cy="{y(loss):.1f}" r="3.5">'
        f"<title>epoch {at + 1}: {loss:.4f}</title></circle>"
        for at, loss in points
    ]
    at, loss = points[-1]
    parts.append(f'<text class="value" x="{x(at) + 9:.1f}" y="{y(loss) + 4:.1f}">{loss:.3f}</text>')
    label = escape(f"Loss by epoch, from {known[0]:.3f} to {known[-1]:.3f}")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def grid_line(height: float, text: str) -> str:
    """A horizontal line with its number."""
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )


def lines(losses: Sequence[float], x: object, y: object) -> list[str]:
    """The points of each unbroken run of numbers."""
    assert callable(x)
    assert callable(y)
    runs: list[list[str]] = [[]]
    for at, loss in enumerate(losses):
        if math.isfinite(loss):
            runs[-1].append(f"{x(at):.1f},{y(loss):.1f}")
        elif runs[-1]:
            runs.append([])
    return [" ".join(run) for run in runs if len(run) > 1]


def bars(value: float, baseline: float, most: float) -> Markup:
    """Two bars, the model's and the baseline's, on the scale of a table's column."""
    if not (math.isfinite(value) and math.isfinite(baseline) and most > 0):
        return Markup("")
    full = 160
    ours, theirs = full * value / most, full * baseline / most
    return Markup(
        f'<svg class="bars" viewBox="0 0 {full} 14" aria-hidden="true">'
        f'<rect class="ours" width="{ours:.1f}" height="7" rx="1.5"/>'
        f'<rect class="theirs" y="9" width="{theirs:.1f}" height="4" rx="1.5"/></svg>'
    )
