"""Greetings between actors: who is there, for those that keep a list of contacts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from roleml.core.context import ActorProfile, Context
from roleml.messaging.envelope import Kind
from roleml.messaging.exceptions import HandshakeError, HandwaveError, MessagingError
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.serving import Request

__all__ = ["Greetings"]

logger = logging.getLogger("roleml.actor")


class Greetings:
    """Says hello and goodbye to other actors, and notes when they do."""

    def __init__(self, ctx: Context, mailbox: Mailbox) -> None:
        self._ctx = ctx
        self._mailbox = mailbox

    def controls(self) -> dict[str, Callable[[Request], Any]]:
        """What other actors may say: name -> function of the request."""
        return {"handshake": self._greeted, "handwave": self._left_by}

    def handshake(self, actor: str) -> None:
        """Introduce this actor to another, which adds it to its contacts. Raises ``HandshakeError``."""
        try:
            self._say(actor, "handshake", tuple(self._ctx.profile))
        except MessagingError as e:
            raise HandshakeError(f"actor {actor} did not take the handshake: {e}") from e

    def handwave(self, actor: str) -> None:
        """Say goodbye to another actor, which then forgets this one. Raises ``HandwaveError``."""
        try:
            self._say(actor, "handwave", self._ctx.profile.name)
        except MessagingError as e:
            raise HandwaveError(f"actor {actor} did not take the handwave: {e}") from e

    def handshake_all(self, actors: Sequence[str]) -> None:
        """Greet all of them. If one does not take it, say goodbye to all, and raise ``HandshakeError``."""
        try:
            for actor in actors:
                self.handshake(actor)
        except HandshakeError:
            self.handwave_all(actors, logging.INFO)
            raise

    def handwave_all(self, actors: Sequence[str], level: int = logging.WARNING) -> None:
        """Say goodbye to all of them; who does not take it is logged at that level."""
        for actor in actors:
            try:
                self.handwave(actor)
            except HandwaveError as e:
                logger.log(level, "%s", e)

    def _say(self, actor: str, what: str, content: Any) -> None:
        self._mailbox.call(Kind.CONTROL, (self._ctx.profile.name, ""), (actor, ""), what, content)

    def _greeted(self, request: Request) -> None:
        _, address = request.content
        self._ctx.contacts.add_contact(ActorProfile(request.source[0], address))

    def _left_by(self, request: Request) -> None:
        self._ctx.contacts.remove_contact(request.source[0])
