"""Messages that came back: which wait, which are sent again, and which nobody will ever take."""

from __future__ import annotations

import pika.exceptions
import pytest

from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.returns import Found, Returns, found

KEY = names.inbox_key("bob")


def message(name: str, *, returned: bool = True) -> Outgoing:
    return Outgoing(names.CALL, KEY, {}, message_id=name, returned=returned)


def ids(messages: list[Outgoing]) -> list[str]:
    return [each.message_id for each in messages]


def test_what_came_back_waits_and_what_follows_waits_behind_it() -> None:
    returns = Returns()
    assert not returns.follows(message("early", returned=False))
    assert returns.keep(message("1"))
    assert not returns.keep(message("2"))
    assert returns.follows(message("3", returned=False))
    assert not returns.follows(Outgoing(names.CALL, names.inbox_key("alice"), {}))
    returns.away(KEY)
    again, given_up = returns.resume(KEY, Found.HERE)
    assert (ids(again), given_up) == (["1", "2", "3"], [])
    assert not returns


def test_what_no_queue_will_take_is_given_up_and_what_followed_is_tried() -> None:
    returns = Returns()
    returns.keep(message("1"))
    returns.follows(message("2", returned=False))
    again, given_up = returns.resume(KEY, Found.ABSENT)
    assert (ids(again), ids(given_up)) == (["2"], ["1"])


def test_a_queue_that_is_there_and_takes_nothing_is_tried_once() -> None:
    returns, first = Returns(), message("1")
    returns.keep(first)
    assert returns.resume(KEY, Found.HERE) == ([first], [])
    first.returned = True
    returns.keep(first)
    assert returns.resume(KEY, Found.HERE) == ([], [first])


def test_a_node_may_be_away_more_than_once() -> None:
    returns, first = Returns(), message("1")
    for _ in range(3):
        first.returned = True
        returns.keep(first)
        returns.away(KEY)
        assert returns.resume(KEY, Found.HERE) == ([first], [])


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (None, Found.HERE),
        (pika.exceptions.ChannelClosedByBroker(405, "RESOURCE_LOCKED - it is exclusive"), Found.HERE),
        (pika.exceptions.ChannelClosedByBroker(404, "NOT_FOUND - no queue 'q' in vhost '/'"), Found.ABSENT),
        (pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - to queue 'q'"), Found.ABSENT),
        (
            pika.exceptions.ChannelClosedByBroker(
                404, "NOT_FOUND - home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible"
            ),
            Found.AWAY,
        ),
        (pika.exceptions.StreamLostError("gone"), Found.AWAY),
    ],
)
def test_what_the_broker_says_of_a_queue(error: BaseException | None, what: Found) -> None:
    assert found(error) is what


@pytest.mark.parametrize(
    ("key", "queue"),
    [
        ("to.bob.@inbox", "q.bob.@inbox"),
        ("to.bob.worker.service.ask", "q.bob.worker.services"),
        ("to.bob.worker.task.work", "q.bob.worker.tasks"),
        ("to.bob.@alive", None),
        ("to.bob.@uploads", None),
        ("bob.ready", None),
        ("", None),
    ],
)
def test_the_queue_of_a_key(key: str, queue: str | None) -> None:
    assert names.queue_of(key) == queue
