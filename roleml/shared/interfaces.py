"""Interfaces that roles and workloads may implement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import IO, Any, Protocol, runtime_checkable

__all__ = ["Deserializable", "Runnable", "Serializable"]


class Runnable(ABC):
    """Something with a life of its own: a role of this kind gets a thread when it becomes ready."""

    @abstractmethod
    def run(self) -> Any:
        """Work until done. Called once, in a thread of its own; an escaping exception is logged."""

    def stop(self) -> Any:  # noqa: B027  # optional by contract: nothing to interrupt is a fine answer
        """Ask a running :meth:`run` to return soon. Called from another thread.

        Where this is not overridden and :meth:`run` has not returned 5 s later, calls that it waits for are
        given up, and raise: a role that does not say how to stop cannot hold up its actor until somebody else
        answers.
        """


@runtime_checkable
class Serializable(Protocol):
    """Can write itself to an open file."""

    def serialize(self, file: IO[Any]) -> Any: ...


@runtime_checkable
class Deserializable(Protocol):
    """Can restore its state from an open file."""

    def deserialize(self, file: IO[Any]) -> Any: ...
