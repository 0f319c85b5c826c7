"""What became of a request? The question must not overtake it, or what is on its way would be called lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from roleml.messaging.codec import Codec
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.rabbitmq.publishing import Outgoing, Publisher
from roleml.messaging.rabbitmq.transfers import WHOLE_BYTES
from roleml.messaging.rabbitmq.transport import RabbitTransport
from roleml.messaging.transport import Receiver


class AskedMeanwhile:
    """In the place of a publisher; before each message of a request, another thread asks."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self.sent: list[Outgoing] = []
        self._ask = ask

    def publish(self, *messages: Outgoing, gather: bool = False) -> None:
        for message in messages:
            if "question" not in message.headers:
                self._ask()
            self.sent.append(message)


@pytest.mark.parametrize("size", [10, 3 * WHOLE_BYTES])
def test_a_question_never_overtakes_the_request_that_it_is_about(size: int) -> None:
    transport = RabbitTransport("alice", "amqp://guest:guest@localhost/app")
    publisher = AskedMeanwhile(transport._ask_what_became_of_requests)
    transport._publisher = cast(Publisher, publisher)
    transport._receiver = cast(Receiver, object())
    transport._reachable.add("bob")
    request = Envelope(Kind.SERVICE, "1", ("alice", "boss"), ("bob", "worker"), "ask")
    transport.send([request], Codec().encode(bytes(size)))
    assert not [message for message in publisher.sent if "question" in message.headers]
    transport._ask_what_became_of_requests()
    assert "question" in publisher.sent[-1].headers
    assert publisher.sent[-1].body == b"1 boss\n"
