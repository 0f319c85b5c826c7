"""Delivering events to the handlers of an actor's roles.

What arrives from the broker is decoded once, and handed on as what is emitted here. Each subscription has a
lane: its handlers start in the order of emission.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from roleml.core.actor.handled import Handled
from roleml.core.actor.status import RoleStatusManager
from roleml.core.actor.subscriptions import ChannelID, Emission, Inlet, Subscription
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.exceptions import NoSuchRoleError
from roleml.core.role.types import as_message
from roleml.core.status import StatusError
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.exceptions import CodecError
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.serving import Request
from roleml.shared.lanes import Started

__all__ = ["Delivering", "Listener"]

logger = logging.getLogger("roleml.managers.event")


class Listener:
    """A role that may subscribe; before it is ready, its messages are kept here."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: list[tuple[Subscription, Emission]] | None = []  # None: ready, deliver at once


class Delivering:
    """Hands messages to subscriptions.

    ``inlets`` are the subscriptions of this actor; ``when_taken(subscription)`` hears, in a thread that may
    block, of one that has got the only message it wanted.
    """

    def __init__(
        self,
        ctx: Context,
        mailbox: Mailbox,
        statuses: RoleStatusManager,
        handled: Handled,
        inlets: Mapping[ChannelID, Inlet],
        when_taken: Callable[[Subscription], Any],
    ) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._statuses = statuses
        self._handled = handled
        self._inlets = inlets
        self._when_taken = when_taken
        self._listeners: dict[str, Listener] = {}
        mailbox.on_event(self._arrive)

    def add_role(self, name: str) -> None:
        self._listeners[name] = Listener()

    def listener(self, name: str) -> Listener | None:
        """What stands for this role as long as it is there: a later one of its name has another."""
        return self._listeners.get(name)

    def open(self, name: str) -> None:
        """The role is ready: deliver what was kept, in order, and everything later at once."""
        listener = self._listeners[name]
        with listener.lock:
            held, listener.held = listener.held or [], None
            for subscription, emission in held:
                self._schedule(subscription, emission)

    def remove_role(self, name: str) -> None:
        self._listeners.pop(name, None)

    def fan_out(self, emission: Emission) -> None:
        """Deliver to all subscriptions on this actor that want it."""
        inlet = self._inlets.get(emission.origin)
        if inlet is None:
            logger.debug("nobody here listens to %s any more", emission.origin)
            return
        for subscription in inlet.all():
            if subscription.take(emission):
                self.deliver(subscription, emission)

    def deliver(self, subscription: Subscription, emission: Emission) -> None:
        """Deliver what the subscription has taken: at once, or when its role is ready."""
        if subscription.ended:  # it took its one message; the source need not hear that in this thread
            self._mailbox.lanes.submit(("end", subscription.origin), lambda _: self._when_taken(subscription))
        listener = self._listeners.get(subscription.subscriber)
        if listener is None:
            return
        with listener.lock:
            if listener.held is not None:
                listener.held.append((subscription, emission))
            else:
                self._schedule(subscription, emission)

    def _arrive(self, envelope: Envelope, decode: Callable[[], Any]) -> None:
        origin = ChannelID(RoleInstanceID(*envelope.source), envelope.channel)

        def job(_: Started) -> None:
            try:
                message = as_message(decode())
            except (CodecError, TypeError, ValueError) as e:
                logger.error("a message of %s cannot be read and was dropped: %s", origin, e)
                return
            self.fan_out(Emission(origin, envelope.sequence, message))

        self._mailbox.lanes.submit(("event", origin), job)

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
