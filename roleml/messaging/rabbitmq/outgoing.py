"""A message on its way to the broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roleml.messaging.envelope import Envelope

__all__ = ["Outgoing"]


@dataclass(eq=False, slots=True)
class Outgoing:
    """One message on its way to the broker."""

    exchange: str
    key: str
    headers: dict[str, Any]
    body: bytes = b""
    #: whose absence is reported; ``None``: nobody needs to know
    envelope: Envelope | None = None
    persistent: bool = False
    #: how long it may wait for a consumer; the one who sent it has given up by then
    expires_s: float | None = None
    on_confirm: Callable[[], Any] | None = None
    message_id: str = ""
    #: whether it comes back if no queue takes it, though nobody is told
    mandatory: bool = False
    # how it went
    returned: bool = False
    tried_again: bool = False
    refusals: int = 0
