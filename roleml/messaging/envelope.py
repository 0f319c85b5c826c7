"""What travels between actors besides the content: who, to whom, and which conversation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

__all__ = ["Address", "Answer", "Envelope", "Failure", "FailureKind", "Kind"]

#: ``(actor, endpoint)``; core puts role names in the place of endpoints
Address = tuple[str, str]


class Kind(Enum):
    """What a message is. The first three ask, and are answered; the last two answer."""

    SERVICE = "service"
    TASK = "task"
    CONTROL = "control"
    """Asked of the actor itself, whatever it hosts: subscriptions, greetings."""
    EVENT = "event"
    ACCEPTED = "accepted"
    RESULT = "result"


class Answer(Enum):
    """What the body of a ``RESULT`` holds."""

    VALUE = "value"
    FAILURE = "failure"


class Envelope(NamedTuple):
    """The address label of one message.

    ``id`` names the conversation: answers carry the id of what they answer. A ``CONTROL`` without an id wants
    no answer. ``sequence`` counts the messages of one event channel, from 1. ``seal`` is the signature of a
    message that needs one. ``trace`` is the ``traceparent`` of W3C Trace Context, where calls are traced.
    ``key`` is what the caller of a task calls it: two tasks of one caller, target, channel and key are one.
    """

    kind: Kind
    id: str
    source: Address
    target: Address
    channel: str = ""
    sequence: int = 0
    answer: Answer | None = None
    seal: str = ""
    trace: str = ""
    key: str = ""

    @property
    def where(self) -> str:
        """Target and channel, as a person reads them."""
        return f"{'/'.join(self.target)}.{self.channel}"


class FailureKind(Enum):
    """Who has to change something before it can work."""

    REFUSED = "refused"
    """There is no such channel."""
    ABORTED = "aborted"
    """The caller is at fault."""
    FAILED = "failed"
    """The called side could not do it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as it travels: data only."""

    kind: FailureKind
    text: str
    error_type: str
    traceback: str

    def parts(self) -> tuple[str, str, str, str]:
        """What is encoded."""
        return self.kind.value, self.text, self.error_type, self.traceback

    @staticmethod
    def of_parts(parts: Any) -> Failure:
        """The failure that ``parts`` were made of. Raises ``ValueError`` for anything else."""
        if not isinstance(parts, tuple) or len(parts) != 4 or not all(isinstance(p, str) for p in parts):
            raise ValueError("not a failure")
        kind, text, error_type, traceback = parts
        return Failure(FailureKind(kind), text, error_type, traceback)
