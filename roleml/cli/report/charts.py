"""The pictures of a report, as SVG to stand within a page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from roleml.cli.axes import FAINT, GRID, INK, quiet
from roleml.cli.report.data import Curve, Span, in_order

__all__ = ["MOST_BARS", "MOST_ROWS", "curve", "timeline"]

MEAN = "#0f766e"
#: With more series than this, each is drawn faintly, and their mean in front.
MOST_SERIES = 8
#: Of a time line: rows, and bars, which make the page heavy.
MOST_ROWS, MOST_BARS = 40, 3000


def curve(data: Curve) -> str:
    """One value over the steps."""
    figure = Figure(figsize=(5.2, 2.9), layout="constrained")
    axes: Axes = figure.subplots()
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]  # of a listed map
    crowded = len(data.series) > MOST_SERIES
    for i, (actor, points) in enumerate(data.series.items()):
        steps, values = zip(*points, strict=True)
        if crowded:
            axes.plot(steps, values, color=FAINT, linewidth=0.6, alpha=0.35)
        else:
            color = MEAN if len(data.series) == 1 else colors[i % 10]
            axes.plot(steps, values, color=color, linewidth=1.6, marker="o", markersize=2.4, label=actor)
    if crowded:
        axes.plot(*_mean(data), color=MEAN, linewidth=2, label=f"mean of {len(data.series)}")
    if len(data.series) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=2)
    axes.set_title(f"{data.role}: {data.name}", loc="left", fontsize=10, color=INK, weight="bold")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step", fontsize=8, color=FAINT)
    quiet(axes, label_size=8)
    return _svg(figure)


def timeline(spans: Sequence[Span]) -> str:
    """Who worked when: a row for each role instance, a bar for each piece of work; the last ones, if many."""
    spans = sorted(spans, key=lambda span: span.begin)[-MOST_BARS:]
    busy: dict[str, float] = {}
    for span in spans:
        busy[str(span.source)] = busy.get(str(span.source), 0.0) + span.seconds
    rows = in_order(sorted(busy, key=lambda row: -busy[row])[:MOST_ROWS])
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]  # of a listed map
    roles = sorted({row.partition("/")[2] for row in rows})
    figure = Figure(figsize=(10.6, 0.8 + 0.24 * len(rows)), layout="constrained")
    axes: Axes = figure.subplots()
    for i, row in enumerate(rows):
        bars = [(span.begin, span.seconds) for span in spans if str(span.source) == row]
        color = colors[roles.index(row.partition("/")[2]) % 10]
        axes.broken_barh(bars, (i - 0.38, 0.76), facecolors=color, edgecolor="white", linewidth=0.3)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("seconds since the run began", fontsize=8, color=FAINT)
    quiet(axes, label_size=8)
    axes.grid(axis="x", color=GRID)
    return _svg(figure)


def _mean(data: Curve) -> tuple[list[float], list[float]]:
    at: dict[float, list[float]] = {}
    for points in data.series.values():
        for step, value in points:
            at.setdefault(step, []).append(value)
    steps = sorted(at)
    return steps, [sum(at[step]) / len(at[step]) for step in steps]


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # text stays text; and one page may hold several, so what they refer to must not have the same names
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        figure.savefig(text, format="svg", metadata={"Date": None})
    picture = text.getvalue()
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"|(<svg[^>]*?) height="[^"]*"', r"\1\2",
                  picture[picture.index("<svg"):], count=1)  # fmt: skip
