"""Running executions, which changes of status wait for, and those that the code here belongs to."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roleml.core.status import StatusControl

__all__ = ["ExecutionTicket", "executions_here"]


class ExecutionTicket:
    """One running execution of an object, counted until `stop`.

    As a context manager it also marks the code of the block (and what runs in a copy of its context
    variables) as belonging to the execution: what that executes for the same object does not wait while the
    object is pausing, and asking to pause or terminate it from there is an error instead of a dead end.
    """

    __slots__ = ("_token", "control", "is_stopped", "should_stop", "worker_id")

    def __init__(self, control: StatusControl, worker_id: object = None) -> None:
        self.control = control
        #: Says in the log which execution this is, where it is waited for.
        self.worker_id = worker_id
        #: Whether the execution was asked to end early; it is up to the execution to look.
        self.should_stop = False
        self.is_stopped = False
        self._token: Token[tuple[ExecutionTicket, ...]] | None = None

    def ask_for_stopping(self) -> None:
        self.should_stop = True

    def stop(self) -> None:
        """Say that the execution is over; doing so again has no effect."""
        self.control.release_execution(self)

    def __enter__(self) -> ExecutionTicket:
        self._token = _executions.set((*_executions.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        self.control.release_execution(self)
        if token is not None:
            _executions.reset(token)

    def __repr__(self) -> str:
        state = "stopped" if self.is_stopped else "stopping" if self.should_stop else "running"
        return f"<execution {self.worker_id or hex(id(self))} of {self.control.name}, {state}>"


# The executions the code here belongs to, outermost first. They are looked at by ticket and not by object:
# a thread that inherited the variable may outlive the execution.
_executions: ContextVar[tuple[ExecutionTicket, ...]] = ContextVar("roleml_executions", default=())


def executions_here() -> tuple[ExecutionTicket, ...]:
    """The running executions that the calling code belongs to, outermost first."""
    return tuple(ticket for ticket in _executions.get() if not ticket.is_stopped)
