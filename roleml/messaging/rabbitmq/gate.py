"""Which messages an actor takes at all, decided before a body is looked at. Pure: no sockets, no logs.

The broker vouches for the exchange, the routing key, the queues that a message died in and, if there is one,
for the user who published it. All else in a message is a claim of its sender. The gate compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.properties import UNREADABLE
from roleml.messaging.rabbitmq.wire import MalformedError, envelope_of

__all__ = ["MAX_HEADER_BYTES", "MAX_MESSAGE_BYTES", "Delivery", "Gate", "Reason", "RejectedError"]

#: What RabbitMQ 4 takes at most; RabbitMQ 3 would let a stranger send eight times as much.
MAX_MESSAGE_BYTES = 16 << 20
MAX_HEADER_BYTES = 8 << 10
MAX_HEADERS = 64
#: Characters of a message's own words that the log repeats.
MAX_DETAIL = 300
#: Reasons and sources of which the gate remembers that they were reported; a flood is only counted.
REPORTED = 1000

_DEATH = frozenset(("x-death", "x-first-death-queue", "x-first-death-exchange", "x-first-death-reason"))
#: of any size that the broker takes, and nothing that we read
_UNREAD = _DEATH | {"CC"}


class Reason(Enum):
    """Why a message was not taken."""

    ANONYMOUS = "it names no broker user, so nothing proves who sent it"
    FORGED = "its sender claims to be another actor"
    EXCHANGE = "it came through an exchange that such messages do not use"
    MISDIRECTED = "it was addressed to somebody else"
    REDIRECTED = "it was redirected here from another queue"
    TOO_LARGE = "it is larger than any that RoleML sends"
    MALFORMED = "its headers are not those of a RoleML message"
    DAMAGED = "its content is damaged or incomplete"


class RejectedError(MalformedError):
    """A message was turned away at the gate."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail[:MAX_DETAIL]}")
        self.reason = reason


class Delivery(NamedTuple):
    """What the broker says of a message."""

    exchange: str
    key: str
    user: str | None
    headers: Mapping[str, Any]
    body_bytes: int

    @staticmethod
    def of(method: Any, properties: Any, body: bytes) -> Delivery:
        """From the three parts of a delivery by pika."""
        return Delivery(
            method.exchange, method.routing_key, properties.user_id, properties.headers or {}, len(body)
        )


class Gate:
    """Decides for one actor. With ``identity``, each actor has a broker user of its name.

    Without it, who sent a message is what the message says, and everything else is checked all the same.
    """

    def __init__(self, actor: str, *, identity: bool) -> None:
        self._actor = actor
        self._identity = identity
        self._reported: set[tuple[Reason, str]] = set()
        self.rejected: Counter[Reason] = Counter()

    def check(self, delivery: Delivery) -> Envelope | None:
        """The envelope of a message, ``None`` for one without: presence, or a piece of a body.

        Raises:
            RejectedError: the message must not be taken.
        """
        headers = delivery.headers
        kind = headers.get("kind")
        if UNREADABLE in headers:
            raise RejectedError(Reason.MALFORMED, str(headers[UNREADABLE]))
        sender = _sender(headers, "actor" if kind == "presence" else "from")
        self._check_user(delivery, sender)
        envelope = None
        if kind == "presence":
            _check_presence(delivery, sender)
        elif kind == "chunk":
            if delivery.exchange != names.CALL and not delivery.exchange.startswith(f"x.{sender}."):
                raise RejectedError(Reason.EXCHANGE, f"a piece of a body from {delivery.exchange!r}")
            _check_not_dead(headers)
        else:
            envelope = _envelope(headers)
            if delivery.exchange == names.BOUNCE:
                self._check_bounce(delivery, envelope)
            else:
                self._check_address(delivery, envelope)
                _check_not_dead(headers)
        _check_size(delivery)
        return envelope

    def note(self, error: BaseException, user: str | None) -> bool:
        """Count a rejection; whether it is the first of its reason and source, and so worth a line."""
        reason = getattr(error, "reason", None)
        if not isinstance(reason, Reason):
            reason = Reason.MALFORMED if isinstance(error, MalformedError) else Reason.DAMAGED
        self.rejected[reason] += 1
        key = (reason, user or "")
        if key in self._reported or len(self._reported) >= REPORTED:
            return False
        self._reported.add(key)
        return True

    def _check_user(self, delivery: Delivery, sender: str) -> None:
        user = delivery.user
        if not self._identity:
            return
        if user == self._actor and delivery.headers.get("kind") == Kind.TASK.value:
            return  # one that this actor was given before, and put back
        if user is None:
            raise RejectedError(Reason.ANONYMOUS, f"it claims to be from {sender}")
        if user != sender:
            raise RejectedError(Reason.FORGED, f"broker user {user} claims to be {sender}")

    def _check_address(self, delivery: Delivery, envelope: Envelope) -> None:
        if envelope.kind is Kind.EVENT:
            if delivery.exchange != names.event_exchange(envelope.source, envelope.channel):
                raise RejectedError(
                    Reason.EXCHANGE,
                    f"an event {envelope.channel} of {'/'.join(envelope.source)} from {delivery.exchange!r}",
                )
            return
        if delivery.exchange != names.CALL:
            raise RejectedError(Reason.EXCHANGE, f"a {envelope.kind.value} from {delivery.exchange!r}")
        # The key is what topic permissions were checked against; before 4.0.3, a CC header was not
        if envelope.target[0] != self._actor or delivery.key != names.call_key(envelope):
            raise RejectedError(
                Reason.MISDIRECTED,
                f"a {envelope.kind.value} for {'/'.join(envelope.target)} came by {delivery.key!r}",
            )

    def _check_bounce(self, delivery: Delivery, envelope: Envelope) -> None:
        """A request of our own that the broker gave up on, in a queue of whom it was meant for."""
        if envelope.source[0] != self._actor:
            raise RejectedError(Reason.MISDIRECTED, f"a request that {envelope.source[0]} sent")
        queue = str(delivery.headers.get("x-first-death-queue"))
        if _deaths(delivery.headers) != 1 or not queue.startswith(f"q.{envelope.target[0]}."):
            raise RejectedError(Reason.REDIRECTED, f"out of the queue {queue!r}")


def _sender(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if not isinstance(value, str):
        raise RejectedError(Reason.MALFORMED, f"header {name!r} is {type(value).__name__}, not text")
    return value.partition("/")[0]


def _envelope(headers: Mapping[str, Any]) -> Envelope:
    try:
        return envelope_of(headers)
    except RejectedError:
        raise
    except MalformedError as e:
        raise RejectedError(Reason.MALFORMED, str(e)) from e


def _check_presence(delivery: Delivery, actor: str) -> None:
    """Presence comes from the actor itself, or out of the queue of its last will, once."""
    headers, state = delivery.headers, delivery.headers.get("state")
    if delivery.exchange != names.PRESENCE:
        raise RejectedError(Reason.EXCHANGE, f"presence of {actor} from {delivery.exchange!r}")
    if delivery.key != names.presence_key(actor, str(state)):
        raise RejectedError(Reason.MISDIRECTED, f"presence {state!r} of {actor} came by {delivery.key!r}")
    if not _died(headers):
        return
    queue = headers.get("x-first-death-queue")
    if state != "lost" or queue != names.will_queue(actor) or _deaths(headers) != 1:
        raise RejectedError(Reason.REDIRECTED, f"presence of {actor} out of the queue {queue!r}")


def _check_not_dead(headers: Mapping[str, Any]) -> None:
    if _died(headers):
        raise RejectedError(Reason.REDIRECTED, f"out of the queue {headers.get('x-first-death-queue')!r}")


def _died(headers: Mapping[str, Any]) -> bool:
    return not _DEATH.isdisjoint(headers)


def _deaths(headers: Mapping[str, Any]) -> int:
    """In how many ways a message died: the broker keeps an entry for each queue and reason."""
    deaths = headers.get("x-death")
    return len(deaths) if isinstance(deaths, list) else 0


def _check_size(delivery: Delivery) -> None:
    if delivery.body_bytes > MAX_MESSAGE_BYTES:
        raise RejectedError(Reason.TOO_LARGE, f"a body of {delivery.body_bytes} bytes in one message")
    if len(delivery.headers) > MAX_HEADERS:
        raise RejectedError(Reason.TOO_LARGE, f"{len(delivery.headers)} headers")
    size = 0
    for name, value in delivery.headers.items():
        if name not in _UNREAD:
            size += len(name) + (len(value) if isinstance(value, (str, bytes)) else 16)
    if size > MAX_HEADER_BYTES:
        raise RejectedError(Reason.TOO_LARGE, f"headers of {size} bytes")
