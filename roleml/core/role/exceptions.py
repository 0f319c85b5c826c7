"""What can go wrong between roles.

::

    RoleInteractionError
    |- CallerError               the call itself was wrong: bad arguments, no such role, not permitted
    |- HandlerError              the other side could not do it: its handler failed, it is not open or gone
    |- ChannelNotFoundError      that role has no such service, task or event
    |- TaskResultTimeoutError    no result within the time the caller gave; the task goes on
    |- NoSuchEventError          this role emits on a channel that it does not have
    `- InternalError             a defect of the runtime
    RuntimeError
    `- NoSuchRoleError           this actor hosts no role of that name

A failure of a remote handler carries what happened there: ``remote_type`` (the name of the exception class),
and ``remote_traceback`` (text), which a printed traceback shows as the cause.
"""

from __future__ import annotations

from roleml.shared.errors import RoleMLError

__all__ = [
    "CallerError",
    "ChannelNotFoundError",
    "HandlerError",
    "InternalError",
    "NoSuchEventError",
    "NoSuchRoleError",
    "RemoteTraceback",
    "RoleInteractionError",
    "TaskResultTimeoutError",
]


class RoleInteractionError(RoleMLError):
    """Root of all errors between roles."""

    code = "RML-R001"

    remote_type: str | None = None
    remote_traceback: str | None = None
    #: set on errors that came out of an outgoing call, so that they are not taken for the handler's own
    outgoing: bool = False


class CallerError(RoleInteractionError):
    """The caller is at fault: repeating the same call will not help."""

    code = "RML-R002"


class HandlerError(RoleInteractionError):
    """The called side failed; the text includes the original message."""

    code = "RML-R003"


class ChannelNotFoundError(RoleInteractionError):
    """The role exists, and has no channel of that name and kind."""

    code = "RML-R004"


class TaskResultTimeoutError(RoleInteractionError):
    """The result was not there in time. The task goes on, and the invocation stays usable."""

    code = "RML-R005"


class NoSuchEventError(RoleInteractionError):
    """A role emitted on an event channel that it does not have."""

    code = "RML-R006"


class InternalError(RoleInteractionError):
    """A defect of the runtime, worth a report."""

    code = "RML-R007"


class NoSuchRoleError(RoleMLError, RuntimeError):
    """An operation named a role that this actor does not host."""

    code = "RML-R008"


class RemoteTraceback(Exception):
    """Shows the traceback of the other actor as the cause of an error raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"
