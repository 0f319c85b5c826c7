"""Exceptions on their way between actors: what a failure looks like as data, and at the caller.

The two directions are each one function over one table; nothing else in core translates messaging errors.
"""

from __future__ import annotations

import traceback

from roleml.core.role.exceptions import (
    CallerError,
    ChannelNotFoundError,
    HandlerError,
    RemoteTraceback,
    RoleInteractionError,
)
from roleml.messaging.envelope import Failure, FailureKind
from roleml.messaging.exceptions import (
    EncodeError,
    InvocationAbortError,
    InvocationRefusedError,
    MessagingError,
)

__all__ = ["at_caller", "describe", "of_handler"]

_OUTWARD: dict[type[BaseException], FailureKind] = {
    CallerError: FailureKind.ABORTED,
    ChannelNotFoundError: FailureKind.REFUSED,
}

_INWARD: dict[type[MessagingError], type[RoleInteractionError]] = {
    InvocationAbortError: CallerError,
    InvocationRefusedError: ChannelNotFoundError,
    EncodeError: CallerError,  # the caller gave what cannot travel
}


def of_handler(error: BaseException, where: str) -> RoleInteractionError:
    """What a handler's exception means to its caller. ``where`` names the handler, ``actor/role.channel``.

    A handler blames its caller with ``CallerError`` or a failed assertion. Everything else is its own
    failure, including an error of a call that it made itself. The caller's exception is a new one, so that
    what becomes of it there leaves the handler's alone, which the handler may raise again.
    """
    text = str(error)
    if isinstance(error, CallerError) and not error.outgoing:
        return CallerError(text)
    if isinstance(error, AssertionError):
        return CallerError(text or f"an assertion of {where} failed")
    return HandlerError(f"{where} raised {type(error).__name__}{text and f': {text}'}")


def describe(error: BaseException) -> Failure:
    """The failure as it travels, with the traceback of the original exception."""
    kind = next((kind for cls, kind in _OUTWARD.items() if isinstance(error, cls)), FailureKind.FAILED)
    original = error.__cause__ or error
    text = "".join(traceback.format_exception(type(original), original, original.__traceback__))
    return Failure(kind, str(error) or type(error).__name__, type(original).__name__, text)


def at_caller(error: Exception) -> Exception:
    """What a call raises for an error that came out of the mailbox, marked as that of an outgoing call."""
    if isinstance(error, MessagingError):
        role_error = _INWARD.get(type(error), HandlerError)(str(error))
        role_error.remote_type = error.remote_type
        role_error.remote_traceback = error.remote_traceback
        role_error.__cause__ = RemoteTraceback(error.remote_traceback) if error.remote_traceback else error
    elif isinstance(error, RoleInteractionError):
        role_error = error
    else:
        return error
    role_error.outgoing = True
    return role_error
