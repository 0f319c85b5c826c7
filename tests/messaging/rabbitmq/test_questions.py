"""What became of a request? The question must not overtake it, or what is on its way would be called lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Answer, Envelope, Failure, Kind
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.peers import Peers
from roleml.messaging.rabbitmq.seen import owned
from roleml.messaging.rabbitmq.served import SMALL_ANSWER_BYTES
from roleml.messaging.rabbitmq.transfers import WHOLE_BYTES
from roleml.messaging.transport import Presence
from tests.messaging.rabbitmq.place import Place

REQUEST = Envelope(Kind.SERVICE, "1", ("alice", "boss"), ("bob", "worker"), "ask")


@pytest.mark.parametrize("size", [10, 3 * WHOLE_BYTES])
def test_a_question_never_overtakes_the_request_that_it_is_about(size: int) -> None:
    alice = Place("alice")
    alice.meanwhile = alice.peers._ask_what_became_of_requests
    alice.sender.send([REQUEST], Codec().encode(bytes(size)))
    assert not alice.questions
    alice.peers._ask_what_became_of_requests()
    assert alice.sent[-1].body == b"1 boss\n"
    assert alice.questions == [alice.sent[-1]]


def test_nobody_asks_what_became_of_a_request_that_was_answered_or_went_to_an_actor_that_is_gone() -> None:
    alice = Place("alice")
    alice.sender.send([REQUEST, REQUEST._replace(id="2")], Codec().encode(None))
    alice.peers.answered("1")
    alice.peers._ask_what_became_of_requests()
    assert alice.sent[-1].body == b"2 boss\n"
    alice.peers.said("bob", "down", "its boot")
    alice.peers._ask_what_became_of_requests()
    assert len(alice.questions) == 1


def answer_of(bob: Place) -> tuple[Answer | None, Any]:
    """The last one that was sent."""
    message = bob.sent[-1]
    assert message.envelope is not None
    return message.envelope.answer, Codec().decode(Body.from_frame(message.body))


def test_a_request_that_never_came_fails() -> None:
    bob = Place("bob")
    bob.sender.tell_fate(REQUEST)
    answer, content = answer_of(bob)
    assert answer is Answer.FAILURE
    assert "was lost, with the broker or with an earlier process of bob" in Failure.of_parts(content).text


def test_a_request_at_work_is_answered_when_it_is_done_and_not_before() -> None:
    bob = Place("bob")
    bob.served.came(owned("alice", "1"))
    bob.sender.tell_fate(REQUEST)
    assert not bob.sent


@pytest.mark.parametrize("size", [10, 2 * SMALL_ANSWER_BYTES])
def test_a_small_answer_is_not_persistent_but_kept_and_given_again(size: int) -> None:
    bob = Place("bob")
    bob.served.came(owned("alice", "1"))
    answer = Envelope(Kind.RESULT, "1", REQUEST.target, REQUEST.source, "ask", answer=Answer.VALUE)
    bob.sender.send([answer], Codec().encode(bytes(size)))
    (first,) = bob.sent
    bob.sender.tell_fate(REQUEST)
    if size < SMALL_ANSWER_BYTES:
        assert not first.persistent
        assert bob.sent[1:] == [first]
    else:
        assert first.persistent
        _, content = answer_of(bob)
        assert "was lost with the broker, and is not kept here" in Failure.of_parts(content).text


def test_an_answer_is_not_given_again_before_it_has_left() -> None:
    bob = Place("bob")
    bob.served.came(owned("alice", "1"))
    bob.meanwhile = lambda: bob.sender.tell_fate(REQUEST)
    answer = Envelope(Kind.RESULT, "1", REQUEST.target, REQUEST.source, "ask", answer=Answer.VALUE)
    bob.sender.send([answer], Codec().encode("yes"))
    assert len(bob.sent) == 1


def test_the_answer_of_a_task_is_persistent() -> None:
    bob = Place("bob")
    answer = Envelope(Kind.RESULT, "1", REQUEST.target, REQUEST.source, "ask", answer=Answer.VALUE)
    bob.sender.send([answer], Codec().encode("yes"))
    assert bob.sent[-1].persistent


class Consuming:
    """A connection whose thread is this one; nothing is ever due."""

    def post(self, action: Callable[[], Any]) -> None:
        action()

    def after(self, delay_s: float, action: Callable[[], Any]) -> None: ...


class Known:
    """The peers of alice, and what it heard of them."""

    def __init__(self) -> None:
        self.news: list[tuple[str, Presence]] = []
        self.sent: list[Outgoing] = []
        self.peers = Peers(
            "alice",
            "boot",
            self.sent.append,
            cast(Connection, Consuming()),
            lambda *news: self.news.append(news),
        )

    @property
    def pings(self) -> int:
        return sum(message.envelope is not None for message in self.sent)


def test_peers_say_when_they_come_and_go() -> None:
    known = Known()
    for state in ("ready", "back", "down", "nonsense"):
        known.peers.said("bob", state, "its boot")
    assert known.news == [("bob", Presence.READY), ("bob", Presence.READY), ("bob", Presence.DOWN)]


def test_who_is_back_after_it_was_taken_for_lost_is_there() -> None:
    known = Known()
    known.peers.said("bob", "ready", "its boot")
    known.peers.ping_came_back("bob")  # one from before that: it is pinged again
    assert known.news == [("bob", Presence.READY)]
    assert known.pings == 1
    known.peers.ping_came_back("bob")
    assert known.news[1:] == [("bob", Presence.DOWN)]
    known.peers.said("bob", "back", "its boot")
    assert known.news[2:] == [("bob", Presence.READY)]


def test_who_is_connected_again_hears_it_of_itself() -> None:
    known = Known()
    known.peers.connected_again(["bob"])
    assert known.news == [("alice", Presence.READY)]
    assert known.pings == 1
