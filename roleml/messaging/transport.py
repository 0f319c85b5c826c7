"""The contract between an actor and the broker that carries its messages."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any, NamedTuple, Protocol

from roleml.messaging.codec import Body
from roleml.messaging.envelope import Address, Envelope
from roleml.messaging.filters import Filters, Stamps
from roleml.shared.suggestions import nearest

__all__ = [
    "SCHEMES",
    "Absence",
    "Arriving",
    "Presence",
    "Receiver",
    "Transport",
    "check_url",
    "open_transport",
    "wrapped_transports",
]


class Presence(Enum):
    """What an actor tells those who watch it, or what the broker tells in its place."""

    READY = "ready"
    """Its roles are in service."""
    DOWN = "down"
    """It left, or was lost."""


class Absence(Enum):
    """Why a message came back: nobody is there to take it."""

    NO_ACTOR = "no actor of that name is connected to the broker"
    NOT_BOUND = "the actor is there, and does not serve that"
    STOPPED = "this actor has left the broker"
    DISABLED = "network messaging is disabled on this actor"


class Arriving(NamedTuple):
    """A payload under way: from whom, how many bytes of it are here, and of how many, if that is known."""

    source: str
    nbytes: int
    total: int | None


class Receiver(Protocol):
    """The side of an actor that a transport calls.

    Calls come from any thread, several at a time, and also from within :meth:`Transport.send` or
    :meth:`Transport.publish` of the same or another actor. They must neither block nor run user code.
    """

    def deliver(self, envelope: Envelope, body: Body) -> None:
        """A message for this actor. The buffers of ``body`` may be shared with other receivers: read only."""

    def returned(self, envelope: Envelope, absence: Absence) -> None:
        """A message that this actor sent could not be handed to anyone."""

    def presence(self, actor: str, state: Presence) -> None:
        """News of an actor that this one watches."""


class Transport(ABC):
    """One actor's connection to a broker: moves envelopes with their bodies between named actors.

    What every transport promises:

    1. After :meth:`start` the actor receives what is sent to its name, until :meth:`stop`. A second live
       actor of the same name on the same broker is refused with ``MsgConnectionError``.
    2. :meth:`send` hands one body to several targets, and returns without waiting for any of them, only for
       a broker that takes nothing at the moment. When it returns, the sender may modify the data behind the
       body.
    3. A target that nobody serves is reported to :meth:`Receiver.returned`, one envelope at a time: the actor
       is not there, or has not bound that endpoint and channel. That never raises, never affects the other
       targets, and needs no time-out. Only ``SERVICE`` and ``TASK`` need a binding; all other kinds only need
       the actor. For an actor that was lost, ``DOWN`` may come in the place of the report; with
       :attr:`keeps_tasks`, a task for it waits instead.
    4. What one thread sends arrives once and complete. Requests of one kind to one endpoint arrive in the
       order they were sent, whatever their sizes; so does all else that one thread sends to one actor, and
       what it publishes, at each subscriber. With :attr:`keeps_tasks`, a task that was not answered when its
       actor was lost arrives again, at the successor.
    5. :meth:`publish` reaches each actor that is subscribed to that source and channel, and has a filter that
       the event passes or none, once, the publisher itself included, and nobody else. Once :meth:`subscribe`
       has returned true, no later publication is missed; once :meth:`unsubscribe` has returned, at most
       publications that were already on their way still come. Nobody subscribed is not an error.
    6. An actor that watches another (:meth:`watch`) learns when that one announces ``READY``, and once each
       time it goes ``DOWN``, whether it stopped or was lost. The watch goes on for a successor of that name.
       One that was taken for lost and is there again is ``READY``. So is the actor itself, to itself, when it
       has its connection again after it was lost: others may have taken it for lost.
    7. :meth:`stop` is final and may be repeated; after it, nothing is delivered and every send comes back
       with ``STOPPED``. What other actors sent before and was not delivered yet may be lost: requests are
       then answered by ``DOWN``.

    What none promises: any order between messages of different threads or actors; which thread calls the
    receiver; that a subscriber's actor is alive; that publications made before a subscription are seen.

    What changes an actor's place (:meth:`bind`, :meth:`open`, :meth:`unbind`, :meth:`subscribe`,
    :meth:`unsubscribe`, :meth:`watch`) holds when the call returns. It waits for the broker while there is no
    connection, and raises ``MsgConnectionError`` if the broker refuses.
    """

    #: Whether a task for an actor that is down waits until it comes back; otherwise it is lost.
    keeps_tasks = False

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod  # noqa: B027  # most URLs say nothing but their scheme
    def check(cls, url: str, name: str) -> None:
        """See :func:`check_url`."""

    @abstractmethod
    def start(self, receiver: Receiver) -> None:
        """Connect.

        Raises:
            MsgConnectionError: the broker is not reachable or refuses, or the name is taken.
            ValueError: the URL names files that cannot be used.
        """

    @abstractmethod
    def bind(self, endpoint: str, services: Iterable[str], tasks: Iterable[str]) -> None:
        """Accept requests for these channels of ``endpoint`` from now on. Replaces an earlier binding."""

    def open(self, endpoint: str) -> None:  # noqa: B027  # only where tasks are kept is there something to do
        """The bound endpoint is in service: where tasks are kept, those for it begin to arrive only now."""

    def forgive(self, tasks: Iterable[tuple[str, str]]) -> None:  # noqa: B027  # only where tasks are kept
        """Before :meth:`start`: these tasks, by caller and id, are not what ended the last process.

        Where tasks are kept, one that ends process after process is set aside in the end.
        """

    def put_back(self, task: Envelope, body: Body) -> None:  # noqa: B027  # only where tasks are kept
        """A task that was delivered is not begun, since this actor is about to stop.

        Where tasks are kept, its successor gets it, in the order of all that are put back, and does not count
        the stop as something that the task did.
        """

    @abstractmethod
    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None:
        """Accept none any more; an unknown endpoint is ignored.

        With ``keep_tasks`` further tasks wait for a successor, on a transport that keeps tasks.
        """

    @abstractmethod
    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        """Move the same body to the target of each envelope."""

    def offer(self, endpoint: str, channel: str) -> None:  # noqa: B027  # only a broker needs to be told
        """Make the event channel of a bound endpoint known, so that others may subscribe to it.

        The first :meth:`publish` does the same.
        """

    @abstractmethod
    def publish(self, envelope: Envelope, body: Body, stamps: Stamps | None = None) -> None:
        """Move an event to the subscribers of ``envelope.source`` and ``envelope.channel``.

        ``stamps`` are what filters look at; an event without any passes only where there are no filters.
        """

    @abstractmethod
    def subscribe(self, source: Address, channel: str, filters: Filters = None) -> bool:
        """Receive that channel's events: all, or those that pass at least one of the filters.

        The source need not exist. Subscribing again replaces the filters, without a gap.

        False where the subscription can only begin once the source has offered the channel, since no other
        may make it: it does when the source announces ``READY``, or at a further call.
        """

    @abstractmethod
    def unsubscribe(self, source: Address, channel: str) -> None:
        """Receive them no more; not being subscribed is fine."""

    @abstractmethod
    def watch(self, actor: str) -> None:
        """Hear of the presence of ``actor``, which need not exist, until :meth:`unwatch` or :meth:`stop`."""

    @abstractmethod
    def unwatch(self, actor: str) -> None:
        """Hear of it no more; not watching it is fine. What was on its way may still come."""

    @abstractmethod
    def announce(self, state: Presence) -> None:
        """Tell the watchers of this actor."""

    @property
    def arriving(self) -> Sequence[Arriving]:
        """Payloads that have come in part, as far as it can be told."""
        return ()

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many messages were turned away, by reason."""
        return {}

    @property
    def redelivered(self) -> int:
        """How many messages came that were marked as delivered before, to this process or an earlier one."""
        return 0

    @abstractmethod
    def stop(self) -> None:
        """Leave. What was handed to :meth:`send` before is delivered first."""


#: URL scheme -> ``module:class``; a class is called with the actor's name and the URL
SCHEMES: dict[str, str] = {
    "amqp": "roleml.messaging.rabbitmq.transport:RabbitTransport",
    "amqps": "roleml.messaging.rabbitmq.transport:RabbitTransport",
    "embedded": "roleml.messaging.embedded:EmbeddedTransport",
    "disabled": "roleml.messaging.disabled:DisabledTransport",
}


def open_transport(url: str, name: str) -> Transport:
    """The transport for a broker URL, not started yet.

    Raises:
        ValueError: no transport is known for the URL's scheme, or the URL is not of that scheme's form.
    """
    transport: Transport = _class_for(url)(name, url)
    return _wrap.get()(transport)


def check_url(url: str, name: str = "") -> None:
    """Look for mistakes in a broker URL without connecting.

    The files that it names are looked at only for the actor whose name is given: they are that one's.

    Raises:
        ValueError: as :func:`open_transport`, or such a file cannot be used.
    """
    _class_for(url).check(url, name)


def _class_for(url: str) -> Any:
    """The class of transport for a URL: what is called with an actor's name and the URL."""
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in SCHEMES:
        word = url.strip().partition(":")[0].lower()
        near = word if word in SCHEMES else nearest(word, SCHEMES)
        known = ", ".join(f"{key}://" for key in SCHEMES)
        hint = f"did you mean {near}://?" if near is not None else f"one begins with {known}"
        raise ValueError(f"{_without_password(url)!r} is no URL of a broker; {hint}")
    module, _, class_name = SCHEMES[scheme.lower()].partition(":")
    return getattr(importlib.import_module(module), class_name)


def _without_password(url: str) -> str:
    """A URL, even a malformed one, as it can be shown."""
    return re.sub(r"^([^:]*:/*[^:@/]*):.*@", r"\1:...@", url)


_wrap: ContextVar[Callable[[Transport], Transport]] = ContextVar("wrap", default=lambda transport: transport)


@contextmanager
def wrapped_transports(wrap: Callable[[Transport], Transport]) -> Iterator[None]:
    """Transports that this thread opens in the block are what ``wrap`` makes of them."""
    token = _wrap.set(wrap)
    try:
        yield
    finally:
        _wrap.reset(token)
