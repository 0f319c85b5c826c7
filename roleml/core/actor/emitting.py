"""The event channels of an actor's roles: emitting, and who elsewhere has asked to hear.

A message is emitted under the order lock of its channel: handed by reference to the subscriptions on this
actor, and published once to the broker if any other actor subscribed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from roleml.core.actor.delivering import Delivering
from roleml.core.actor.status import RoleStatusManager
from roleml.core.actor.subscriptions import ChannelID, Emission, Source
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.exceptions import ChannelNotFoundError, HandlerError, NoSuchEventError, NoSuchRoleError
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Message, as_message
from roleml.core.status import Status, StatusError
from roleml.messaging.exceptions import CodecError, MessagingError
from roleml.messaging.filters import stamps_of
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.serving import Request
from roleml.shared.suggestions import did_you_mean

__all__ = ["Emitting", "check_takes_part", "origin_of"]

logger = logging.getLogger("roleml.managers.event")


class Emitting:
    """The channels that roles of this actor emit on."""

    def __init__(
        self, ctx: Context, mailbox: Mailbox, statuses: RoleStatusManager, delivering: Delivering
    ) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._statuses = statuses
        self._delivering = delivering
        self._lock = threading.Lock()
        self.sources: dict[ChannelID, Source] = {}

    def add_role(self, name: str, channels: Collection[str]) -> None:
        me = RoleInstanceID(self._ctx.profile.name, name)
        with self._lock:
            self.sources.update({(origin := ChannelID(me, channel)): Source(origin) for channel in channels})

    def remove_role(self, name: str) -> list[Source]:
        """The role emits no more; what it emitted on."""
        me = RoleInstanceID(self._ctx.profile.name, name)
        with self._lock:
            return [self.sources.pop(origin) for origin in list(self.sources) if origin.source == me]

    def emitted(self, name: str) -> dict[str, int]:
        """How many messages each channel of a role has emitted."""
        return {
            origin.channel: source.sequence
            for origin, source in list(self.sources.items())
            if origin.source.instance_name == name
        }

    def emit(self, name: str, channel_name: str, message: Message) -> None:
        me, channel = RoleInstanceID(self._ctx.profile.name, name), to_standardized_name(channel_name)
        try:
            message = as_message(message)
        except TypeError as e:
            raise TypeError(f"{me} cannot emit {channel!r}: {e}") from None
        try:
            ticket = self._statuses.ctrl(name).acquire_execution()
        except (StatusError, NoSuchRoleError) as e:
            raise HandlerError(f"{me} cannot emit {channel!r}: {e}") from e
        with ticket:
            source = self.sources.get(ChannelID(me, channel))
            if source is None:
                known = self._channels_of(me)
                raise NoSuchEventError(f"{me} has no event named {channel!r}{did_you_mean(channel, known)}")
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("emitting %s with args %s", source.origin, dict(message.args))
            with source.order:
                emission = source.next(message)
                self._delivering.fan_out(emission)
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

    # who asks to hear

    def open_source(self, origin: ChannelID) -> Source:
        """A channel of this actor that may be subscribed to.

        Raises:
            NoSuchRoleError, StatusError, ChannelNotFoundError: it may not.
        """
        check_takes_part(self._statuses, origin.source)
        source = self.sources.get(origin)
        if source is None:
            known = self._channels_of(origin.source)
            raise ChannelNotFoundError(
                f"{origin.source} has no event named {origin.channel!r}{did_you_mean(origin.channel, known)}"
            )
        return source

    def check_still_there(self, source: Source) -> None:
        """Raise ``StatusError`` if the source ended while it was subscribed to: nobody else would tell."""
        if self.sources.get(source.origin) is not source:
            raise StatusError(f"{source.origin.source} ended while it was subscribed to")

    def is_heard_elsewhere(self, actor: str) -> bool:
        """Whether that actor has subscribed to anything here."""
        with self._lock:
            return any(actor in source.remote for source in self.sources.values())

    def forget_actor(self, actor: str) -> None:
        """It does not hear anything any more."""
        for source in list(self.sources.values()):
            source.drop_actor(actor)

    def controls(self) -> dict[str, Callable[[Request], Any]]:
        """What other actors may ask about what is emitted here: name -> function of the request."""
        return {"subscribe": self._asked_to_subscribe, "unsubscribe": self._asked_to_unsubscribe}

    def _asked_to_subscribe(self, request: Request) -> int:
        origin, subscriber = origin_of(request), RoleInstanceID(*request.source)
        source = self.open_source(origin)
        self._mailbox.transport.offer(origin.source.instance_name, origin.channel)
        sequence = source.add_remote(subscriber)
        self._mailbox.watch(subscriber.actor_name)
        self.check_still_there(source)
        return sequence

    def _asked_to_unsubscribe(self, request: Request) -> None:
        source = self.sources.get(origin_of(request))
        if source is not None:
            source.drop_remote(RoleInstanceID(*request.source))

    def _channels_of(self, instance: RoleInstanceID) -> list[str]:
        return [origin.channel for origin in list(self.sources) if origin.source == instance]


def check_takes_part(statuses: RoleStatusManager, instance: RoleInstanceID) -> None:
    """Whether a role of this actor takes part in events, as it is now.

    To hold its status still would be safer, and a dead end: two roles that subscribe to each other while
    both are starting would wait for each other. Whoever asks looks again afterwards.

    Raises:
        NoSuchRoleError, StatusError: it does not.
    """
    status = statuses.ctrl(instance.instance_name).status
    if status not in Status.DECLARED_COMPATIBLE | Status.RESUMING:
        raise StatusError(f"{instance} is {status.name}: it can neither subscribe nor be subscribed to")


def origin_of(request: Request) -> ChannelID:
    """The channel that a request about events names. Raises ``HandlerError`` if it names none."""
    try:
        (actor, role), channel = request.content
        return ChannelID(RoleInstanceID(actor, role), channel)
    except (TypeError, ValueError) as e:
        raise HandlerError(
            f"{request.channel!r} needs ((actor, role), channel), not {request.content!r}"
        ) from e
