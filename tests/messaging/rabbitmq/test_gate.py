from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.envelope import Answer, Envelope, Kind
from roleml.messaging.exceptions import DecodeError
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.gate import MAX_MESSAGE_BYTES, Delivery, Gate, Reason, RejectedError
from roleml.messaging.rabbitmq.properties import UNREADABLE
from roleml.messaging.rabbitmq.wire import MalformedError, headers_of

CALL = Envelope(Kind.SERVICE, "1", ("alice", "boss"), ("bob", "worker"), "who")
EVENT = Envelope(Kind.EVENT, "", ("alice", "boss"), ("", ""), "done", 3)
LOST = {"kind": "presence", "actor": "alice", "state": "lost", "boot": "b"}


def died(*queues: str) -> dict[str, Any]:
    deaths = [{"queue": queue, "reason": "expired", "count": 1} for queue in queues]
    return {"x-death": deaths, "x-first-death-queue": queues[0]}


def delivered(envelope: Envelope, user: str | None = "alice", **changes: Any) -> Delivery:
    event = envelope.kind is Kind.EVENT
    exchange = names.event_exchange(envelope.source, envelope.channel) if event else names.CALL
    key = "" if event else names.call_key(envelope)
    more = changes.pop("more", {})
    headers = headers_of(envelope) | more
    values = {"exchange": exchange, "key": key, "user": user, "headers": headers, "body_bytes": 10}
    return Delivery(**(values | changes))


def presence(user: str | None = "alice", exchange: str = names.PRESENCE, **changes: Any) -> Delivery:
    headers = LOST | changes
    return Delivery(exchange, f"{headers['actor']}.{headers['state']}", user, headers, 0)


def reason(delivery: Delivery, *, actor: str = "bob", identity: bool = True) -> Reason | None:
    try:
        Gate(actor, identity=identity).check(delivery)
    except RejectedError as e:
        return e.reason
    return None


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.EVENT])
@pytest.mark.parametrize("identity", [True, False])
def test_a_message_of_its_sender_to_me_passes(kind: Kind, identity: bool) -> None:
    answer = Answer.VALUE if kind is Kind.RESULT else None
    envelope = Envelope(kind, "1", ("alice", "boss"), ("bob", "worker"), "who", answer=answer)
    assert Gate("bob", identity=identity).check(delivered(envelope)) == envelope


def test_an_event_passes() -> None:
    assert Gate("bob", identity=True).check(delivered(EVENT)) == EVENT


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (delivered(CALL, None), Reason.ANONYMOUS),
        (delivered(CALL, "mallory"), Reason.FORGED),
        (delivered(CALL, "bob"), Reason.FORGED),
        (delivered(CALL, exchange=""), Reason.EXCHANGE),
        (delivered(CALL, exchange=names.PRESENCE), Reason.EXCHANGE),
        (delivered(CALL, exchange="x.alice.boss.done"), Reason.EXCHANGE),
        (delivered(EVENT, exchange="x.mallory.boss.done"), Reason.EXCHANGE),
        (delivered(EVENT, exchange="x.alice.boss.other"), Reason.EXCHANGE),
        (delivered(EVENT, exchange=names.CALL), Reason.EXCHANGE),
        (delivered(CALL, key="to.bob.worker.service.other"), Reason.MISDIRECTED),
        (delivered(CALL, key="to.bob.worker.task.who"), Reason.MISDIRECTED),
        (delivered(CALL, more={"to": "carol/worker"}), Reason.MISDIRECTED),
        (delivered(CALL, more=died("q.mallory.trap")), Reason.REDIRECTED),
        (delivered(EVENT, more=died("q.mallory.trap")), Reason.REDIRECTED),
        (delivered(CALL, more={"x-first-death-queue": "q"}), Reason.REDIRECTED),
        (delivered(CALL, more={"kind": "chunk"} | died("q.mallory.trap")), Reason.REDIRECTED),
        (delivered(CALL, more={"kind": "chunk"}, exchange=""), Reason.EXCHANGE),
        (delivered(CALL, "mallory", more={"kind": "chunk"}), Reason.FORGED),
        (delivered(CALL, body_bytes=MAX_MESSAGE_BYTES + 1), Reason.TOO_LARGE),
        (delivered(CALL, more={"padding": "x" * 10_000}), Reason.TOO_LARGE),
        (delivered(CALL, more={f"h{i}": 1 for i in range(100)}), Reason.TOO_LARGE),
        (delivered(CALL, headers={}), Reason.MALFORMED),
        (delivered(CALL, more={"kind": "magic"}), Reason.MALFORMED),
        (delivered(CALL, more={"from": 7}), Reason.MALFORMED),
        (delivered(CALL, more={"from": "alice"}), Reason.MALFORMED),
        (delivered(CALL, more={"id": None}), Reason.MALFORMED),
        (delivered(CALL, more={"id": "x" * 256}), Reason.MALFORMED),
        (delivered(CALL, more={"from": "alice/" + "x" * 300}), Reason.MALFORMED),
        (delivered(CALL, more={"to": "bob/" + "\N{SNOWMAN}" * 90}), Reason.MALFORMED),
        (delivered(CALL, headers={UNREADABLE: "they are nested"}), Reason.MALFORMED),
    ],
)
def test_a_message_is_rejected_for(delivery: Delivery, expected: Reason) -> None:
    assert reason(delivery) is expected


def test_the_log_repeats_little_of_what_a_stranger_says() -> None:
    delivery = Delivery(names.PRESENCE, "k", "alice", LOST | {"state": "x" * 100_000}, 0)
    with pytest.raises(RejectedError) as raised:
        Gate("bob", identity=True).check(delivery)
    assert len(str(raised.value)) < 500


def test_many_carbon_copies_are_no_large_header() -> None:
    keys = [f"to.client{i}.trainer.task.train" for i in range(200)]
    assert reason(delivered(CALL, more={"CC": keys})) is None


def test_pieces_of_a_body_pass_by_calls_and_by_events_of_their_sender() -> None:
    assert reason(delivered(CALL, more={"kind": "chunk"})) is None
    assert reason(delivered(EVENT, more={"kind": "chunk"})) is None


def test_a_task_that_this_actor_put_back_passes_and_nothing_else_does() -> None:
    task = Envelope(Kind.TASK, "1", ("alice", "boss"), ("bob", "worker"), "who")
    assert reason(delivered(task, "bob")) is None
    assert reason(delivered(task, "carol")) is Reason.FORGED


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (presence(state="ready"), None),
        (presence(**died("q.alice.@will")), None),
        (presence("mallory"), Reason.FORGED),
        (presence(None), Reason.ANONYMOUS),
        (presence("mallory", **died("q.alice.@will")), Reason.FORGED),
        (presence(**died("q.mallory.trap")), Reason.REDIRECTED),
        (presence(**died("q.alice.@will", "q.mallory.trap")), Reason.REDIRECTED),
        (presence(state="down", **died("q.alice.@will")), Reason.REDIRECTED),
        (presence(exchange=names.CALL), Reason.EXCHANGE),
        (presence(actor=7), Reason.MALFORMED),
    ],
)
def test_presence_is_what_an_actor_or_its_will_says(delivery: Delivery, expected: Reason | None) -> None:
    assert reason(delivery) is expected


def test_presence_for_another_key_than_its_own_is_rejected() -> None:
    assert reason(Delivery(names.PRESENCE, "bob.lost", "alice", LOST, 0)) is Reason.MISDIRECTED


def test_without_identity_all_but_the_user_is_checked() -> None:
    assert reason(delivered(CALL, None), identity=False) is None
    assert reason(delivered(CALL, "guest"), identity=False) is None
    assert reason(delivered(CALL, "guest", key="x"), identity=False) is Reason.MISDIRECTED


def test_a_bounce_is_a_request_of_mine_out_of_a_queue_of_its_target() -> None:
    mine = Envelope(Kind.SERVICE, "1", ("bob", "boss"), ("alice", "worker"), "who")
    more = died("q.alice.worker.services")
    assert reason(delivered(mine, "bob", exchange=names.BOUNCE, more=more)) is None
    assert reason(delivered(mine, "bob", exchange=names.BOUNCE)) is Reason.REDIRECTED
    trap = died("q.mallory.trap")
    assert reason(delivered(mine, "bob", exchange=names.BOUNCE, more=trap)) is Reason.REDIRECTED
    assert reason(delivered(CALL, exchange=names.BOUNCE, more=more)) is Reason.MISDIRECTED


def test_rejections_are_counted_and_reported_once_for_each_reason_and_user() -> None:
    gate = Gate("bob", identity=True)
    forged = RejectedError(Reason.FORGED, "")
    assert [gate.note(forged, "mallory") for _ in range(3)] == [True, False, False]
    assert gate.note(forged, "eve")
    assert gate.note(DecodeError("x"), "mallory")
    assert gate.note(MalformedError("x"), None)
    assert gate.rejected == {Reason.FORGED: 4, Reason.DAMAGED: 1, Reason.MALFORMED: 1}


def test_a_flood_of_users_fills_no_memory() -> None:
    gate = Gate("bob", identity=True)
    reported = sum(gate.note(DecodeError("x"), f"user{i}") for i in range(5000))
    assert reported == len(gate._reported) == 1000
    assert gate.rejected[Reason.DAMAGED] == 5000


junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["kind", "id", "from", "to", "channel", "sequence", "answer", "actor", "state",
                         "x-death", "x-first-death-queue", "CC", "seal"]) | st.text(max_size=3),
        junk | st.sampled_from(["service", "event", "presence", "chunk", "alice/boss", "bob/worker"]),
    ),
    st.sampled_from([names.CALL, names.PRESENCE, names.BOUNCE, "", "x.alice.boss.done"]),
    st.none() | st.sampled_from(["alice", "bob"]),
)  # fmt: skip
def test_no_headers_raise_anything_but_a_rejection(
    headers: dict[str, Any], exchange: str, user: str | None
) -> None:
    with contextlib.suppress(RejectedError):
        Gate("bob", identity=True).check(Delivery(exchange, "k", user, headers, 0))
