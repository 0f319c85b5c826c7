"""Bodies of any size, in pieces that every broker takes. Decisions only: no sockets.

A body up to ``WHOLE_BYTES`` travels in its message. A larger one goes ahead of its message in chunks, through
the same queue, so order and durability are those of the message itself; those of services have a queue of
their own (``uploads.py``). Chunks carry the transfer's id, their
index, and a checksum; the message that ends the transfer carries the id, and the number of bytes.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from roleml.messaging.codec import Body
from roleml.messaging.exceptions import DecodeError
from roleml.messaging.rabbitmq.assembly import Assembly
from roleml.messaging.rabbitmq.seen import Seen, owned
from roleml.messaging.transport import Arriving

__all__ = [
    "CHUNK_BYTES",
    "STALLED_S",
    "WHOLE_BYTES",
    "Arrival",
    "Frame",
    "TransferError",
    "Transfers",
    "checksum",
    "chunks_of",
    "size_of",
]

Frame = bytes | memoryview

#: RabbitMQ 4 takes messages of at most 16 MiB
WHOLE_BYTES = 1 << 20
CHUNK_BYTES = 4 << 20

#: Seconds without a further chunk after which a transfer is given up: its sender is gone.
STALLED_S = 120.0


def chunks_of(body: Body) -> Iterator[bytes]:
    """The frame of ``body`` in pieces of ``CHUNK_BYTES``, each copied when it is asked for."""
    pieces: list[memoryview] = []
    room = CHUNK_BYTES
    for part in body.parts():
        view = memoryview(part)
        while view.nbytes:
            pieces.append(view[:room])
            view = view[room:]
            room -= pieces[-1].nbytes
            if not room:
                yield b"".join(pieces)
                pieces, room = [], CHUNK_BYTES
    if pieces:
        yield b"".join(pieces)


def size_of(body: Body) -> int:
    """Of its frame."""
    return sum(memoryview(part).nbytes for part in body.parts())


def checksum(chunk: bytes) -> int:
    return zlib.crc32(chunk)


class TransferError(DecodeError):
    """A transfer was given up; ``tags`` are the deliveries that it consisted of."""

    def __init__(self, message: str, tags: list[int]) -> None:
        super().__init__(message)
        self.tags = tags


@dataclass
class Arrival:
    """One transfer under way. ``tags`` are the deliveries that it consists of."""

    source: str
    data: Assembly
    next_index: int = 0
    tags: list[int] = field(default_factory=list)
    last_s: float = field(default_factory=time.monotonic)


class Transfers:
    """Puts the chunks of an actor's incoming transfers together again."""

    def __init__(self) -> None:
        self._arrivals: dict[str, Arrival] = {}
        self._given_up = Seen(1000)

    def __len__(self) -> int:
        return len(self._arrivals)

    def arriving(self) -> list[Arriving]:
        """What has come in part; for any thread."""
        return [
            Arriving(arrival.source, len(arrival.data), arrival.data.total)
            for arrival in list(self._arrivals.values())
        ]

    def take(self, source: str, headers: Mapping[str, Any], chunk: bytes, tag: int) -> None:
        """A chunk has come. A repeated one is dropped.

        Raises:
            TransferError: it is damaged, or does not follow the last one; the transfer is given up.
        """
        transfer_id, index = headers.get("transfer"), headers.get("index")
        if not isinstance(transfer_id, str) or not isinstance(index, int):
            raise TransferError("a chunk has no transfer id or no index", [tag])
        transfer_id = owned(source, transfer_id)
        if transfer_id in self._given_up:
            raise TransferError(f"a transfer from {source} was given up before", [tag])
        arrival = self._arrivals.get(transfer_id)
        if arrival is None:
            arrival = self._arrivals[transfer_id] = Arrival(source, Assembly(headers.get("total")))
        arrival.tags.append(tag)
        if index < arrival.next_index:
            return
        if index > arrival.next_index or headers.get("crc") != checksum(chunk):
            del self._arrivals[transfer_id]
            self._given_up.first_time(transfer_id)
            what = "damaged" if index == arrival.next_index else f"out of order, {arrival.next_index} was due"
            raise TransferError(f"chunk {index} of a transfer from {source} is {what}", arrival.tags)
        arrival.data.append(chunk)
        arrival.next_index += 1
        arrival.last_s = time.monotonic()

    def finish(self, source: str, headers: Mapping[str, Any]) -> Arrival:
        """The message that ends a transfer has come.

        Raises:
            TransferError: something is missing.
        """
        arrival = self._arrivals.pop(owned(source, str(headers.get("transfer"))), None)
        if arrival is None:
            raise TransferError(f"{source} refers to a transfer that never came, or was given up", [])
        if len(arrival.data) != headers.get("size"):
            size = headers.get("size")
            raise TransferError(f"{source} sent {len(arrival.data)} bytes instead of {size}", arrival.tags)
        return arrival

    def frame_of(self, actor: str, headers: Mapping[str, Any], body: bytes) -> tuple[Frame, list[int]]:
        """The whole frame of a message that ``actor`` sent, and the deliveries of its chunks.

        Raises:
            TransferError: something is missing.
        """
        if "transfer" not in headers:
            return body, []
        arrival = self.finish(f"{actor}/", headers)
        return arrival.data.frame(), arrival.tags

    def give_up(self, *, source: str | None = None) -> list[Arrival]:
        """Drop the transfers of a lost actor, or without one those that have stalled; returns them."""
        now = time.monotonic()
        lost = [
            transfer_id
            for transfer_id, arrival in self._arrivals.items()
            if (arrival.source == source if source is not None else now - arrival.last_s > STALLED_S)
        ]
        for transfer_id in lost:
            self._given_up.first_time(transfer_id)
        return [self._arrivals.pop(transfer_id) for transfer_id in lost]
