"""Standard output whose reader may leave, as `head` does when it has seen enough."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

__all__ = ["NOBODY_READS", "drop", "surviving_its_reader", "underneath"]

NOBODY_READS = 141
"""The exit code that a shell reports for a program ended by SIGPIPE."""


def drop(stream: TextIO) -> None:
    """What is written to the stream from now on goes nowhere, also what it still holds."""
    # or the interpreter would complain when it flushes at its end
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class _Lasting:
    """A stream to write to, also when nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        drop(self.stream)
        if threading.current_thread() is threading.main_thread():
            sys.exit(NOBODY_READS)


def underneath(stream: TextIO) -> TextIO:
    """The stream itself, which raises BrokenPipeError when nobody reads it any more."""
    return stream.stream if isinstance(stream, _Lasting) else stream


@contextmanager
def surviving_its_reader() -> Iterator[None]:
    """Within the block, standard output and standard error may lose their reader.

    What the main thread writes then ends the program: a command that does nothing but write has nothing left
    to do. What other threads write, handlers of roles and logs, is dropped: no role fails for it.

    Raises:
        SystemExit: with NOBODY_READS.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Lasting(stream)) for stream in before)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before
