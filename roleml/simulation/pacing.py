"""Makes handlers take as long as on a slower device."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from roleml.core.role.naming import to_standardized_name
from roleml.messaging.envelope import Kind
from roleml.messaging.serving import Job, Request
from roleml.simulation.devices import Device
from roleml.simulation.ranges import drawn
from roleml.simulation.timeline import Timeline

__all__ = ["Pacer"]


class Pacer:
    """Paces the handlers of services, tasks and events of one actor.

    With a ``speed`` below 1 a handler's thread pauses afterwards, in proportion to the processor time that it
    has used (waiting costs a slow device no more than a fast one); with ``seconds`` for its channel, until
    that much time has passed. A handler that calls its own actor pays for the processor once.
    """

    def __init__(self, device: Device, timeline: Timeline) -> None:
        self._slowdown = max(0.0, 1 / device.speed - 1)
        self._device = device
        self._seconds = {to_standardized_name(name): value for name, value in device.seconds.items()}
        self._timeline = timeline
        self._within = threading.local()
        self._lock = threading.Lock()
        self._draws: dict[str, random.Random] = {}

    def __call__(self, request: Request, job: Job) -> Any:
        if request.kind is Kind.CONTROL or not self._timeline.runs:
            return job()
        outermost = not getattr(self._within, "handler", False)
        least_s = self._least_s(request.channel)
        self._within.handler = True
        began_s, computed_s = self._timeline.now_s, time.thread_time()
        try:
            return job()
        finally:
            if outermost:
                self._within.handler = False
            rest_s = self._slowdown * (time.thread_time() - computed_s) if outermost else 0.0
            pause_s = max(rest_s, least_s - (self._timeline.now_s - began_s))
            if pause_s > 0:
                self._timeline.pause(pause_s)

    def _least_s(self, channel: str) -> float:
        if channel not in self._seconds:
            return 0.0
        with self._lock:
            if channel not in self._draws:
                self._draws[channel] = self._device.draws(f"seconds/{channel}")
            return drawn(self._seconds[channel], self._draws[channel])
