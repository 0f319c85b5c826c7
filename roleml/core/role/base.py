"""The base class of all roles."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol, TypeVar, cast

from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.channels import MARK, ChannelType, Event, EventHandlerProperties, HandlerProperties
from roleml.core.role.elements import Element
from roleml.core.role.exceptions import CallerError
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.proxies import Proxy
from roleml.core.role.types import (
    Args,
    ErrorHandlingStrategy,
    EventSubscriptionMode,
    Message,
    Payloads,
    PluginAttribute,
    TaskInvocation,
)

__all__ = ["Role", "RoleHost"]

Interface = TypeVar("Interface")

#: of the key of a task; it travels in a header
MAX_KEY_BYTES = 200


class RoleHost(Protocol):
    """What a role needs of the actor that hosts it. The first argument names the acting role."""

    @property
    def ctx(self) -> Context: ...
    @property
    def profile(self) -> ActorProfile: ...
    def call(self, name: str, target: str | RoleInstanceID, channel_name: str, message: Message) -> Any: ...
    def call_task(
        self, name: str, target: str | RoleInstanceID, channel_name: str, message: Message, key: str = ""
    ) -> TaskInvocation: ...
    def call_group(
        self, name: str, group: Iterable[RoleInstanceID], channel_name: str, **options: Any
    ) -> list[tuple[RoleInstanceID, Any]]: ...
    def call_task_group(
        self, name: str, group: Iterable[RoleInstanceID], channel_name: str, **options: Any
    ) -> None: ...
    def subscribe(
        self,
        name: str,
        target: RoleInstanceID,
        channel_name: str,
        handler: Callable[[RoleInstanceID, Args, Payloads], Any],
        *,
        conditions: Mapping[str, Any] | None = None,
        mode: EventSubscriptionMode = "forever",
    ) -> None: ...
    def unsubscribe(self, name: str, target: RoleInstanceID, channel_name: str) -> None: ...
    def emit(self, name: str, channel_name: str, message: Message) -> None: ...
    @property
    def keeps_checkpoints(self) -> bool: ...
    def save_checkpoint(self) -> None: ...


class Role:
    """One responsibility of a distributed-learning architecture.

    A subclass declares channels (``@Service``, ``@Task``, ``Event``, ``@EventHandler``) and workloads
    (``Element``, ``Factory``) in its body, and talks to other roles with the methods below. It inherits those
    of all its parents, whether roles or not, and what it declares again replaces theirs. The runtime adds no
    locking: handlers of one role run in parallel.

    A *target* is either a role instance id, or the name of a relationship of this actor. A relationship
    stands for its smallest member; one without members stands for the local role of that name.
    """

    services: ClassVar[dict[str, str]] = {}
    tasks: ClassVar[dict[str, str]] = {}
    events: ClassVar[dict[str, str]] = {}
    elements: ClassVar[dict[str, str]] = {}
    subscriptions: ClassVar[set[str]] = set()
    plugin_attributes: ClassVar[dict[str, list[str]]] = {}
    #: attribute name -> declaration, for the attributes in ``subscriptions``
    event_handlers: ClassVar[dict[str, EventHandlerProperties]] = {}

    # class-level defaults, so that a subclass may forget super().__init__()
    _name: str = ""
    _base: RoleHost | None = None
    _logger: logging.Logger = logging.getLogger()

    def __init__(self, **kwargs: Any) -> None:
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _Declarations(cls).collect()

    @property
    def name(self) -> str:
        """The instance name; empty until the role is added to an actor."""
        return self._name

    @property
    def base(self) -> RoleHost:
        """The hosting actor. Raises ``RuntimeError`` before the role is added to one."""
        if self._base is None:
            raise RuntimeError(
                f"role not initialized: this {type(self).__name__} was not added to an actor yet"
            )
        return self._base

    @property
    def ctx(self) -> Context:
        """The hosting actor's context: relationships, contacts, seed, folders."""
        return self.base.ctx

    @property
    def profile(self) -> ActorProfile:
        return self.base.profile

    @property
    def id(self) -> RoleInstanceID:
        """How other roles address this instance."""
        return RoleInstanceID(self.profile.name, self._name)

    @property
    def logger(self) -> logging.Logger:
        """``roleml.roles.NAME``; the root logger until the role is added to an actor."""
        return self._logger

    def attach(self, name: str, base: RoleHost) -> None:
        """Make this the role ``name`` of the actor ``base``. Called by the actor, once.

        Raises:
            RuntimeError: it is a role of an actor already.
        """
        if self._base is not None:
            raise RuntimeError(f"this {type(self).__name__} is already the role {self._name!r} of an actor")
        self._name = name
        self._base = base
        self._logger = logging.getLogger(f"roleml.roles.{name}")

    def quiescent(self) -> AbstractContextManager[Any]:
        """A block in which no handler but the one that is in it changes this role and its elements.

        A checkpoint of the role is made in it, and handlers that declare ``checkpoint=True`` run in it. By
        itself a role prevents nothing. One with a lock that its handlers take returns that, an ``RLock``.
        """
        return nullcontext()

    def require(self, condition: Any, message: str = "handler assertion failed") -> None:
        """In a handler: blame the caller unless ``condition`` holds.

        Raises:
            CallerError: with ``message``, at the caller.
        """
        if not condition:
            raise CallerError(message)

    def call(
        self,
        target: str | RoleInstanceID,
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message: Message | None = None,
    ) -> Any:
        """Call a service and wait for its value. ``message`` stands for both parts where given.

        The handler runs at most once for each call, however connections fare. The wait is as long as the
        handler needs, and ends when its actor is lost.

        Raises:
            CallerError: no such role there, its handler blames this call, or the content cannot travel.
            ChannelNotFoundError: that role has no such service.
            HandlerError: the handler failed, the role is not open, or its actor is not there (any more).
            TypeError: ``target`` is neither a name nor a role instance, or the channel is not a name.
        """
        return self.base.call(
            self._name, target, channel_name, message or Message(args or {}, payloads or {})
        )

    def call_task(
        self,
        target: str | RoleInstanceID,
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message: Message | None = None,
        key: str = "",
    ) -> TaskInvocation:
        """Call a task; returns once the other side accepted it. Its value comes through the invocation.

        On a broker that keeps tasks (RabbitMQ), an actor that is switched off accepts when it is back, and a
        task whose process dies is run again by the next one: at least once. Elsewhere it is at most once.

        Calls with the same ``key``, of the same role to the same channel of the same target, are one task: a
        caller that was started again gets the answer of the task that it called before, if it still runs, or
        if the other actor makes checkpoints and was not asked for another since. A task that failed runs
        again.

        Raises:
            CallerError, ChannelNotFoundError, HandlerError: as :meth:`call`, for whatever prevents
                acceptance. Errors of the handler itself come through the invocation.
            ValueError: ``key`` is longer than 200 bytes.
            TypeError: as :meth:`call`.
        """
        return self.base.call_task(
            self._name, target, channel_name, message or Message(args or {}, payloads or {}), _checked(key)
        )

    def proxy(self, interface: Callable[..., Interface], target: str | RoleInstanceID) -> Interface:
        """What `interface` describes, at `target`: ``self.proxy(TrainerAPI, "trainer").train(num_epochs=2)``.

        For editors and type checkers, and never required: see `roleml.core.role.proxies`.
        """
        return cast("Interface", Proxy(self, interface, target))

    def call_group(
        self,
        group: Iterable[RoleInstanceID],
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message_map: Mapping[RoleInstanceID, Message] | None = None,
        message: Message | None = None,
        messages: Iterable[Message] | None = None,
        on_result: Callable[[RoleInstanceID, Any], Any] | None = None,
        on_error: ErrorHandlingStrategy = ErrorHandlingStrategy.RAISE_FIRST,
    ) -> list[tuple[RoleInstanceID, Any]]:
        """Call one service of every member of ``group`` and wait until each has answered or failed.

        A member gets ``message_map[member]``, else the next of ``messages`` (in group order), else the shared
        message. Content that members share is encoded and uploaded once. Whoever is in the group twice is
        called once.

        Args:
            on_result: called with each member and its value as they come, before this returns; with
                ``KEEP`` also with errors.
            on_error: what to do about a member that fails.

        Returns:
            Pairs of member and value, in group order.

        Raises:
            CallerError, ChannelNotFoundError, HandlerError: of a member, as :meth:`call`, unless ``on_error``
                says otherwise.
            ValueError: ``messages`` together with a shared message, or with a member that is in the group
                twice; or an unknown ``on_error``.
            TypeError: ``group`` is not a collection of role instances, but a name, for example.
            RuntimeError: fewer ``messages`` than members; or group calls are disabled on this actor.
        """
        return self.base.call_group(
            self._name,
            group,
            channel_name,
            message_map=message_map,
            message=_shared_message(args, payloads, message),
            messages=messages,
            on_result=on_result,
            on_error=on_error,
        )

    def call_task_group(
        self,
        group: Iterable[RoleInstanceID],
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message_map: Mapping[RoleInstanceID, Message] | None = None,
        message: Message | None = None,
        messages: Iterable[Message] | None = None,
        on_call_error: ErrorHandlingStrategy = ErrorHandlingStrategy.RAISE_FIRST,
        on_result: Callable[[RoleInstanceID, TaskInvocation], Any] | None = None,
        key: str = "",
    ) -> None:
        """Call one task of every member of ``group``; returns when each accepted or refused it.

        Messages are assigned as in :meth:`call_group`.

        Args:
            on_call_error: what to do about a member that does not accept (``KEEP`` makes no sense here).
            on_result: called with each member and its finished invocation, successful or not, from any
                thread, possibly before this returns.
            key: as of :meth:`call_task`, at each member.

        Raises:
            CallerError, ChannelNotFoundError, HandlerError: of a member that did not accept, unless
                ``on_call_error`` says otherwise.
            ValueError: ``KEEP``, or ``key`` is longer than 200 bytes; else as :meth:`call_group`.
            TypeError, RuntimeError: as :meth:`call_group`.
        """
        self.base.call_task_group(
            self._name,
            group,
            channel_name,
            message_map=message_map,
            message=_shared_message(args, payloads, message),
            messages=messages,
            on_call_error=on_call_error,
            on_result=on_result,
            key=_checked(key),
        )

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether the actor was given a folder for checkpoints."""
        return self.base.keeps_checkpoints

    def save_checkpoint(self) -> None:
        """Save what all roles and elements of this actor are; returns when it is on the disk.

        An actor that is started again with ``resume`` goes on from the last checkpoint. Without a folder for
        them, this does nothing. Handlers that declare ``checkpoint=True`` need not call it. The caller must
        not hold a lock that a ``state_dict`` of this actor needs.

        Raises:
            CheckpointError: a state cannot be saved, or the file not be written.
        """
        self.base.save_checkpoint()

    def subscribe(
        self,
        target: RoleInstanceID,
        channel_name: str,
        handler: Callable[[RoleInstanceID, Args, Payloads], Any],
        *,
        conditions: dict[str, Any] | None = None,
        mode: EventSubscriptionMode = "forever",
    ) -> None:
        """Have ``handler(source, args, payloads)`` called for matching events of ``target`` from now on.

        On return the source has registered it. Subscribing again to the same channel replaces the handler.
        The subscription ends with the source, also when its actor is lost; ``@EventHandler`` begins anew.

        Raises:
            ValueError: an unknown operator in ``conditions``, or an unknown ``mode``.
            TypeError: ``target`` is no role instance, ``handler`` cannot be called, or ``conditions`` do not
                map names to values.
            NoSuchRoleError, StatusError: this role, or a local source, is not there, or not open.
            ChannelNotFoundError: that role has no such event.
            HandlerError: the source's actor or role is not there, or not open.
        """
        self.base.subscribe(self._name, target, channel_name, handler, conditions=conditions, mode=mode)

    def unsubscribe(self, target: RoleInstanceID, channel_name: str) -> None:
        """End the subscription to that event, whichever handlers it has.

        Raises:
            RuntimeError: there is none.
            StatusError: this role is not open.
        """
        self.base.unsubscribe(self._name, target, channel_name)


def _checked(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key of a task is a text, not {key!r}")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"a key has at most {MAX_KEY_BYTES} bytes, not {len(key.encode())}: {key[:40]!r}...")
    return key


def _shared_message(args: Args | None, payloads: Payloads | None, message: Message | None) -> Message | None:
    if message is None and (args is not None or payloads is not None):
        return Message(args or {}, payloads or {})
    return message


class _Declarations:
    """Builds the registries of a new role class from its parents' and its own body."""

    def __init__(self, cls: type[Role]) -> None:
        self._cls = cls
        self.services: dict[str, str] = {}
        self.tasks: dict[str, str] = {}
        self.events: dict[str, str] = {}
        self.elements: dict[str, str] = {}
        self.event_handlers: dict[str, EventHandlerProperties] = {}
        self.plugins: dict[str, list[str]] = {}
        for parent in reversed(cls.__mro__[1:]):  # from the oldest to the nearest, so that the nearest wins
            self._read(vars(parent))

    def _read(self, body: Mapping[str, Any]) -> None:
        for attribute_name, value in body.items():
            mark = getattr(value, MARK, None) if callable(value) else None
            if isinstance(mark, HandlerProperties):
                self._forget(attribute_name)
                registry = self.services if mark.type is ChannelType.SERVICE else self.tasks
                other = registry.get(mark.channel_name)
                if body.get(other or "", value) is not value:
                    raise TypeError(
                        f"{self._cls.__qualname__} declares the {mark.type.value} {mark.channel_name!r} "
                        f"twice, as {other} and as {attribute_name}; give one of them another name"
                    )
                registry[mark.channel_name] = attribute_name
            elif isinstance(mark, EventHandlerProperties):
                self._forget(attribute_name)
                self.event_handlers[attribute_name] = mark
            elif isinstance(value, Event):
                self._forget(attribute_name)
                self.events[value.channel_name] = attribute_name
            elif isinstance(value, Element):
                self._forget(attribute_name)
                self.elements[to_standardized_name(attribute_name)] = attribute_name
            elif isinstance(value, PluginAttribute):
                self._forget(attribute_name)
                self.plugins.setdefault(value.PLUGIN_NAME, []).append(attribute_name)
            elif value is None:  # Python's own way to take an inherited method away
                self._forget(attribute_name)

    def _forget(self, attribute_name: str) -> None:
        """Drop what an older class declared under this attribute: the newer declaration replaces it."""
        for registry in (self.services, self.tasks, self.events, self.elements):
            for channel_name in [key for key, value in registry.items() if value == attribute_name]:
                del registry[channel_name]
        self.event_handlers.pop(attribute_name, None)
        for names in self.plugins.values():
            if attribute_name in names:
                names.remove(attribute_name)

    def collect(self) -> None:
        self._read(vars(self._cls))
        self._cls.services = self.services
        self._cls.tasks = self.tasks
        self._cls.events = self.events
        self._cls.elements = self.elements
        self._cls.event_handlers = self.event_handlers
        self._cls.subscriptions = set(self.event_handlers)
        self._cls.plugin_attributes = {name: names for name, names in self.plugins.items() if names}
