"""Events: whom the roles of an actor subscribe to, and what ends a subscription.

Emitting, and delivering to handlers, have rooms of their own beside this one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from roleml.core.actor.conditions import parse_conditions
from roleml.core.actor.delivering import Delivering
from roleml.core.actor.emitting import Emitting, check_takes_part, origin_of
from roleml.core.actor.failures import at_caller
from roleml.core.actor.handled import Handled
from roleml.core.actor.status import RoleStatusManager
from roleml.core.actor.subscriptions import ChannelID, Inlet, Subscription
from roleml.core.context import Context, RoleInstanceID, as_instance
from roleml.core.role.base import Role
from roleml.core.role.exceptions import (
    ChannelNotFoundError,
    HandlerError,
    RoleInteractionError,
)
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Args, EventSubscriptionMode, Message, Payloads
from roleml.core.status import StatusError
from roleml.messaging.envelope import Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.serving import Request
from roleml.messaging.transport import Presence

__all__ = ["Events", "Handler"]

logger = logging.getLogger("roleml.managers.event")

Handler = Callable[[RoleInstanceID, Args, Payloads], Any]


class Events:
    """The events of an actor's roles, and their subscriptions."""

    def __init__(self, ctx: Context, mailbox: Mailbox, statuses: RoleStatusManager, handled: Handled) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._statuses = statuses
        self._lock = threading.Lock()
        self._inlets: dict[ChannelID, Inlet] = {}
        self._delivering = Delivering(ctx, mailbox, statuses, handled, self._inlets, self.end)
        self._emitting = Emitting(ctx, mailbox, statuses, self._delivering)
        self._on_lost: Callable[[str, list[Subscription]], None] = lambda actor, lost: None
        mailbox.on_presence(self._presence)
        mailbox.watched_while(self._concerns)

    def on_lost(self, callback: Callable[[str, list[Subscription]], None]) -> None:
        """``callback(actor, subscriptions)`` hears of a lost actor, and which subscriptions ended with it."""
        self._on_lost = callback

    # a role's life, called by the actor in this order

    def add_role(self, name: str, role: Role) -> None:
        self._delivering.add_role(name)
        self._emitting.add_role(name, type(role).events)

    def open(self, name: str) -> None:
        """The role is ready: deliver what was kept, in order, and everything later at once."""
        self._delivering.open(name)

    def remove_role(self, name: str, *, leaving: bool = False) -> None:
        """End the subscriptions of the role and to it, and tell the other actors concerned.

        Not if the actor is ``leaving``: they hear that it is down, and await its return; and what the broker
        has for it goes at once.
        """
        me = RoleInstanceID(self._ctx.profile.name, name)
        self._delivering.remove_role(name)
        sources = self._emitting.remove_role(name)
        with self._lock:
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
        return ChannelID(instance, channel_name) in self._emitting.sources

    def subscriptions(self) -> list[Subscription]:
        """Those of the roles here that their sources have accepted, and that go on."""
        with self._lock:
            inlets = list(self._inlets.values())
        return [each for inlet in inlets for each in inlet.all() if each.begun and not each.ended]

    def is_heard(self, name: str, channel_name: str) -> bool:
        """Whether anybody, here or elsewhere, is subscribed to that event of a role here."""
        origin = ChannelID(RoleInstanceID(self._ctx.profile.name, name), channel_name)
        source = self._emitting.sources.get(origin)
        return source is not None and (bool(source.remote) or origin in self._inlets)

    def emitted(self, name: str) -> dict[str, int]:
        """How many messages each channel of a role has emitted."""
        return self._emitting.emitted(name)

    def emit(self, name: str, channel_name: str, message: Message) -> None:
        self._emitting.emit(name, channel_name, message)

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
        if not callable(handler):
            raise TypeError(f"a function or method handles {origin}, not {handler!r}")
        subscription = Subscription(name, origin, tag, handler, parse_conditions(conditions), mode)
        check_takes_part(self._statuses, RoleInstanceID(self._ctx.profile.name, name))
        listener = self._delivering.listener(name)
        known = self._enlist(subscription)
        if known is not None:
            return known
        try:
            since = self._register(name, origin)
        except Exception:
            self._end(origin, [subscription], tell=False)
            raise
        if self._delivering.listener(name) is not listener:  # the role ended, and did not see this one
            self._end(origin, [subscription])
            raise StatusError(f"role {name!r} ended while it subscribed to {origin}")
        for emission in subscription.begin(since):
            self._delivering.deliver(subscription, emission)
        return subscription

    def unsubscribe(self, name: str, target: RoleInstanceID, channel_name: str) -> None:
        origin = _channel_of(target, channel_name)
        with self._statuses.ctrl(name).acquire_execution():
            inlet = self._inlets.get(origin)
            subscriptions = inlet.of(name) if inlet is not None else []
            if not subscriptions:
                raise RuntimeError(f"role {name!r} is not subscribed to {origin}")
            source = self._emitting.sources.get(origin)
            if source is None:
                self._end(origin, subscriptions)
            else:
                with source.order:  # wait for an emission that is under way
                    self._end(origin, subscriptions)

    def end(self, subscription: Subscription) -> None:
        """End one subscription; one that has ended already is fine."""
        self._end(subscription.origin, [subscription])

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
            source = self._emitting.open_source(origin)
            with source.order:
                sequence = source.sequence
            self._emitting.check_still_there(source)
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
        return {**self._emitting.controls(), "discontinue": self._told_to_discontinue}

    def _told_to_discontinue(self, request: Request) -> None:
        origin = origin_of(request)
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
        return self._emitting.is_heard_elsewhere(actor)

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
        self._emitting.forget_actor(actor)
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


def _channel_of(target: object, channel_name: str) -> ChannelID:
    try:
        source = as_instance(target)
    except TypeError as e:
        raise TypeError(f"{e}; @EventHandler subscribes to all members of a relationship") from None
    return ChannelID(source, to_standardized_name(channel_name))
