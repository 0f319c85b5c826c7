from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.peers import Peers
from roleml.messaging.rabbitmq.publishing import Publisher
from roleml.messaging.rabbitmq.sending import Sender
from roleml.messaging.rabbitmq.served import Served
from roleml.messaging.rabbitmq.tasks import TaskLedger

__all__ = ["Place"]


class Place:
    """An actor's sender, and what it knows of its peers, with a list in the place of a broker."""

    def __init__(self, name: str) -> None:
        self.sent: list[Outgoing] = []
        #: what another thread does before each message leaves
        self.meanwhile: Callable[[], Any] = list
        self.served = Served[Outgoing]()
        self.peers = Peers(name, "boot", self.publish, cast(Connection, self), lambda actor, state: None)
        self.sender = Sender(
            name, cast(Publisher, self), self.peers, self.served, TaskLedger(), lambda task: None
        )
        self.peers.said("bob", "ready", "its boot")  # no need to look for it

    def publish(self, *messages: Outgoing, gather: bool = False) -> None:
        for message in messages:
            if "question" not in message.headers:
                self.meanwhile()
            self.sent.append(message)

    @property
    def questions(self) -> list[Outgoing]:
        return [message for message in self.sent if "question" in message.headers]
