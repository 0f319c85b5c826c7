"""Values that pass between a role and the runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from roleml.messaging.codec import register_named_tuple

__all__ = [
    "Args",
    "ErrorHandlingStrategy",
    "EventSubscriptionMode",
    "Message",
    "MessageHandler",
    "MessagePart",
    "MyArgs",
    "MyPayloads",
    "Payloads",
    "PluginAttribute",
    "Stateful",
    "Tags",
    "TaskInvocation",
    "as_message",
]

MessagePart = Mapping[str, Any]
Args = Mapping[str, Any]
Payloads = Mapping[str, Any]
Tags = Mapping[str, str]
MyArgs = dict[str, Any]
MyPayloads = dict[str, Any]
MessageHandler = Callable[..., Any]

EventSubscriptionMode = Literal["once", "forever"]


@register_named_tuple
class Message(NamedTuple):
    """The content of one call or event.

    ``args`` are small: logged at DEBUG, and what event conditions look at. ``payloads`` may be of any size
    and are never logged. Receivers treat both as read-only.
    """

    args: Args = {}  # read-only by contract, and a named tuple's default
    payloads: Payloads = {}

    @staticmethod
    def empty() -> Message:
        """A message with two dictionaries of its own."""
        return Message({}, {})


def as_message(content: object) -> Message:
    """The content of a call or event as a message; ``TypeError`` if it is none."""
    if not isinstance(content, tuple) or len(content) != 2:
        raise TypeError(f"a message consists of args and payloads, and this is a {type(content).__name__}")
    for name, part in zip(Message._fields, content, strict=True):
        if not isinstance(part, Mapping):
            raise TypeError(f"{name} must map names to values; they are of the type {type(part).__name__}")
    return content if isinstance(content, Message) else Message(*content)


@runtime_checkable
class TaskInvocation(Protocol):
    """One accepted task call, as its caller sees it."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the handler and return its value.

        ``timeout`` is in seconds. Without one, waiting ends when the task does, and the log says every now
        and then for whom. If the task's actor is lost, that ends it, too, unless the broker keeps tasks for
        actors that come back.

        Raises:
            CallerError, HandlerError: the task failed.
            TaskResultTimeoutError: nothing yet after ``timeout``; the invocation stays usable.
        """

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Wait likewise, and return the task's error instead of raising it; ``None`` after success."""

    def add_done_callback(self, func: Callable[[TaskInvocation], Any]) -> None:
        """Call ``func(invocation)`` exactly once when the task is done; at once if it is already.

        It runs in a worker thread (or, if already done, in this one), where several may run at once; its
        exceptions are logged.
        """


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint holds the state of: a role, or the object of an element, that has both methods.

    The state consists of types that travel. It must not change after it was given: copy what does. The names
    are those of `torch.distributed.checkpoint.stateful.Stateful`.
    """

    def state_dict(self) -> Any:
        """The state now. Called from any thread: it takes the locks that it needs."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Go on from a state of an earlier process. Called before the role is in service."""


class ErrorHandlingStrategy(Enum):
    """What a group call does about a member that failed."""

    IGNORE = "ignore"
    """Leave the failed member out."""
    RAISE_FIRST = "raise_first"
    """Raise the first error."""
    RETRY = "retry"
    """Ask again unless the caller is at fault: a few times, or for ten minutes where an actor is away."""
    KEEP = "keep"
    """Put the exception in the place of the result."""


class PluginAttribute:
    """A class attribute of a role that an extension replaces, per role instance, by a bound object.

    Every direct subclass is a plugin kind and gets its class name as ``PLUGIN_NAME``; a role collects its
    plugin attributes under that name in ``Role.plugin_attributes``.
    """

    PLUGIN_NAME: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if PluginAttribute in cls.__bases__:
            cls.PLUGIN_NAME = cls.__name__

    def bind(self, role: Any, attribute_name: str) -> Any:
        """What the attribute of this ``role`` instance shall be; called once, when the role is added."""
        return self
