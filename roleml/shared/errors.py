"""The root of RoleML's errors. Each class has a code, and each code a page that says more.

A code never changes and is never used again for something else. Its letter is the audience: R for who writes
roles, C for who writes configuration, M for what is between actors, D for deployment, L for the command line,
and B for who operates a broker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

__all__ = ["RoleMLError", "add_note", "noted", "pointer"]


def pointer(codes: Iterable[str]) -> str:
    """The line that leads from an error to its page, or pages."""
    several = list(dict.fromkeys(codes))
    if not several:
        return ""
    more = f"; also {', '.join(several[1:])}" if len(several) > 1 else ""
    return f"[{several[0]}] more: roleml explain {several[0]}, or docs/errors/{several[0]}.md{more}"


def add_note(error: BaseException, note: str) -> None:
    """What `add_note` of Python 3.11 does: a line that is shown below the error."""
    vars(error)["__notes__"] = [*getattr(error, "__notes__", ()), note]


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Whatever is raised in the block gets a note: for errors of others, which are to stay what they are."""
    try:
        yield
    except Exception as error:
        add_note(error, note)
        raise


class RoleMLError(Exception):
    """What all errors of RoleML are.

    ``str()`` is the message alone, since messages travel: one becomes part of another at the caller. The code
    stands below it, as a note. Python prints it with a traceback from 3.11 on, the command line always.
    """

    code: ClassVar[str] = ""
    __notes__: list[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> RoleMLError:
        # here, and not in __init__: those of the classes that errors also are, such as OSError's, differ
        self = super().__new__(cls, *args, **kwargs)
        self.__notes__ = [pointer([cls.code])] if cls.code else []
        return self
