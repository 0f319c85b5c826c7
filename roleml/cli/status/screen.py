"""Where `roleml top` draws: in place on a terminal, one table after the other elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roleml.cli.demo.display import can_draw
from roleml.cli.status.survey import Survey
from roleml.cli.status.table import lines

__all__ = ["screen"]

#: What stands out, and how.
STYLES = {"offline": "bold red", "silent": "bold yellow", "online": "green", "! ": "yellow"}


@contextmanager
def screen() -> Iterator[Callable[[Survey, Survey | None], None]]:
    """What shows a survey, given the one before it, until the block ends."""
    if not can_draw():
        yield _print
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), auto_refresh=False, screen=True, vertical_overflow="crop") as live:

        def draw(survey: Survey, before: Survey | None) -> None:
            text = Text(_headed(survey, before), no_wrap=True, overflow="ellipsis")
            for word, style in STYLES.items():
                text.highlight_words([word], style)
            live.update(text, refresh=True)

        yield draw


def _print(survey: Survey, before: Survey | None) -> None:
    print(_headed(survey, before) + "\n", flush=True)


def _headed(survey: Survey, before: Survey | None) -> str:
    return "\n".join([time.strftime("%H:%M:%S"), *lines(survey, before)])
