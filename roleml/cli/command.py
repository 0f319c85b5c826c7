"""What the commands share: their error, and the types of their options."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from roleml.shared.errors import RoleMLError

__all__ = ["INTERRUPTED", "CommandError", "at_least", "counted", "notes", "positive", "ratio", "reading"]

INTERRUPTED = 130
"""The exit code that a shell reports for a program ended by SIGINT."""


class CommandError(RoleMLError):
    """A command cannot do what was asked; the text says what would be right. Ends the program with code 2.

    Where it repeats another error, that one's code is the one to read about.
    """

    code = "RML-L001"

    def __init__(self, text: str, *, of: BaseException | None = None) -> None:
        super().__init__(text)
        if isinstance(of, RoleMLError):
            self.__notes__ = list(of.__notes__)


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raises CommandError in the block where a configuration file cannot be read."""
    from roleml.shared.yml import YAMLError, similar_file  # not needed by `roleml --help`

    try:
        yield
    except (YAMLError, TypeError) as error:
        raise CommandError(str(error), of=error) from error
    except FileNotFoundError as error:
        raise CommandError(f"{path}: {error.strerror}{similar_file(Path(path))}") from error
    except IsADirectoryError as error:
        raise CommandError(f"{path} is a folder; name a configuration file in it") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error


def notes(error: BaseException) -> list[str]:
    """The lines below an error on a terminal: where to read about it."""
    return [f"  {note}" for note in getattr(error, "__notes__", [])]


def counted(number: int, noun: str) -> str:
    """Such as `1 round`, `2 rounds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def at_least(minimum: int) -> Callable[[str], int]:
    """An option type: a whole number, not below `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, not {text!r}") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {value}")
        return value

    return parse


def positive(text: str) -> float:
    """An option type: a finite number above 0."""
    value = _number(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    if math.isinf(value):
        raise argparse.ArgumentTypeError(f"must be finite, not {text}")
    return value


def ratio(text: str) -> float:
    """An option type: a share above 0 and up to 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1 (all of them), not {text}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, not {text!r}") from None
