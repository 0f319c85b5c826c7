"""One console for several processes: whole lines, each with the name of who wrote it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from roleml.cli.output import drop, underneath

__all__ = ["Console"]

WIDEST_NAME = 20
LONGEST_LINE_BYTES = 64 * 1024
COLORS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Console:
    """Puts the output of processes together. For one thread.

    `stream` defaults to what `sys.stdout` is at the time of writing. Names are coloured on a terminal, unless
    the environment variable NO_COLOR is set.
    """

    def __init__(self, names: Sequence[str], stream: TextIO | None = None) -> None:
        self._stream = stream
        self._width = min(WIDEST_NAME, max(map(len, names), default=0))
        self._colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(names)}
        self._begun: dict[str, bytes] = {}
        self.closed = False
        """Whether nobody reads the stream any more; what is written then is dropped."""

    def feed(self, name: str, data: bytes) -> None:
        """Take some output of a process, and write the lines that are complete now."""
        *lines, rest = (self._begun.pop(name, b"") + data).split(b"\n")
        if len(rest) > LONGEST_LINE_BYTES:
            lines.append(rest)
            rest = b""
        if rest:
            self._begun[name] = rest
        self._write(name, lines)

    def end(self, name: str) -> None:
        """Nothing more comes of a process: write also a last line without an end."""
        rest = self._begun.pop(name, b"")
        if rest:
            self._write(name, [rest])

    def _write(self, name: str, lines: Sequence[bytes]) -> None:
        if not lines or self.closed:
            return
        stream = underneath(self._stream or sys.stdout)
        prefix = self._prefix(name, stream)
        try:
            stream.write("".join(f"{prefix}{shown(line)}\n" for line in lines))
            stream.flush()
        except BrokenPipeError:
            self.closed = True
            drop(stream)

    def _prefix(self, name: str, stream: TextIO) -> str:
        text = f"{name:<{self._width}} | "
        if not stream.isatty() or "NO_COLOR" in os.environ:
            return text
        return f"\x1b[{self._colors.get(name, 0)}m{text}\x1b[0m"


def shown(line: bytes) -> str:
    """A line as a terminal would show it at last: after carriage returns, which progress bars use."""
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
