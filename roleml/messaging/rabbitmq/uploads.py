"""Payloads that several requests share: uploaded once, kept once in each process that they concern.

The chunks of a service request go to the upload queue of the target's process, which has the keys of all
actors there, so the broker delivers one copy to it however many of them are called. The requests themselves
go to their roles' queues and may overtake their payload: such a request is parked, and so are those of the
same caller to the same role behind it, so that they stay in order.

Decisions only: no sockets.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from roleml.messaging.envelope import Address, Envelope
from roleml.messaging.rabbitmq.assembly import Assembly
from roleml.messaging.rabbitmq.seen import Seen, owned
from roleml.messaging.rabbitmq.transfers import STALLED_S, TransferError, checksum
from roleml.messaging.transport import Arriving

__all__ = ["ParkedRequests", "Upload", "Uploads"]


@dataclass(eq=False)
class Upload:
    """One payload under way or complete."""

    source: str
    data: Assembly = field(default_factory=Assembly)
    next_index: int = 0
    #: how many requests of this process will use it; ``None`` until the first chunk has told
    uses: int | None = None
    used: int = 0
    failed: str | None = None
    last_s: float = field(default_factory=time.monotonic)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    #: how many were told at once that it changed, and will ask for it
    told: int = 0

    def fail(self, text: str) -> None:
        self.failed, self.data = text, Assembly()


class Uploads:
    """The uploads to one process."""

    def __init__(self, actors: Collection[str]) -> None:
        self._actors = actors
        self._uploads: dict[str, Upload] = {}
        self._over = Seen(1000)

    def __len__(self) -> int:
        return len(self._uploads)

    def arriving(self) -> list[Arriving]:
        """What has come in part, or is whole and still to be used; for any thread."""
        return [
            Arriving(upload.source, len(upload.data), upload.data.total)
            for upload in list(self._uploads.values())
        ]

    def take(self, source: str, headers: Mapping[str, Any], chunk: bytes) -> list[Callable[[], None]]:
        """A chunk has come. Returns what waited for it, to be called now.

        One that is damaged or out of order makes the upload fail: whoever asks for it next is told.

        Raises:
            TransferError: it does not say which upload it is of, or which piece.
        """
        upload_id, index = headers.get("transfer"), headers.get("index")
        if not isinstance(upload_id, str) or not isinstance(index, int):
            raise TransferError("a chunk has no transfer id or no index", [])
        upload_id = owned(source, upload_id)
        if upload_id in self._over:
            return []
        upload = self._uploads.setdefault(upload_id, Upload(source))
        upload.last_s = time.monotonic()
        if index < upload.next_index or upload.failed is not None:
            return []
        if index > upload.next_index or headers.get("crc") != checksum(chunk):
            what = "damaged" if index == upload.next_index else f"out of order, {upload.next_index} was due"
            upload.fail(f"chunk {index} of an upload from {source} is {what}")
            return _released(upload)
        if index == 0:
            upload.uses = self._uses_here(headers.get("uses"))
            upload.data = Assembly(headers.get("total"))
        upload.data.append(chunk)
        upload.next_index += 1
        return _released(upload)

    def _uses_here(self, uses: Any) -> int:
        if not isinstance(uses, Mapping):
            return 1
        return sum(n for actor, n in uses.items() if actor in self._actors and isinstance(n, int))

    def use(self, upload_id: str, source: str, size: int) -> memoryview | None:
        """The payload for one request; ``None`` while it is incomplete: see :meth:`when_changed`.

        Raises:
            TransferError: it will never be complete.
        """
        upload_id = owned(source, upload_id)
        if upload_id in self._over:
            raise TransferError(f"{source} refers to an upload that was given up", [])
        upload = self._uploads.setdefault(upload_id, Upload(source))
        if upload.failed is not None:
            text = upload.failed
            upload.told -= 1
            if upload.told <= 0:  # who asks later is told that it was given up
                self._forget(upload_id)
            raise TransferError(text, [])
        if len(upload.data) < size:
            return None
        data = upload.data
        self._count(upload_id, upload)
        if len(data) > size:
            raise TransferError(f"{source} sent {len(data)} bytes instead of {size}", [])
        return data.frame()

    def when_changed(self, upload_id: str, source: str, callback: Callable[[], None]) -> None:
        """Have ``callback`` returned by whatever comes next for that upload."""
        self._uploads[owned(source, upload_id)].waiting.append(callback)

    def fenced(self, upload_id: str, source: str, size: int) -> list[Callable[[], None]]:
        """What came through the queue of uploads behind everything that was sent before a request for it.

        Chunks are routed before their request, so what has not come now was lost: nobody here was connected
        when it was sent. Returns what waited for it.
        """
        upload_id = owned(source, upload_id)
        if upload_id in self._over:
            return []
        upload = self._uploads.setdefault(upload_id, Upload(source))
        if len(upload.data) >= size or upload.failed is not None:
            return []
        upload.fail(f"the payload from {upload.source} was sent while this actor was not connected")
        return _released(upload)

    def give_up(self, *, source: str | None = None) -> list[Callable[[], None]]:
        """Fail the uploads of a lost actor, or without one those that nobody sends or uses any more.

        Returns what waited for them.
        """
        now = time.monotonic()
        due: list[Callable[[], None]] = []
        for upload_id, upload in list(self._uploads.items()):
            lost = upload.source == source if source is not None else now - upload.last_s > STALLED_S
            if lost:
                upload.fail(f"an upload from {upload.source} was given up")
                released = _released(upload)
                if not released:
                    self._forget(upload_id)
                due += released
        return due

    def _count(self, upload_id: str, upload: Upload) -> None:
        upload.used += 1
        upload.last_s = time.monotonic()
        if upload.uses is not None and upload.used >= upload.uses:
            self._forget(upload_id)

    def _forget(self, upload_id: str) -> None:
        self._uploads.pop(upload_id, None)
        self._over.first_time(upload_id)


def _released(upload: Upload) -> list[Callable[[], None]]:
    waiting, upload.waiting = upload.waiting, []
    upload.told = len(waiting)
    return waiting


@dataclass(frozen=True)
class _Parked:
    envelope: Envelope
    headers: Mapping[str, Any]
    body: bytes

    @property
    def source(self) -> str:
        """As its chunks name it."""
        return f"{self.envelope.source[0]}/"


class ParkedRequests:
    """Keeps the requests of one actor in order while payloads of some are still coming."""

    def __init__(
        self,
        uploads: Uploads,
        deliver: Callable[[Envelope, bytes | memoryview], None],
        fail: Callable[[Envelope, TransferError], None],
    ) -> None:
        self._uploads = uploads
        self._deliver = deliver
        self._fail = fail
        self._queues: dict[tuple[Address, Address], deque[_Parked]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def waits_for(self, upload_id: str, source: str) -> bool:
        """Whether a request for this payload is parked, also behind others."""
        return any(
            parked.headers.get("transfer") == upload_id and parked.source == source
            for queue in self._queues.values()
            for parked in queue
        )

    def take(self, envelope: Envelope, headers: Mapping[str, Any], body: bytes) -> None:
        """A request has come: deliver it now, or when its turn and its payload have come."""
        pair = (envelope.source, envelope.target)
        queue = self._queues.get(pair)
        if queue is None and "transfer" not in headers:
            self._deliver(envelope, body)
            return
        if queue is not None:
            queue.append(_Parked(envelope, headers, body))
            return
        self._queues[pair] = deque([_Parked(envelope, headers, body)])
        self._advance(pair)

    def _advance(self, pair: tuple[Address, Address]) -> None:
        queue = self._queues[pair]
        while queue:
            parked = queue[0]
            frame: bytes | memoryview | None = parked.body
            if "transfer" in parked.headers:
                try:
                    frame = self._payload(parked)
                except TransferError as e:
                    queue.popleft()
                    self._fail(parked.envelope, e)
                    continue
                if frame is None:
                    upload_id = str(parked.headers["transfer"])
                    self._uploads.when_changed(upload_id, parked.source, lambda: self._advance(pair))
                    return
            queue.popleft()
            self._deliver(parked.envelope, frame if frame is not None else b"")
        del self._queues[pair]

    def _payload(self, parked: _Parked) -> memoryview | None:
        size = parked.headers.get("size")
        if not isinstance(size, int):
            raise TransferError("a request does not tell the size of its payload", [])
        return self._uploads.use(str(parked.headers["transfer"]), parked.source, size)
