"""The demo's display on a terminal: redrawn in place by rich, which also honours NO_COLOR."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from roleml.cli.demo.display import RoundRecord, summary_rows

__all__ = ["LiveDisplay", "print_summary"]

VISIBLE_ROUNDS = 8
BAR_WIDTH = 12
SPARKS = "▁▂▃▄▅▆▇█"


class LiveDisplay:
    """Progress, the last rounds, and which clients are training now."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), refresh_per_second=12, transient=True)
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
            parts.append(rounds_table(list(self._recent)))
        return Group(*parts)

    def _draw(self) -> None:
        self._live.update(self.picture())

    def _headline(self) -> RenderableType:
        line = Table.grid(padding=(0, 2))
        done = len(self._accuracies)
        cells: list[RenderableType] = [
            Text(f"round {done}/{self._rounds}", style="bold"),
            bar(done, max(self._rounds, 1), 30),
        ]
        if self._accuracies:
            cells.append(Text(sparkline(self._accuracies[-24:]), style="green"))
            cells.append(Text(f"accuracy {self._accuracies[-1]:.4f}", style="bold green"))
        line.add_row(*cells)
        return line

    def _clients(self) -> RenderableType:
        line = Text()
        for client, loss in self._losses.items():
            active = client in self._training
            # blanks that do not break keep a client in one line
            line.append("●\u00a0" if active else "○\u00a0", style="yellow" if active else "dim")
            shown = "" if loss is None else f"\u00a0{loss:.3f}"
            line.append(f"{client}{shown}   ", style="" if active else "dim")
        return line


def rounds_table(records: Sequence[RoundRecord]) -> Table:
    """The rounds as a table, accuracy with a bar from 0 to 1."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("round", justify="right")
    table.add_column("accuracy", justify="right", style="green")
    table.add_column("", width=BAR_WIDTH)
    table.add_column("loss", justify="right")
    table.add_column("seconds", justify="right", style="dim")
    table.add_column("who trained", style="cyan", overflow="fold")
    for record in records:
        table.add_row(
            str(record.round),
            f"{record.accuracy:.4f}",
            bar(record.accuracy, 1.0, BAR_WIDTH),
            f"{record.loss:.4f}",
            f"{record.seconds:.3f}",
            " ".join(record.participants),
        )
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
    Console().print(rounds_table(summary_rows(records)))
