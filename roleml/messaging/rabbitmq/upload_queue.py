"""The queue through which large payloads of services come, for all actors of a process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pika.channel

from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.lending import Steps, together

__all__ = ["UploadQueue"]

#: Chunks on their way from the broker at a time.
UPLOAD_PREFETCH = 4


class UploadQueue:
    """The queue through which all actors of one connection receive large payloads.

    Every actor binds it to its key; the first one to come, on each connection, consumes it.
    """

    def __init__(self, name: str, on_chunk: Callable[[Any, Any, bytes], None]) -> None:
        self.name = names.uploads_queue(name)
        self._tag = f"{name}:uploads"
        self._on_chunk = on_chunk
        self._consumed_on: Any = None

    def steps(self, admin: pika.channel.Channel, actor: str) -> Steps:
        arguments = names.connection_arguments("uploads")
        yield together(
            partial(admin.queue_declare, self.name, exclusive=True, arguments=arguments),
            partial(admin.queue_bind, self.name, names.CALL, names.uploads_key(actor)),
        )
        if self._consumed_on is not admin.connection:
            self._consumed_on = admin.connection
            channel = yield partial(_open_channel, admin.connection)
            yield partial(channel.basic_qos, prefetch_count=UPLOAD_PREFETCH)
            yield partial(channel.basic_consume, self.name, self._take, consumer_tag=self._tag)

    def _take(self, channel: pika.channel.Channel, method: Any, properties: Any, body: bytes) -> None:
        self._on_chunk(method, properties, body)
        channel.basic_ack(method.delivery_tag)


def _open_channel(connection: Any, *, callback: Callable[[Any], Any]) -> None:
    connection.channel(on_open_callback=callback)
