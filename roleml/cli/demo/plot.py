"""The curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from roleml.cli.axes import FAINT, INK, quiet
from roleml.cli.demo.display import RoundRecord

__all__ = ["plot_metrics"]

ACCURACY, LOSS = "#0f766e", "#b45309"


def plot_metrics(path: Path, records: Sequence[RoundRecord], subtitle: str) -> None:
    """Draw accuracy and loss over the rounds into a PNG file; needs no screen."""
    figure = Figure(figsize=(9, 4.2), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    rounds = [record.round for record in records]
    accuracies = [record.accuracy for record in records]
    losses = [record.loss for record in records]
    draw_curve(left, rounds, accuracies, ACCURACY, "test accuracy", f"{accuracies[-1]:.4f}")
    draw_curve(right, rounds, losses, LOSS, "test loss", f"{losses[-1]:.4f}")
    left.set_ylim(max(0.0, min(accuracies) - 0.05), 1.0)
    right.set_ylim(0.0, max(losses) * 1.05)
    figure.suptitle("Federated averaging on handwritten digits", x=0.01, ha="left", color=INK, weight="bold")
    figure.supxlabel(subtitle, x=0.01, ha="left", fontsize=9, color=FAINT)
    figure.savefig(path)


def draw_curve(
    axes: Axes, x: Sequence[int], y: Sequence[float], color: str, title: str, last_label: str
) -> None:
    axes.plot(x, y, color=color, linewidth=2, marker="o", markersize=3.5, clip_on=False, zorder=3)
    axes.fill_between(x, y, color=color, alpha=0.08, linewidth=0)
    axes.annotate(
        last_label,
        (x[-1], y[-1]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="right",
        color=color,
        weight="bold",
    )
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("round", fontsize=9, color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    quiet(axes, label_size=9)
