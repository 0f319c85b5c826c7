"""Raw pika connections for tests, which never wait for ever: not even to close while the broker is silent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pika
from pika.adapters.blocking_connection import BlockingChannel

#: A broker that blocks its publishers does not read from them, not even the wish to close; one that is frozen
#: says nothing at all. pika waits for ever for the first, and three minutes for the second.
PATIENCE_S = 10


def open_connection(url: str) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.blocked_connection_timeout = PATIENCE_S
    parameters.heartbeat = 3 * PATIENCE_S
    return pika.BlockingConnection(parameters)


@contextlib.contextmanager
def channel_to(url: str) -> Iterator[BlockingChannel]:
    connection = open_connection(url)
    try:
        yield connection.channel()
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()
