"""What can go wrong between two actors.

::

    MessagingError
    |-- CodecError                      a value and its bytes
    |   |-- EncodeError                   the value cannot travel
    |   `-- DecodeError                   the bytes are not a value, or not one that is accepted here
    |-- ProcedureInvokerError           the other actor answered, and the answer is no
    |   |-- InvalidInvokerError           it does not know who is asking
    |   |-- ProcedureNotFoundError        it has no such procedure
    |   |-- InvocationRefusedError        it has the procedure, but not for this request
    |   |-- InvocationAbortError          the caller is at fault
    |   `-- InvocationRedirectError       ask another actor
    |-- InvocationFailedError           the other actor failed, or is gone
    |-- MsgConnectionError              no connection to the broker or the other actor
    |-- HandshakeError                  the greeting of another actor failed
    `-- HandwaveError                   the farewell to another actor failed
"""

from __future__ import annotations

from roleml.shared.errors import RoleMLError

__all__ = [
    "CodecError",
    "DecodeError",
    "EncodeError",
    "HandshakeError",
    "HandwaveError",
    "InvalidInvokerError",
    "InvocationAbortError",
    "InvocationFailedError",
    "InvocationRedirectError",
    "InvocationRefusedError",
    "MessagingError",
    "MsgConnectionError",
    "ProcedureInvokerError",
    "ProcedureNotFoundError",
]


class MessagingError(RoleMLError):
    """Root of everything the messaging layer raises.

    One that another actor's handler caused carries the name of the exception class there, and its traceback.
    """

    code = "RML-M001"

    remote_type: str | None = None
    remote_traceback: str | None = None


class CodecError(MessagingError):
    """A value could not be turned into bytes, or bytes into a value."""

    code = "RML-M002"


class EncodeError(CodecError):
    """A value cannot travel.

    `path` says where it sits in what was sent (``payloads['update'].layers[2]``), `type_name` what it is;
    both are empty when the fault is not one value's.
    """

    code = "RML-M003"

    def __init__(self, message: str, *, path: str = "", type_name: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.type_name = type_name


class DecodeError(CodecError):
    """Received bytes are damaged, hostile, or of a kind that is not accepted here."""

    code = "RML-M004"


class ProcedureInvokerError(MessagingError):
    """The other actor answered, and the answer is no."""

    code = "RML-M005"


class InvalidInvokerError(ProcedureInvokerError):
    """The other actor does not accept who is asking."""

    code = "RML-M006"


class ProcedureNotFoundError(ProcedureInvokerError):
    """The other actor has no procedure of that name."""

    code = "RML-M007"


class InvocationRefusedError(ProcedureInvokerError):
    """The other actor has the procedure, but nothing behind it for this request."""

    code = "RML-M008"


class InvocationAbortError(ProcedureInvokerError):
    """The request itself is at fault."""

    code = "RML-M009"


class InvocationRedirectError(ProcedureInvokerError):
    """The request belongs to another actor, named in the message."""

    code = "RML-M010"


class InvocationFailedError(MessagingError):
    """The other actor failed while it served the request, or was lost."""

    code = "RML-M011"


class MsgConnectionError(MessagingError):
    """There is no connection to the broker or to the other actor."""

    code = "RML-M012"


class HandshakeError(MessagingError):
    """Another actor could not be greeted."""

    code = "RML-M013"


class HandwaveError(MessagingError):
    """Another actor could not be told goodbye."""

    code = "RML-M014"
