"""A member with a valid login publishes to an actor as fast as it can: `python flooder.py URL ACTOR WHAT`.

It goes on until its input ends. WHAT is garbage, services or tasks.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator

import pika

from roleml.messaging.codec import Codec
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.wire import headers_of

NAME = "flooder"
Message = tuple[str, dict[str, object], bytes]


def garbage(actor: str) -> Iterator[Message]:
    """For each queue of the actor in turn: a kilobyte that means nothing."""
    keys = [names.request_key(actor, "worker", Kind.SERVICE, "ask")]
    keys += [names.request_key(actor, "worker", Kind.TASK, "work"), names.inbox_key(actor)]
    for key in itertools.cycle(keys):
        yield key, {"kind": "rubbish", "from": f"{NAME}/boss"}, b"\xc1" * 1000


def services(actor: str) -> Iterator[Message]:
    yield from calls(actor, Kind.SERVICE, "ask", {})


def tasks(actor: str) -> Iterator[Message]:
    yield from calls(actor, Kind.TASK, "work", {"seconds": 0.0})


def calls(actor: str, kind: Kind, channel: str, args: dict[str, object]) -> Iterator[Message]:
    codec, key = Codec(), names.request_key(actor, "worker", kind, channel)
    for number in itertools.count(1):
        call_id = f"flood-{kind.value}-{number}"
        envelope = Envelope(kind, call_id, (NAME, "boss"), (actor, "worker"), channel)
        body = codec.encode(({"call_id": call_id, **args}, {"data": b"x" * 1000}))
        yield key, headers_of(envelope), body.to_frame()


def main(url: str, actor: str, what: str) -> None:
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    for key, headers, body in {"garbage": garbage, "services": services, "tasks": tasks}[what](actor):
        channel.basic_publish(names.CALL, key, body, pika.BasicProperties(headers=headers))
        if ended.is_set():
            break
    channel.connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
