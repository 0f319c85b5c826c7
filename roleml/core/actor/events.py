"""Events: emitting, subscribing, and delivering to handlers.

A message is emitted under the order lock of its channel: handed by reference to the subscriptions on this
actor, and published once to the broker if any other actor subscribed. What arrives from the broker is decoded
once and handed on in the same way. Each subscription has a lane: its handlers start in the order of emission.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from roleml.core.actor.conditions import parse_conditions
from roleml.core.actor.failures import at_caller
from roleml.core.actor.handled import Handled
from roleml.core.actor.status import RoleStatusManager
from roleml.core.actor.subscriptions import ChannelID, Emission, Inlet, Source, Subscription
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.exceptions import (
    ChannelNotFoundError,
    HandlerError,
    NoSuchEventError,
    NoSuchRoleError,
    RoleInteractionError,
)
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Args, EventSubscriptionMode, Message, Payloads
from roleml.core.status import Status, StatusError
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.exceptions import CodecError, MessagingError, MsgConnectionError
from roleml.messaging.filters import stamps_of
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.serving import Request
from roleml.messaging.transport import Presence
from roleml.shared.lanes import Started
from roleml.shared.suggestions import did_you_mean

__all__ = ["Events", "Handler"]

logger = logging.getLogger("roleml.managers.event")

Handler = Callable[[RoleInstanceID, Args, Payloads], Any]


class _Listener:
    """A role that may subscribe; before it is ready, its messages are kept here."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: list[tuple[Subscription, Emission]] | None = []  # None: ready, deliver at once


class Events:
    """The events of an actor's roles, and their subscriptions."""

    def __init__(self, ctx: Context, mailbox: Mailbox, statuses: RoleStatusManager, handled: Handled) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._statuses = statuses
        self._handled = handled
        self._lock = threading.Lock()
        self._sources: dict[ChannelID, Source] = {}
        self._inlets: dict[ChannelID, Inlet] = {}
        self._listeners: dict[str, _Listener] = {}
        self._on_lost: Callable[[str, list[Subscription]], None] = lambda actor, lost: None
        mailbox.on_event(self._arrive)
        mailbox.on_presence(self._presence)
        mailbox.watched_while(self._concerns)

    def on_lost(self, callback: Callable[[str, list[Subscription]], None]) -> None:
        """``callback(actor, subscriptions)`` hears of a lost actor, and which subscriptions ended with it."""
        self._on_lost = callback

    # a role's life, called by the actor in this order

    def add_role(self, name: str, role: Role) -> None:
        with self._lock:
            self._listeners[name] = _Listener()
            for channel in type(role).events:
                origin = ChannelID(RoleInstanceID(self._ctx.profile.name, name), channel)
                self._sources[origin] = Source(origin)

    def open(self, name: str) -> None:
        """The role is ready: deliver what was kept, in order, and everything later at once."""
        listener = self._listeners[name]
        with listener.lock:
            held, listener.held = listener.held or [], None
            for subscription, emission in held:
                self._schedule(subscription, emission)

    def remove_role(self, name: str, *, leaving: bool = False) -> None:
        """End the subscriptions of the role and to it, and tell the other actors concerned.

        Not if the actor is ``leaving``: they hear that it is down, and await its return; and what the broker
        has for it goes at once.
        """
        me = RoleInstanceID(self._ctx.profile.name, name)
        with self._lock:
            self._listeners.pop(name, None)
            sources = [self._sources.pop(origin) for origin in list(self._sources) if origin.source == me]
            inlets = list(self._inlets.items())
        for origin, inlet in inlets:
            ending = inlet.all() if origin.source == me else inlet.of(name)
            if ending:
                self._end(origin, ending, leaving=leaving)
        for source in () if leaving else sources:
            with source.order:
                actors = list(source.remote)
            for actor in actors:
                self._tell(actor, "discontinue", source.origin, me)

    def has_channel(self, instance: RoleInstanceID, channel_name: str) -> bool:
        """Whether that role of this actor has such an event."""
        return ChannelID(instance, channel_name) in self._sources

    def subscriptions(self) -> list[Subscription]:
        """Those of the roles here that their sources have accepted, and that go on."""
        with self._lock:
            inlets = list(self._inlets.values())
        return [each for inlet in inlets for each in inlet.all() if each.begun and not each.ended]

    def is_heard(self, name: str, channel_name: str) -> bool:
        """Whether anybody, here or elsewhere, is subscribed to that event of a role here."""
        origin = ChannelID(RoleInstanceID(self._ctx.profile.name, name), channel_name)
        source = self._sources.get(origin)
        return source is not None and (bool(source.remote) or origin in self._inlets)

    def emitted(self, name: str) -> dict[str, int]:
        """How many messages each channel of a role has emitted."""
        return {
            origin.channel: source.sequence
            for origin, source in list(self._sources.items())
            if origin.source.instance_name == name
        }

    # emitting

    def emit(self, name: str, channel_name: str, message: Message) -> None:
        me, channel = RoleInstanceID(self._ctx.profile.name, name), to_standardized_name(channel_name)
        try:
            ticket = self._statuses.ctrl(name).acquire_execution()
        except (StatusError, NoSuchRoleError) as e:
            raise HandlerError(f"{me} cannot emit {channel!r}: {e}") from e
        with ticket:
            source = self._sources.get(ChannelID(me, channel))
            if source is None:
                known = [origin.channel for origin in self._sources if origin.source == me]
                raise NoSuchEventError(f"{me} has no event named {channel!r}{did_you_mean(channel, known)}")
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("emitting %s with args %s", source.origin, dict(message.args))
            with source.order:
                emission = source.next(message)
                self._fan_out(emission)
                if source.remote:
                    self._publish(emission)

    def _publish(self, emission: Emission) -> None:
        origin = emission.origin
        try:
            self._mailbox.publish(
                origin.source,
                origin.channel,
                emission.sequence,
                emission.message,
                stamps_of(emission.message.args),
            )
        except CodecError as e:
            # An undeliverable event is the emitter's to know, but not to handle: log it as an error.
            logger.error("%s was not sent to other actors: %s", origin, e)
        except MessagingError as e:
            logger.info("%s was not sent to other actors: %s", origin, e)

    # subscribing

    def subscribe(
        self,
        name: str,
        target: RoleInstanceID,
        channel_name: str,
        handler: Handler,
        *,
        conditions: Mapping[str, Any] | None = None,
        mode: EventSubscriptionMode = "forever",
        tag: str = "",
    ) -> Subscription:
        if mode not in ("once", "forever"):
            raise ValueError(f"unknown subscription mode {mode!r}; it is 'once' or 'forever'")
        origin = _channel_of(target, channel_name)
        subscription = Subscription(name, origin, tag, handler, parse_conditions(conditions), mode)
        self._check_open(name)
        listener = self._listeners.get(name)
        known = self._enlist(subscription)
        if known is not None:
            return known
        try:
            since = self._register(name, origin)
        except Exception:
            self._end(origin, [subscription], tell=False)
            raise
        if self._listeners.get(name) is not listener:  # the role ended, and did not see this one
            self._end(origin, [subscription])
            raise StatusError(f"role {name!r} ended while it subscribed to {origin}")
        for emission in subscription.begin(since):
            self._deliver(subscription, emission)
        return subscription

    def unsubscribe(self, name: str, target: RoleInstanceID, channel_name: str) -> None:
        origin = _channel_of(target, channel_name)
        with self._statuses.ctrl(name).acquire_execution():
            inlet = self._inlets.get(origin)
            subscriptions = inlet.of(name) if inlet is not None else []
            if not subscriptions:
                raise RuntimeError(f"role {name!r} is not subscribed to {origin}")
            source = self._sources.get(origin)
            if source is None:
                self._end(origin, subscriptions)
            else:
                with source.order:  # wait for an emission that is under way
                    self._end(origin, subscriptions)

    def end(self, subscription: Subscription) -> None:
        """End one subscription; one that has ended already is fine."""
        self._end(subscription.origin, [subscription])

    def _check_open(self, name: str) -> None:
        """Whether a role of this actor takes part in events, as it is now.

        To hold its status still would be safer, and a dead end: two roles that subscribe to each other while
        both are starting would wait for each other. Whoever asks looks again afterwards.

        Raises:
            NoSuchRoleError, StatusError: it does not.
        """
        status = self._statuses.ctrl(name).status
        if status not in Status.DECLARED_COMPATIBLE | Status.RESUMING:
            raise StatusError(
                f"role {name!r} is {status.name}: it can neither subscribe nor be subscribed to"
            )

    def _enlist(self, subscription: Subscription) -> Subscription | None:
        while True:
            with self._lock:
                inlet = self._inlets.setdefault(subscription.origin, Inlet())
            with inlet.gate:
                if not inlet.closed:
                    return inlet.put(subscription)

    def _register(self, name: str, origin: ChannelID) -> int:
        """Make the source know of this actor; returns how many messages it had emitted by then."""
        if origin.source.actor_name == self._ctx.profile.name:
            source = self._open_source(origin)
            with source.order:
                sequence = source.sequence
            self._check_still_there(source)
            return sequence
        me = RoleInstanceID(self._ctx.profile.name, name)
        target, content = (origin.source.actor_name, ""), (tuple(origin.source), origin.channel)
        begun = self._listen(origin)
        try:
            sequence = self._mailbox.call(Kind.CONTROL, me, target, "subscribe", content)
            if not begun:
                # It has answered, so its channel exists now: begin, and ask anew what was emitted before
                self._listen(origin)
                sequence = self._mailbox.call(Kind.CONTROL, me, target, "subscribe", content)
        except Exception as e:
            error = at_caller(e)
            if isinstance(error, RoleInteractionError) and not isinstance(
                error, ChannelNotFoundError | HandlerError
            ):
                error = HandlerError(str(error))
            raise error from e
        if not isinstance(sequence, int):
            raise HandlerError(
                f"{origin} answered a subscription with {sequence!r}; are the versions the same?"
            )
        return sequence

    def _listen(self, origin: ChannelID) -> bool:
        """Have the broker send what any subscription of this actor may want of that channel."""
        inlet = self._inlets.get(origin)
        if inlet is None:
            return True
        with inlet.gate:
            return inlet.closed or self._ask(inlet, origin)

    def _ask(self, inlet: Inlet, origin: ChannelID) -> bool:
        inlet.asked = inlet.filters()
        return self._mailbox.transport.subscribe(origin.source, origin.channel, inlet.asked)

    def _open_source(self, origin: ChannelID) -> Source:
        """A channel of this actor that may be subscribed to.

        Raises:
            NoSuchRoleError, StatusError, ChannelNotFoundError: it may not.
        """
        self._check_open(origin.source.instance_name)
        source = self._sources.get(origin)
        if source is None:
            known = [each.channel for each in self._sources if each.source == origin.source]
            raise ChannelNotFoundError(
                f"{origin.source} has no event named {origin.channel!r}{did_you_mean(origin.channel, known)}"
            )
        return source

    def _check_still_there(self, source: Source) -> None:
        """Raise ``StatusError`` if the source ended while it was subscribed to: nobody else would tell."""
        if self._sources.get(source.origin) is not source:
            raise StatusError(f"{source.origin.source} ended while it was subscribed to")

    def _end(
        self,
        origin: ChannelID,
        subscriptions: list[Subscription],
        *,
        tell: bool = True,
        leaving: bool = False,
    ) -> None:
        inlet = self._inlets.get(origin)
        if inlet is None:
            return
        remote = origin.source.actor_name != self._ctx.profile.name and not leaving
        with inlet.gate:
            inlet.remove(subscriptions)
            left = {subscription.subscriber for subscription in inlet.all()}
            if remote and tell:
                for name in {subscription.subscriber for subscription in subscriptions} - left:
                    me = RoleInstanceID(self._ctx.profile.name, name)
                    self._tell(origin.source.actor_name, "unsubscribe", origin, me)
            if left and remote:
                if inlet.filters() != inlet.asked:
                    self._ask(inlet, origin)
            elif not left and not inlet.closed:
                if remote:
                    self._mailbox.transport.unsubscribe(origin.source, origin.channel)
                inlet.closed = True
                with self._lock:
                    del self._inlets[origin]
        if remote and tell and not left:
            self._mailbox.unwatch(origin.source.actor_name)

    def _tell(self, actor: str, what: str, origin: ChannelID, me: RoleInstanceID) -> None:
        self._mailbox.tell(me, (actor, ""), what, (tuple(origin.source), origin.channel))

    # asked by other actors

    def controls(self) -> dict[str, Callable[[Request], Any]]:
        """What other actors may ask about events: name -> function of the request."""
        return {"subscribe": self._asked_to_subscribe, "unsubscribe": self._asked_to_unsubscribe,
                "discontinue": self._told_to_discontinue}  # fmt: skip

    def _asked_to_subscribe(self, request: Request) -> int:
        origin, subscriber = _origin_of(request), RoleInstanceID(*request.source)
        source = self._open_source(origin)
        self._mailbox.transport.offer(origin.source.instance_name, origin.channel)
        sequence = source.add_remote(subscriber)
        self._mailbox.watch(subscriber.actor_name)
        self._check_still_there(source)
        return sequence

    def _asked_to_unsubscribe(self, request: Request) -> None:
        source = self._sources.get(_origin_of(request))
        if source is not None:
            source.drop_remote(RoleInstanceID(*request.source))

    def _told_to_discontinue(self, request: Request) -> None:
        origin = _origin_of(request)
        if origin.source == tuple(request.source):  # only the source itself may end its channel
            inlet = self._inlets.get(origin)
            if inlet is not None:
                subscriptions = inlet.all()
                for subscription in subscriptions:
                    subscription.discontinued = not subscription.ended
                self._end(origin, subscriptions, tell=False)

    def _presence(self, actor: str, state: Presence) -> None:
        # news come in a thread that must not wait for an emission to end
        react = self._forget_actor if state is Presence.DOWN else self._ask_again
        self._mailbox.lanes.submit(("presence", actor), lambda _: react(actor))

    def _concerns(self, actor: str) -> bool:
        """Whether that actor has subscribed here, or somebody here to it."""
        with self._lock:
            if any(origin.source.actor_name == actor for origin in self._inlets):
                return True
            return any(actor in source.remote for source in self._sources.values())

    def _ask_again(self, actor: str) -> None:
        """Make sure that sources know of this actor: those of an actor that is back, or all of them.

        A successor of a source does not know what was asked of the other one.
        """
        with self._lock:
            inlets = [
                (origin, inlet)
                for origin, inlet in self._inlets.items()
                if (origin.source.actor_name == actor) != (actor == self._ctx.profile.name)
            ]
        for origin, inlet in inlets:
            begun = [each for each in inlet.all() if each.begun and not each.ended]
            for name in dict.fromkeys(each.subscriber for each in begun):
                mine = [each for each in begun if each.subscriber == name]
                try:
                    since = self._register(name, origin)
                except RoleInteractionError as e:
                    if isinstance(e.__cause__, MsgConnectionError):
                        break  # not there yet, or lost: it will be heard which
                    logger.info("%s does not hear %s any more: %s", name, origin, e)
                    self._lose(origin.source.actor_name, [origin])
                    break
                for subscription in mine:
                    subscription.go_on(since)

    def _forget_actor(self, actor: str) -> None:
        for source in list(self._sources.values()):
            source.drop_actor(actor)
        with self._lock:
            origins = [origin for origin in self._inlets if origin.source.actor_name == actor]
        self._lose(actor, origins)
        self._mailbox.unwatch(actor)

    def _lose(self, actor: str, origins: list[ChannelID]) -> None:
        """End the subscriptions to these channels, which are not there any more."""
        lost: list[Subscription] = []
        for origin in origins:
            inlet = self._inlets.get(origin)
            subscriptions = inlet.all() if inlet is not None else []
            lost += [subscription for subscription in subscriptions if not subscription.ended]
            self._end(origin, subscriptions, tell=False)
        self._on_lost(actor, lost)

    # delivering

    def _arrive(self, envelope: Envelope, decode: Callable[[], Any]) -> None:
        origin = ChannelID(RoleInstanceID(*envelope.source), envelope.channel)

        def job(_: Started) -> None:
            try:
                args, payloads = decode()
                if not (isinstance(args, Mapping) and isinstance(payloads, Mapping)):
                    raise TypeError("it is not a pair of args and payloads")
                message = Message(args, payloads)
            except (CodecError, TypeError, ValueError) as e:
                logger.error("a message of %s cannot be read and was dropped: %s", origin, e)
                return
            self._fan_out(Emission(origin, envelope.sequence, message))

        self._mailbox.lanes.submit(("event", origin), job)

    def _fan_out(self, emission: Emission) -> None:
        inlet = self._inlets.get(emission.origin)
        if inlet is None:
            logger.debug("nobody here listens to %s any more", emission.origin)
            return
        for subscription in inlet.all():
            if subscription.take(emission):
                self._deliver(subscription, emission)

    def _deliver(self, subscription: Subscription, emission: Emission) -> None:
        if subscription.ended:  # it took its one message; the source need not hear that in this thread
            self._mailbox.lanes.submit(("end", subscription.origin), lambda _: self.end(subscription))
        listener = self._listeners.get(subscription.subscriber)
        if listener is None:
            return
        with listener.lock:
            if listener.held is not None:
                listener.held.append((subscription, emission))
            else:
                self._schedule(subscription, emission)

    def _schedule(self, subscription: Subscription, emission: Emission) -> None:
        lane = ("event", subscription.origin, subscription.subscriber, subscription.tag)
        self._mailbox.lanes.submit(lane, lambda started: self._handle(subscription, emission, started))

    def _handle(self, subscription: Subscription, emission: Emission, started: Started) -> None:
        try:
            ticket = self._statuses.ctrl(subscription.subscriber).acquire_execution()
        except (StatusError, NoSuchRoleError):
            return  # the subscriber is ending
        started()
        origin, message = emission.origin, emission.message
        work = partial(subscription.handler, origin.source, message.args, message.payloads)
        target = (self._ctx.profile.name, subscription.subscriber)
        with ticket, self._ctx.activate():
            began_s = time.perf_counter()
            try:
                self._mailbox.paced(Request(Kind.EVENT, origin.source, target, origin.channel, message), work)
                self._handled.done(subscription.subscriber, origin.channel, began_s)
            except Exception as e:
                where = f"{RoleInstanceID(*target)} on {origin}"
                self._handled.failed(subscription.subscriber, where, e)
                logger.exception("role %s failed to handle %s", subscription.subscriber, origin)


def _channel_of(target: object, channel_name: str) -> ChannelID:
    if not isinstance(target, tuple) or len(target) != 2:
        raise TypeError(
            f"{target!r} is not a role instance; use RoleInstanceID(actor, role), or @EventHandler to "
            "subscribe to all members of a relationship"
        )
    return ChannelID(RoleInstanceID(*target), to_standardized_name(channel_name))


def _origin_of(request: Request) -> ChannelID:
    try:
        (actor, role), channel = request.content
        return ChannelID(RoleInstanceID(actor, role), channel)
    except (TypeError, ValueError) as e:
        raise HandlerError(
            f"{request.channel!r} needs ((actor, role), channel), not {request.content!r}"
        ) from e
