"""Declaring the channels of a role: services, tasks, events, and handlers of other roles' events."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType
from typing import Any, TypeVar, get_args, overload

from roleml.core.context import RoleInstanceID
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Args, EventSubscriptionMode, Message, Payloads

__all__ = [
    "ChannelType",
    "Event",
    "EventHandler",
    "EventHandlerProperties",
    "HandlerDecorator",
    "HandlerProperties",
    "Service",
    "Task",
    "attribute",
]

Handler = TypeVar("Handler", bound=Callable[..., Any])
E = TypeVar("E", bound="Event")

#: where a decorated method keeps its declaration
MARK = "__roleml_channel__"


class ChannelType(Enum):
    SERVICE = "service"
    TASK = "task"
    EVENT = "event"
    EVENT_HANDLER = "event_handler"


@dataclass(frozen=True)
class HandlerProperties:
    """The declaration of a service or task: what the decorator leaves on the method."""

    type: ChannelType
    channel_name: str
    checkpoint: bool = False


def _everyone(_: RoleInstanceID) -> bool:
    return True


@dataclass(frozen=True)
class EventHandlerProperties:
    """The declaration of an event handler: whose events it wants, and which of them."""

    relationship: str
    channel_name: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mode: EventSubscriptionMode = "forever"
    extra_filter: Callable[[RoleInstanceID], bool] = _everyone


@dataclass(frozen=True)
class attribute:  # noqa: N801  # reads as a word in a declaration: conditions={'group': attribute('group')}
    """As a condition's value: the value that this attribute of the role instance has when it is added."""

    name: str


class HandlerDecorator:
    """Turns a method into a message handler.

    A handler is called as ``handler(self, caller, args, payloads)``. With ``expand=True`` the contents of
    both parts arrive as keyword arguments instead: ``method(self, caller, **args, **payloads)``; a key that
    is missing, unexpected or in both parts is a ``TypeError`` of the handler. A method that cannot be called
    like that is a ``TypeError`` where it is declared.
    """

    def __init__(self, *, expand: bool = False) -> None:
        self.expand = expand

    def __call__(self, method: Handler) -> Handler:
        if inspect.ismethod(method):
            raise TypeError(
                f"{method.__qualname__} is a bound method; decorate the function in the class body instead"
            )
        if not callable(method):
            raise TypeError(f"a handler must be a function, not {type(method).__name__}")
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise TypeError(
                f"{method.__qualname__} is an async function; write it without 'async': a handler runs in a "
                "thread of its own, where it may block"
            )
        if isinstance(method, FunctionType):
            self._check_parameters(method)
        return self._mark(_expanding(method) if self.expand else method)

    def _check_parameters(self, method: FunctionType) -> None:
        # of the function itself: one that wraps another, as decorators make it, takes what it says
        signature = inspect.signature(method, follow_wrapped=False)
        try:
            if self.expand:
                signature.bind_partial(None, None)
            else:
                signature.bind(None, None, None, None)
        except TypeError as e:
            called, hint = (
                ("(self, caller, **args, **payloads)", "")
                if self.expand
                else (
                    "(self, caller, args, payloads)",
                    "; with expand=True, it gets the contents of both as keyword arguments",
                )
            )
            raise TypeError(
                f"{method.__qualname__}{signature} cannot be called as {called}: {e}{hint}"
            ) from None

    def _mark(self, handler: Handler) -> Handler:
        return handler


def _expanding(method: Handler) -> Handler:
    @functools.wraps(method)
    def handler(self: Any, caller: RoleInstanceID, args: Args, payloads: Payloads) -> Any:
        return method(self, caller, **args, **payloads)

    return handler  # type: ignore[return-value]  # stands for the method, with the signature of a handler


class _ChannelDecorator(HandlerDecorator):
    def __init__(
        self, type: ChannelType, channel_name: str | None, *, expand: bool, checkpoint: bool
    ) -> None:
        super().__init__(expand=expand)
        self.type = type
        self.channel_name = channel_name
        self.checkpoint = checkpoint

    def _mark(self, handler: Handler) -> Handler:
        name = to_standardized_name(self.channel_name or handler.__name__)
        setattr(handler, MARK, HandlerProperties(self.type, name, self.checkpoint))
        return handler


def _declare(
    type: ChannelType,
    channel_name: str | Callable[..., Any] | None,
    name: str | None,
    expand: bool,
    checkpoint: bool,
) -> Any:
    if callable(channel_name):
        return _ChannelDecorator(type, None, expand=False, checkpoint=False)(channel_name)
    if channel_name is not None and name is not None:
        raise TypeError(f"the channel has two names, {channel_name!r} and {name!r}; give one")
    return _ChannelDecorator(type, channel_name or name, expand=expand, checkpoint=checkpoint)


@overload
def Service(channel_name: Handler, /) -> Handler: ...
@overload
def Service(
    channel_name: str | None = None,
    *,
    name: str | None = None,
    expand: bool = False,
    checkpoint: bool = False,
) -> HandlerDecorator: ...
def Service(  # noqa: N802  # a declaration, written like EventHandler
    channel_name: str | Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    expand: bool = False,
    checkpoint: bool = False,
) -> Any:
    """Declare a service: a synchronous call, whose caller waits for the handler's value.

    Used as ``@Service``, ``@Service()`` or ``@Service('name', expand=True)``. The channel is called like the
    method unless named, with hyphens for underscores. Calls may run in parallel; the role locks for itself.

    With `checkpoint=True`, an actor that keeps checkpoints makes one after the handler, before the answer.
    """
    return _declare(ChannelType.SERVICE, channel_name, name, expand, checkpoint)


@overload
def Task(channel_name: Handler, /) -> Handler: ...
@overload
def Task(
    channel_name: str | None = None,
    *,
    name: str | None = None,
    expand: bool = False,
    checkpoint: bool = False,
) -> HandlerDecorator: ...
def Task(  # noqa: N802
    channel_name: str | Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    expand: bool = False,
    checkpoint: bool = False,
) -> Any:
    """Declare a task: an asynchronous call, whose caller gets a
    :class:`~roleml.core.role.types.TaskInvocation` as soon as the call is accepted.

    Otherwise like :func:`Service`. A checkpoint holds the answer, too: should the task come again, to this
    process or to a later one that resumes, it does not run again.
    """
    return _declare(ChannelType.TASK, channel_name, name, expand, checkpoint)


class EventHandler(HandlerDecorator):
    """Subscribe a method to an event of every member of a relationship, now and as it changes.

    Args:
        relationship: whose events; without members, the local role of that name.
        channel_name: the event channel of those roles.
        expand: see :class:`HandlerDecorator`.
        conditions: only messages whose args meet all of these, e.g. ``{'loss__lt': 0.5}``.
        mode: ``'once'`` ends the subscription with the first matching message.
        extra_filter: subscribes only to members for which it is true.
    """

    def __init__(
        self,
        relationship: str,
        channel_name: str,
        *,
        expand: bool = False,
        conditions: Mapping[str, Any] | None = None,
        mode: EventSubscriptionMode = "forever",
        extra_filter: Callable[[RoleInstanceID], bool] = _everyone,
    ) -> None:
        super().__init__(expand=expand)
        if not isinstance(relationship, str):
            raise TypeError(
                "EventHandler needs the name of a relationship and of a channel: "
                "@EventHandler('trainer', 'done')"
            )
        if mode not in get_args(EventSubscriptionMode):
            raise ValueError(f"unknown subscription mode {mode!r}; it is 'once' or 'forever'")
        if not isinstance(conditions or {}, Mapping):
            raise TypeError(
                f"conditions map names to values, such as {{'loss__lt': 0.5}}; these are {conditions!r}"
            )
        self.properties = EventHandlerProperties(
            relationship, to_standardized_name(channel_name), dict(conditions or {}), mode, extra_filter
        )

    def _mark(self, handler: Handler) -> Handler:
        setattr(handler, MARK, self.properties)
        return handler


class Event:
    """Declare an event channel. On a role that was added to an actor, the attribute emits.

    The channel is called like the attribute unless named, with hyphens for underscores.
    """

    def __init__(self, channel_name: str | None = None) -> None:
        self.channel_name = to_standardized_name(channel_name) if channel_name else ""
        self._role: Any = None

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.channel_name:
            self.channel_name = to_standardized_name(name)

    def __get__(self: E, instance: object | None, owner: type) -> E:
        if instance is None:
            return self
        emitter = type(self)(self.channel_name)
        emitter._role = instance
        return emitter

    def emit(
        self, args: Args | None = None, payloads: Payloads | None = None, *, message: Message | None = None
    ) -> None:
        """Publish to whoever subscribed; returns when every delivery is on its way, and waits for no handler.

        While the role is paused it waits. A subscriber that cannot be reached is logged, never raised.

        Raises:
            RuntimeError: the role was not added to an actor.
            TypeError: a part of the message does not map names to values.
            HandlerError: the role is not open (not started yet, or ending).
            NoSuchEventError: the role has no such channel.
        """
        if self._role is None:
            raise RuntimeError(
                f"event {self.channel_name!r} has no role to emit from; emit through a role instance: "
                f"self.{self.channel_name.replace('-', '_')}.emit(...)"
            )
        if message is None:
            message = Message(args or {}, payloads or {})
        self._role.base.emit(self._role.name, self.channel_name, message)
