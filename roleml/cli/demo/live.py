"""The demo's display on a terminal: redrawn in place by rich, which also honours NO_COLOR."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from roleml.cli.demo.display import RoundRecord, summary_rows

__all__ = ["LiveDisplay", "print_summary"]

VISIBLE_ROUNDS = 8
VISIBLE_CLIENTS = 20
VISIBLE_SPARKS, NARROW_SPARKS = 24, 12
BAR_WIDTH = 12
NARROW = 60
"""Columns below which there is no room for bars and seconds."""
SPARKS = "▁▂▃▄▅▆▇█"


class LiveDisplay:
    """Progress, the last rounds, and which clients are training now."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=12, transient=True)
        self._rounds = 0
        self._losses: dict[str, float | None] = {}
        self._training: set[str] = set()
        self._accuracies: list[float] = []
        self._recent: deque[RoundRecord] = deque(maxlen=VISIBLE_ROUNDS)

    def begin(self, rounds: int, clients: Sequence[str]) -> None:
        self._rounds = rounds
        self._losses = dict.fromkeys(clients)
        self._live.start()
        self._draw()

    def trained(self, client: str, loss: float) -> None:
        self._training.add(client)
        self._losses[client] = loss
        self._draw()

    def completed(self, record: RoundRecord) -> None:
        self._training.clear()
        self._accuracies.append(record.accuracy)
        self._recent.append(record)
        self._draw()

    def end(self) -> None:
        self._live.stop()

    def picture(self) -> RenderableType:
        """What the terminal shows now."""
        parts: list[RenderableType] = [self._headline(), self._clients()]
        if self._recent:
            parts.append(rounds_table(list(self._recent), self._console.width))
        return Group(*parts)

    def _draw(self) -> None:
        self._live.update(self.picture())

    def _headline(self) -> RenderableType:
        line = Table.grid(padding=(0, 2))
        done, wide = len(self._accuracies), self._console.width >= NARROW
        cells: list[RenderableType] = [Text(f"round {done}/{self._rounds}", style="bold")]
        if wide:
            cells.append(bar(done, max(self._rounds, 1), 30))
        if self._accuracies:
            cells.append(
                Text(
                    sparkline(self._accuracies[-(VISIBLE_SPARKS if wide else NARROW_SPARKS) :]), style="green"
                )
            )
            name = "accuracy " if wide else ""
            cells.append(Text(f"{name}{self._accuracies[-1]:.4f}", style="bold green"))
        line.add_row(*cells)
        return line

    def _clients(self) -> RenderableType:
        """Who trains, and the last loss of each; of very many, those who train before the others."""
        names = list(self._losses)
        if len(names) > VISIBLE_CLIENTS:
            resting = [name for name in names if name not in self._training]
            chosen = set([*sorted(self._training), *resting][:VISIBLE_CLIENTS])
            names = [name for name in names if name in chosen]
        cells: list[RenderableType] = []
        for name in names:
            active, loss = name in self._training, self._losses[name]
            dot = Text("● " if active else "○ ", style="yellow" if active else "dim")
            shown = "" if loss is None else f" {loss:.3f}"
            cells.append(dot.append(f"{name}{shown}", style="" if active else "dim"))
        # columns, since a paragraph would break lines between a client and its loss
        parts: list[RenderableType] = [Columns(cells, padding=(0, 2, 0, 0))]
        if left := len(self._losses) - len(names):
            parts.append(Text(f"and {left} more", style="dim"))
        return Group(*parts)


def rounds_table(records: Sequence[RoundRecord], width: int) -> Table:
    """The rounds as a table, a line each, accuracy with a bar from 0 to 1 where there is room."""
    narrow = width < NARROW
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("round", justify="right", no_wrap=True)
    table.add_column("accuracy", justify="right", style="green", no_wrap=True)
    if not narrow:
        table.add_column("", width=BAR_WIDTH)
    table.add_column("loss", justify="right", no_wrap=True)
    if not narrow:
        table.add_column("seconds", justify="right", style="dim", no_wrap=True)
    # the one column that gives way; its cells keep to a line themselves
    table.add_column("who trained", style="cyan")
    for record in records:
        cells: list[RenderableType] = [str(record.round), f"{record.accuracy:.4f}"]
        if not narrow:
            cells.append(bar(record.accuracy, 1.0, BAR_WIDTH))
        cells.append(f"{record.loss:.4f}")
        if not narrow:
            cells.append(f"{record.seconds:.3f}")
        table.add_row(*cells, Text(" ".join(record.participants), no_wrap=True, overflow="ellipsis"))
    return table


def bar(completed: float, total: float, width: int) -> ProgressBar:
    return ProgressBar(total, completed, width, complete_style="green", finished_style="green")


def sparkline(values: Sequence[float]) -> str:
    """One character a value, from the lowest of them to the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARKS[int((value - low) / span * (len(SPARKS) - 1))] for value in values)


def print_summary(records: Sequence[RoundRecord]) -> None:
    """The final table."""
    console = Console()
    console.print(rounds_table(summary_rows(records), console.width))
