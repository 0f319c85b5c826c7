"""The seam for traces that follow a call from actor to actor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from roleml.messaging.envelope import Address, Kind

__all__ = ["NoTracing", "Tracing"]


class Tracing(Protocol):
    """What surrounds asking and serving. Both are called in the thread that does it."""

    def asking(
        self, kind: Kind, source: Address, targets: Sequence[Address], channel: str
    ) -> AbstractContextManager[str]:
        """Yields what travels with the requests: a ``traceparent`` of W3C Trace Context, or nothing."""

    def serving(
        self, kind: Kind, source: Address, target: Address, channel: str, trace: str
    ) -> AbstractContextManager[object]:
        """Surrounds the handler. ``trace`` is what came with the request; whoever sent it chose it."""


class NoTracing:
    """Nothing is traced."""

    def asking(
        self, kind: Kind, source: Address, targets: Sequence[Address], channel: str
    ) -> AbstractContextManager[str]:
        return nullcontext("")

    def serving(
        self, kind: Kind, source: Address, target: Address, channel: str, trace: str
    ) -> AbstractContextManager[object]:
        return nullcontext()
