"""Metrics: what a role tells about its progress, for whoever records it."""

from __future__ import annotations

import time
from typing import Any

from roleml.core.role.channels import Event

__all__ = ["METRICS", "Metrics"]

METRICS = "metrics"
"""The event channel that recorders follow."""


class Metrics(Event):
    """Declares the event channel ``metrics`` of a role, whatever the attribute is called.

    ``metrics = rml.Metrics()`` in the class, ``self.metrics.log(epoch, loss=0.3)`` in its methods. Each call
    is one event, which costs next to nothing where nobody records.
    """

    def __init__(self, channel_name: str | None = None) -> None:
        super().__init__(channel_name or METRICS)

    def log(self, step: int | None = None, /, **values: Any) -> None:
        """Tell values of one moment, by the clock of this machine.

        ``step`` counts whatever the role counts: epochs, rounds, gradients. Values are numbers, texts, or
        lists and mappings of them; ``seconds`` is by convention how long that which has just ended took, and
        is drawn as such. Raises as :meth:`Event.emit`.
        """
        self.emit({"time": time.time(), "step": step, "values": values})
