"""Puts a device between an actor and its broker: messages take their time, and wait while it is away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from roleml.messaging.codec import Body
from roleml.messaging.envelope import Address, Envelope
from roleml.messaging.filters import Filters, Stamps
from roleml.messaging.transport import Absence, Presence, Receiver, Transport
from roleml.simulation.devices import Device
from roleml.simulation.timeline import Timeline

__all__ = ["SimulatedTransport"]


class _Pipe:
    """One direction of a connection. What goes in comes out in its order, each after its delay.

    A message occupies the pipe for its size over the rate; the latency comes on top and occupies nothing.
    """

    def __init__(self, device: Device, rate: float, timeline: Timeline, purpose: str) -> None:
        self._device = device
        self._rate = rate
        self._timeline = timeline
        self._draws = device.draws(purpose)
        self._lock = threading.Lock()
        self._letting_out = threading.RLock()  # held while something goes out, so that it stays in order
        self._waiting: deque[Callable[[], None]] = deque()
        self._free_s = 0.0
        self._last_s = 0.0

    def push(self, nbytes: int, out: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.append(out)
            self._timeline.at(self._due_s(nbytes) if self._timeline.runs else 0.0, self._let_out)

    def _due_s(self, nbytes: int) -> float:
        device = self._device
        begin_s = max(self._timeline.now_s, self._free_s)
        self._free_s = device.online.done(begin_s, nbytes / self._rate)
        due_s = self._free_s + device.latency_s + self._draws.uniform(0, device.jitter_s)
        self._last_s = max(self._last_s, due_s)
        return self._last_s

    def flush(self) -> None:
        """Let everything out at once."""
        with self._letting_out:
            while self._waiting:
                self._let_out()

    def _let_out(self) -> None:
        with self._letting_out:
            try:
                out = self._waiting.popleft()
            except IndexError:  # flushed before it was due
                return
            out()


class SimulatedTransport(Transport):
    """An actor's place at a broker, seen through its device. Keeps the promises of the contract.

    Bindings, subscriptions and watches are made at once: they are this actor's agreements with the broker,
    and what they bring comes through the device.
    """

    def __init__(self, transport: Transport, device: Device, timeline: Timeline) -> None:
        super().__init__(transport.name)
        self.keeps_tasks = transport.keeps_tasks
        self._transport = transport
        self._up = _Pipe(device, device.up_bytes_per_s, timeline, "up")
        self._down = _Pipe(device, device.down_bytes_per_s, timeline, "down")

    def start(self, receiver: Receiver) -> None:
        self._transport.start(_Delayed(receiver, self._down))

    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        self._up.push(body.nbytes, partial(self._transport.send, list(envelopes), body.snapshot()))

    def publish(self, envelope: Envelope, body: Body, stamps: Stamps | None = None) -> None:
        self._up.push(body.nbytes, partial(self._transport.publish, envelope, body.snapshot(), stamps))

    def stop(self) -> None:
        self._up.flush()
        self._transport.stop()
        self._down.flush()

    # what is not simulated

    def bind(self, endpoint: str, services: Iterable[str], tasks: Iterable[str]) -> None:
        self._transport.bind(endpoint, services, tasks)

    def forgive(self, tasks: Iterable[tuple[str, str]]) -> None:
        self._transport.forgive(tasks)

    def open(self, endpoint: str) -> None:
        self._transport.open(endpoint)

    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None:
        self._transport.unbind(endpoint, keep_tasks=keep_tasks)

    def offer(self, endpoint: str, channel: str) -> None:
        self._transport.offer(endpoint, channel)

    def subscribe(self, source: Address, channel: str, filters: Filters = None) -> bool:
        return self._transport.subscribe(source, channel, filters)

    def unsubscribe(self, source: Address, channel: str) -> None:
        self._transport.unsubscribe(source, channel)

    def watch(self, actor: str) -> None:
        self._transport.watch(actor)

    def unwatch(self, actor: str) -> None:
        self._transport.unwatch(actor)

    def announce(self, state: Presence) -> None:
        self._transport.announce(state)


class _Delayed:
    """A receiver behind the pipe that leads to it."""

    def __init__(self, receiver: Receiver, down: _Pipe) -> None:
        self._receiver = receiver
        self._down = down

    def deliver(self, envelope: Envelope, body: Body) -> None:
        self._down.push(body.nbytes, partial(self._receiver.deliver, envelope, body))

    def returned(self, envelope: Envelope, absence: Absence) -> None:
        self._down.push(0, partial(self._receiver.returned, envelope, absence))

    def presence(self, actor: str, state: Presence) -> None:
        self._down.push(0, partial(self._receiver.presence, actor, state))
