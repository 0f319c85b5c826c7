"""Puts a device between an actor and its broker: messages take their time, and wait while it is away."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from roleml.core.role.naming import to_standardized_name
from roleml.messaging.codec import Body
from roleml.messaging.envelope import Address, Envelope, Kind
from roleml.messaging.filters import Filters, Stamps
from roleml.messaging.mailbox import Job, Request
from roleml.messaging.transport import Absence, Presence, Receiver, Transport
from roleml.simulation.devices import Device

__all__ = ["Pacer", "SimulatedTransport", "Timeline"]


class Timeline:
    """The time of a simulation, in seconds since it began, and the thread that lets messages out of pipes."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="roleml-simulated-links", daemon=True)
        self._thread.start()

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._begin

    def at(self, due_s: float, action: Callable[[], None]) -> None:
        """Do it then; of two at the same moment the one that was asked for first comes first."""
        with self._condition:
            heapq.heappush(self._due, (due_s, next(self._numbers), action))
            self._condition.notify()

    def stop(self) -> None:
        """Do nothing more."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._stopped and (not self._due or self._due[0][0] > self.now_s):
                    wait_s = min(self._due[0][0] - self.now_s, threading.TIMEOUT_MAX) if self._due else None
                    self._condition.wait(wait_s)
                if self._stopped:
                    return
                action = heapq.heappop(self._due)[2]
            action()


class _Pipe:
    """One direction of a connection. What goes in comes out in its order, each after its delay.

    A message occupies the pipe for its size over the rate; the latency comes on top and occupies nothing.
    """

    def __init__(self, device: Device, rate: float, timeline: Timeline, purpose: str) -> None:
        self._device = device
        self._rate = rate
        self._timeline = timeline
        self._draws = random.Random(f"{device.seed}/{purpose}")
        self._lock = threading.Lock()
        self._letting_out = threading.RLock()  # held while something goes out, so that it stays in order
        self._waiting: deque[Callable[[], None]] = deque()
        self._free_s = 0.0
        self._last_s = 0.0

    def push(self, nbytes: int, out: Callable[[], None]) -> None:
        device = self._device
        with self._lock:
            begin_s = device.online.next_online(max(self._timeline.now_s, self._free_s))
            self._free_s = begin_s + nbytes / self._rate
            due_s = self._free_s + device.latency_s + self._draws.uniform(0, device.jitter_s)
            self._last_s = max(self._last_s, due_s)
            self._waiting.append(out)
            self._timeline.at(self._last_s, self._let_out)

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
    """An actor's place at a broker, seen through its device. Keeps the promises of the contract."""

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


class Pacer:
    """Makes handlers of services and tasks take as long as on the device.

    With a ``speed`` below 1 the handler's thread sleeps afterwards, in proportion to the processor time that
    it has used (waiting costs a slow device no more than a fast one); with ``seconds`` for its channel, until
    that much time has passed.
    """

    def __init__(self, device: Device) -> None:
        self._slowdown = 1 / device.speed - 1
        self._least_s = {to_standardized_name(name): seconds for name, seconds in device.seconds.items()}
        self._within = threading.local()

    def __call__(self, request: Request, job: Job) -> Any:
        if request.kind is Kind.CONTROL or getattr(self._within, "paced", False):
            return job()  # a handler that calls its own actor is slowed down once
        self._within.paced = True
        began_s, computed_s = time.monotonic(), time.thread_time()
        try:
            return job()
        finally:
            self._within.paced = False
            rest_s = self._slowdown * (time.thread_time() - computed_s)
            least_s = self._least_s.get(request.channel, 0.0) - (time.monotonic() - began_s)
            pause_s = max(rest_s, least_s)
            if pause_s > 0:
                time.sleep(pause_s)
