"""An actor's last will: a message that the broker holds for it, and publishes when it loses it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pika
import pika.channel

from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.lending import Steps, together

__all__ = ["RENEWED_S", "LastWill"]

#: The broker takes back what is held for longer than its consumer_timeout, by default 30 minutes.
RENEWED_S = 300.0


class LastWill:
    """The will of one actor on one channel.

    The message sits in a queue of the actor's own, delivered and never acknowledged. When the channel ends
    without that, the broker puts it back, where it expires at once and goes to those who watch the actor.
    """

    def __init__(self, connection: Connection, name: str, user: str, boot: str) -> None:
        self._connection = connection
        self._name = name
        self._user = user
        self._boot = boot
        self._channel: pika.channel.Channel | None = None
        self._held: int | None = None

    def steps(self, admin: pika.channel.Channel, channel: pika.channel.Channel) -> Steps:
        """Leave a will on this channel, instead of any earlier one."""
        self._channel, self._held = channel, None
        queue, arguments = names.will_queue(self._name), names.will_arguments(self._name)
        yield together(
            partial(admin.queue_declare, queue, durable=True, arguments=arguments),
            partial(admin.queue_bind, queue, names.CALL, names.will_key(self._name)),
        )
        yield partial(channel.basic_consume, queue, self._take, consumer_tag=f"{self._name}:will")
        self._write(channel)

    def revoke_steps(self) -> Steps:
        """Leave without a will."""
        channel, self._channel = self._channel, None
        if channel is not None:
            if self._held is not None:
                channel.basic_ack(self._held)
            yield partial(channel.basic_cancel, f"{self._name}:will")

    def _write(self, channel: pika.channel.Channel) -> None:
        current = channel is self._channel
        if current and channel.is_open:
            headers = {"kind": "presence", "actor": self._name, "state": "lost", "boot": self._boot}
            properties = pika.BasicProperties(headers=headers, user_id=self._user)
            channel.basic_publish(names.CALL, names.will_key(self._name), b"", properties)

    def _take(self, channel: pika.channel.Channel, method: Any, properties: Any, _: bytes) -> None:
        mine = properties.user_id == self._user and (properties.headers or {}).get("boot") == self._boot
        current = channel is self._channel
        if not mine or not current:
            channel.basic_ack(method.delivery_tag)  # of an earlier life
            return
        # A delivery that is held for too long closes the channel: hold a new one every now and then.
        old, self._held = self._held, method.delivery_tag
        if old is not None:
            channel.basic_ack(old)
        self._connection.later(RENEWED_S, partial(self._write, channel))
