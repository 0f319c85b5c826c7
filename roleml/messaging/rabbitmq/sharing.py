"""The two connections of a process to one broker, which all its actors share.

One publishes, one consumes, so a broker that takes no messages for a while still delivers and takes
acknowledgements.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from roleml.messaging.exceptions import DecodeError, MsgConnectionError
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.gate import Delivery, Gate
from roleml.messaging.rabbitmq.upload_queue import UploadQueue
from roleml.messaging.rabbitmq.uploads import Uploads
from roleml.messaging.rabbitmq.wire import MalformedError

__all__ = ["SharedConnections", "join", "leave", "shared_connections"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: How often it is looked whether uploads have stalled.
LOOK_S = 30.0


class SharedConnections:
    """What the actors of a process that use one URL share."""

    def __init__(self, parsed: BrokerURL, first: str) -> None:
        self.publishing = Connection(parsed, "publish", first)
        self.consuming = Connection(parsed, "consume", first)
        self.actors: set[str] = set()
        self.uploads = Uploads(self.actors)
        self.upload_queue = UploadQueue(first, self._on_chunk)
        self._looks_after = False
        self._gate = Gate(first, identity=parsed.identity_of(first))

    def start(self) -> None:
        self.publishing.start()
        try:
            self.consuming.start()
        except MsgConnectionError:
            self.publishing.stop()
            raise

    def stop(self) -> None:
        self.publishing.stop()
        self.consuming.stop()

    def look_after_uploads(self) -> None:
        """In the consuming thread: one is under way, so look from time to time whether it has stalled."""
        if not self._looks_after:
            self._looks_after = True
            self.consuming.after(LOOK_S, self._look)

    def _look(self) -> None:
        self._looks_after = False
        self.give_up_uploads()
        if len(self.uploads):
            self.look_after_uploads()

    def give_up_uploads(self, *, source: str | None = None) -> None:
        """In the consuming thread: fail what waits for payloads that nobody sends any more."""
        for waiting in self.uploads.give_up(source=source):
            waiting()

    def _on_chunk(self, method: Any, properties: Any, body: bytes) -> None:
        headers = properties.headers or {}
        try:
            self._gate.check(Delivery.of(method, properties, body))
            source = headers.get("from", "")
            if "fence" in headers and source.rstrip("/") in self.actors:
                due = self.uploads.fenced(*_fence_in(headers))
            else:
                due = self.uploads.take(source, headers, body)
                self.look_after_uploads()
        except (MalformedError, DecodeError) as e:
            if self._gate.note(e, properties.user_id):
                logger.error("rejected a piece of a payload: %s; more of this kind are only counted", e)
            return
        for waiting in due:
            waiting()


_shared: dict[str, SharedConnections] = {}
_lock = threading.Lock()


def shared_connections(url: str) -> SharedConnections:
    """Those of an actor that is connected. Raises ``KeyError`` if there are none."""
    return _shared[url]


def join(url: str, parsed: BrokerURL, name: str) -> SharedConnections:
    """Be one of those who share the connections, which are made for the first one.

    Raises:
        MsgConnectionError: the broker is not reachable, or an actor of that name is among them.
    """
    with _lock:
        shared = _shared.get(url)
        if shared is None:
            shared = SharedConnections(parsed, name)
            shared.start()
            _shared[url] = shared
        if name in shared.actors:
            raise MsgConnectionError(
                f"an actor named {name!r} is already connected to {parsed} in this process; "
                "stop() that one first, or give this one another name"
            )
        shared.actors.add(name)
        return shared


def leave(url: str, name: str) -> None:
    """The last one to leave closes the connections."""
    with _lock:
        shared = _shared[url]
        shared.actors.discard(name)
        if shared.actors:
            return
        del _shared[url]
    shared.stop()


def _fence_in(headers: Any) -> tuple[str, str, int]:
    upload_id, source, size = (headers.get(key) for key in ("fence", "of", "size"))
    if not isinstance(upload_id, str) or not isinstance(source, str) or not isinstance(size, int):
        raise MalformedError("a fence does not say what it is for")
    return upload_id, source, size
