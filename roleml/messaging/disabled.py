"""No broker at all: the actor's roles reach each other, and nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roleml.messaging.codec import Body
from roleml.messaging.envelope import Address, Envelope
from roleml.messaging.filters import Filters, Stamps
from roleml.messaging.transport import Absence, Presence, Receiver, Transport

__all__ = ["DisabledTransport"]


class DisabledTransport(Transport):
    """Returns everything, with the reason ``DISABLED``. Chosen by ``disabled://``."""

    def __init__(self, name: str, url: str = "disabled://") -> None:
        super().__init__(name)
        self._receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        if self._receiver is not None:
            for envelope in envelopes:
                self._receiver.returned(envelope, Absence.DISABLED)

    def bind(self, endpoint: str, services: Iterable[str], tasks: Iterable[str]) -> None: ...
    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None: ...
    def publish(self, envelope: Envelope, body: Body, stamps: Stamps | None = None) -> None: ...
    def subscribe(self, source: Address, channel: str, filters: Filters = None) -> bool:
        return True

    def unsubscribe(self, source: Address, channel: str) -> None: ...
    def watch(self, actor: str) -> None: ...
    def unwatch(self, actor: str) -> None: ...
    def announce(self, state: Presence) -> None: ...
    def stop(self) -> None: ...
