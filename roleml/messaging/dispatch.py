"""What leaves an actor is encoded, sealed and counted; what comes is opened before it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Address, Envelope, Kind
from roleml.messaging.filters import Stamps
from roleml.messaging.signing import Seals
from roleml.messaging.traffic import Traffic
from roleml.messaging.transport import Transport

__all__ = ["Dispatch"]


class Dispatch:
    """Hands values to an actor's transport, and reads what it brings."""

    def __init__(self, transport: Transport, codec: Codec, seals: Seals | None) -> None:
        self.transport = transport
        self.traffic = Traffic()
        self._codec = codec
        self._seals = seals

    def encode(self, content: Any) -> Body:
        """What travels. Raises ``EncodeError`` if the content cannot."""
        return self._codec.encode(content)

    def send(self, envelopes: list[Envelope], body: Body) -> None:
        """Send the same body to the target of each envelope."""
        self.traffic.count(body.nbytes, [envelope.target[0] for envelope in envelopes])
        self.transport.send(self._sealed(envelopes, body), body)

    def publish(self, source: Address, channel: str, sequence: int, content: Any, stamps: Stamps) -> None:
        """Send an event to whoever subscribed. Raises ``EncodeError`` if the content cannot travel."""
        envelope = Envelope(Kind.EVENT, "", source, ("", ""), channel, sequence)
        body = self.encode(content)
        self.traffic.count(body.nbytes)
        self.transport.publish(self._sealed([envelope], body)[0], body, stamps)

    def opener(self, envelope: Envelope, body: Body) -> Callable[[], Any]:
        """What decodes the body; nothing may be decoded but through this."""
        if self._seals is None:
            return lambda: self._codec.decode(body)
        return self._seals.opener(self._codec, envelope, body)

    def _sealed(self, envelopes: list[Envelope], body: Body) -> list[Envelope]:
        return self._seals.sealed(envelopes, body) if self._seals is not None and body.pickled else envelopes
