"""How the axes of our pictures look: a faint grid, no frame."""

from __future__ import annotations

from matplotlib.axes import Axes

__all__ = ["FAINT", "GRID", "INK", "quiet"]

GRID, INK, FAINT = "#e5e7eb", "#111827", "#6b7280"


def quiet(axes: Axes, label_size: int) -> None:
    """Horizontal grid lines behind what is drawn, and a base line only."""
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, labelsize=label_size)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
