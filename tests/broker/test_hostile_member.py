"""A member with a valid login who wants to harm: take the place of others, silence them, or stop an actor.

What the broker and the gate refuse because of who sends it is in `test_identity.py`.
"""

from __future__ import annotations

import contextlib
import logging
import struct
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pika
import pika.exceptions
import pytest

from roleml.core.context import RoleInstanceID
from roleml.core.role.channels import Service
from roleml.messaging.codec import Codec
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.transfers import checksum
from tests.actors import DEADLINE_S, Actors, Gate, in_thread, wait_until
from tests.broker.members import CONTENT, WHO, WORKERS, Bob, Boss, Member, Worker
from tests.broker.provisioned import Provisioned

WORK = "to.bob.worker.task.work"
NESTED = 5000
FLOOD = 5000


def start_boss(place: Provisioned, actors: Actors, **options: Any) -> Boss:
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"), **options)
    return boss


def soon(func: Any, *args: Any) -> Any:
    """What a call gives, or an error if that never comes."""
    return in_thread(func, *args).result(DEADLINE_S)


def captured(channel: Any, queue_name: str) -> tuple[Any, bytes]:
    """The next message of a queue."""
    found: list[tuple[Any, bytes]] = []

    def look() -> bool:
        _, properties, body = channel.basic_get(queue_name, auto_ack=True)
        if properties is not None:
            found.append((properties, body))
        return bool(found)

    wait_until(look)
    return found[0]


# -- headers that cannot be read --------------------------------------------------------------------------


class Raw(pika.BasicProperties):  # type: ignore[misc]  # pika ships no types
    """Properties with headers that are given as bytes, and the user who sends them."""

    def __init__(self, table: bytes, more: Mapping[str, str] | None = None, bits: int = 0) -> None:
        super().__init__()
        self._bits = bits
        self._table = b"".join(map(text_entry, *zip(*more.items(), strict=True))) if more else b""
        self._table += table

    def encode(self) -> list[bytes]:
        user = b"mallory"
        flags = struct.pack(">H", self.FLAG_HEADERS | self.FLAG_USER_ID | self._bits)
        return [flags, struct.pack(">I", len(self._table)), self._table, bytes((len(user),)), user]


def text_entry(name: str, value: str) -> bytes:
    return bytes((len(name),)) + name.encode() + b"S" + struct.pack(">I", len(value)) + value.encode()


def nested(opening: bytes, name: bytes = b"") -> bytes:
    value = b"t\1"
    for _ in range(NESTED):
        value = opening + struct.pack(">I", len(name) + len(value)) + name + value
    return b"\1x" + value


UNREADABLE = {
    "a time that no calendar has": b"\1xT" + struct.pack(">Q", 2**63),
    "lists in lists": nested(b"A"),
    "tables in tables": nested(b"F", b"\1y"),
}


@pytest.mark.parametrize("table", UNREADABLE.values(), ids=UNREADABLE)
def test_headers_that_cannot_be_read_are_rejected_and_do_not_end_the_connection(
    place: Provisioned,
    actors: Actors,
    bob: Bob,
    mallory: Member,
    caplog: pytest.LogCaptureFixture,
    table: bytes,
) -> None:
    with caplog.at_level(logging.INFO, "roleml"):
        for key in (WHO, WORK, names.inbox_key("bob"), names.uploads_key("bob")):
            mallory.channel.basic_publish(
                names.CALL, key, CONTENT, Raw(table, mallory.call()), mandatory=True
            )
        bob.wait_rejected("malformed", 3)
        boss = start_boss(place, actors)
        assert soon(boss.call, "worker", "who") == "alice/boss"
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 2  # of the actor, and of the payloads to its process
    assert all("mallory" in text or "piece of a payload" in text for text in errors)


@pytest.mark.parametrize("crashes", ["x", -1, [1], 2.5, True])
def test_a_task_that_died_in_no_number_is_rejected_and_not_delivered_again(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member, crashes: object
) -> None:
    headers = mallory.call(kind="task", channel="work", crashes=crashes)
    if isinstance(crashes, float):
        table = b"\7crashesd" + struct.pack(">d", crashes)  # which pika reads as an int, but does not write
        headers.pop("crashes")
        mallory.channel.basic_publish(names.CALL, WORK, CONTENT, Raw(table, headers))
        boss = start_boss(place, actors)
    else:
        mallory.publish(names.CALL, WORK, headers)
        bob.wait_rejected("malformed")
        boss = start_boss(place, actors)
    assert soon(boss.call_task("worker", "work", {"amount": 4}).result) == 8


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_flags_that_mean_nothing_do_not_end_the_connection(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member, caplog: pytest.LogCaptureFixture, bits: int
) -> None:
    properties = Raw(b"", mallory.call(), bits)
    with contextlib.suppress(pika.exceptions.AMQPError):  # a broker may also refuse them
        mallory.channel.basic_publish(names.CALL, WHO, CONTENT, properties, mandatory=True)
    boss = start_boss(place, actors)
    assert soon(boss.call, "worker", "who") == "alice/boss"
    assert "broke" not in caplog.text


def test_names_that_are_no_names_are_rejected(bob: Bob, mallory: Member) -> None:
    for change in ({"id": "x" * 256}, {"from_": "mallory/" + "x" * 300}, {"channel": "x" * 300}):
        mallory.publish(names.CALL, WHO, mallory.call(**change))
    bob.wait_rejected("malformed", 3)


def test_headers_beyond_measure_are_rejected(bob: Bob, mallory: Member) -> None:
    mallory.publish(names.CALL, WHO, mallory.call(**{f"h{i}": i for i in range(1000)}))
    mallory.publish(names.CALL, WHO, mallory.call(seal="x" * 200, padding="x" * 100_000))
    bob.wait_rejected("too_large", 2)


def test_a_size_that_is_only_announced_costs_nothing(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    piece = {"kind": "chunk", "from": "mallory/", "index": 0, "crc": checksum(CONTENT)}
    for number, total in enumerate([2**62, -1, 2**40, "x", None]):
        for key in (names.uploads_key("bob"), names.inbox_key("bob")):
            mallory.publish(names.CALL, key, piece | {"transfer": f"t{number}", "total": total})
    boss = start_boss(place, actors)
    assert soon(boss.call, "worker", "who") == "alice/boss"
    assert not bob.rejected


# -- ids of others ----------------------------------------------------------------------------------------


def test_nobody_can_use_up_the_message_ids_of_another(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    """They begin with what presence tells everybody, and go on with a count."""
    mallory.channel.queue_declare("q.mallory.ears", exclusive=True)
    mallory.channel.queue_bind("q.mallory.ears", names.PRESENCE, "alice.*")
    boss = start_boss(place, actors)
    properties, _ = captured(mallory.channel, "q.mallory.ears")
    for number in range(1, 101):
        mine = pika.BasicProperties(
            headers=mallory.call(), user_id="mallory", message_id=f"{properties.headers['boot']}-{number}"
        )
        mallory.channel.basic_publish(names.CALL, WHO, CONTENT, mine)
    assert soon(boss.call, "worker", "who") == "alice/boss"
    assert soon(boss.call_task("worker", "work", {"amount": 4}).result) == 8
    assert not bob.rejected


def call_id_of_alice(boss: Boss, mallory: Member) -> str:
    """Alice calls mallory, and so tells it what its ids begin with."""
    calls = mallory.pose_as_callee()
    in_thread(boss.call, "other", "who")
    properties, _ = captured(mallory.channel, calls)
    assert properties.user_id == "alice"
    return str(properties.headers["id"]).rpartition("-")[0]


def start_boss_of_both(place: Provisioned, actors: Actors) -> Boss:
    boss = Boss()
    relationships = WORKERS | {"other": ["mallory/worker"]}
    actors.start("alice", {"boss": boss}, relationships=relationships, broker=place.url("alice"))
    return boss


def test_nobody_can_use_up_the_task_ids_of_another(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    boss = start_boss_of_both(place, actors)
    prefix = call_id_of_alice(boss, mallory)
    ids = [f"{prefix}-{number}" for number in range(1, 51)]
    body = Codec().encode(({"amount": 1}, {})).to_frame()
    for task_id in ids:
        headers = mallory.call(kind="task", channel="work", id=task_id)
        properties = pika.BasicProperties(headers=headers, user_id="mallory")
        mallory.channel.basic_publish(names.CALL, WORK, body, properties, mandatory=True)
    # alice's number among them ran for mallory already
    assert soon(boss.call_task("worker", "work", {"amount": 4}).result) == 8


class Patient(Worker):
    """Answers when the test opens the gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    @Service(expand=True)
    def wait(self, caller: RoleInstanceID) -> str:
        self.gate.pass_through()
        return "of bob"


def test_nobody_answers_for_another(
    place: Provisioned, actors: Actors, mallory: Member, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    actors.start("bob", {"worker": Patient(gate)}, broker=place.url("bob"))
    boss = start_boss_of_both(place, actors)
    prefix = call_id_of_alice(boss, mallory)
    waiting = in_thread(boss.call, "worker", "wait")
    gate.entered()
    body = Codec().encode("of mallory").to_frame()
    with caplog.at_level(logging.INFO, "roleml.messaging"):
        for number in range(1, 51):
            headers = mallory.call(kind="result", id=f"{prefix}-{number}", to="alice/boss", answer="value")
            headers |= {"from": "mallory/worker", "channel": "wait"}
            properties = pika.BasicProperties(headers=headers, user_id="mallory")
            mallory.channel.basic_publish(names.CALL, names.inbox_key("alice"), body, properties)
        # all but the one that mallory was asked itself, maybe
        wait_until(lambda: caplog.text.count("to an unknown request was dropped") >= 49)
    gate.open()
    assert waiting.result(DEADLINE_S) == "of bob"


def test_a_captured_call_is_of_no_use(place: Provisioned, actors: Actors, bob: Bob, mallory: Member) -> None:
    boss = start_boss_of_both(place, actors)
    calls = mallory.pose_as_callee()
    in_thread(boss.call, "other", "who")
    properties, body = captured(mallory.channel, calls)
    assert place.refusal("mallory", "basic_publish", names.CALL, WHO, body, properties) == 406
    properties.headers["to"] = "bob/worker"
    for user in ("mallory", None):
        properties.user_id = user
        mallory.channel.basic_publish(names.CALL, WHO, body, properties, mandatory=True)
    wait_until(lambda: sum(bob.rejected.values()) == 2)
    assert dict(bob.rejected) == {"forged": 1, "anonymous": 1}
    assert bob.role.callers.empty()


def test_a_call_sent_twice_under_one_id_is_served_once(bob: Bob, mallory: Member) -> None:
    body = Codec().encode(({}, {})).to_frame()
    for message_id in ("m-1", "m-1", "m-2"):
        properties = pika.BasicProperties(headers=mallory.call(), user_id="mallory", message_id=message_id)
        mallory.channel.basic_publish(names.CALL, WHO, body, properties, mandatory=True)
    mallory.publish(names.CALL, WHO, mallory.call(from_="alice/boss"))
    wait_until(lambda: bob.rejected)
    for _ in range(2):
        assert bob.role.callers.get(timeout=DEADLINE_S) == "mallory/boss"
    assert bob.role.callers.empty()


def test_only_a_source_ends_its_channel_and_only_a_subscriber_its_subscription(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    boss = start_boss(place, actors)
    wait_until(lambda: bob.actor._events.is_heard("worker", "done"))
    body = Codec().encode((("bob", "worker"), "done")).to_frame()
    for target, what in (("alice", "discontinue"), ("bob", "unsubscribe")):
        headers = mallory.call(kind="control", id=f"{target}-1", to=f"{target}/", channel=what)
        properties = pika.BasicProperties(headers=headers, user_id="mallory")
        mallory.channel.queue_declare("q.mallory.inbox", exclusive=True)
        mallory.channel.queue_bind("q.mallory.inbox", names.CALL, names.inbox_key("mallory"))
        mallory.channel.basic_publish(names.CALL, names.inbox_key(target), body, properties)
        answer, _ = captured(mallory.channel, "q.mallory.inbox")
        assert answer.headers["id"] == f"{target}-1"
    wait_until(lambda: boss.call_task("worker", "work", {"amount": 4}).result() and not boss.heard.empty())


# -- floods -----------------------------------------------------------------------------------------------


def test_a_flood_of_garbage_is_counted_and_reported_once_while_the_actor_answers(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member, caplog: pytest.LogCaptureFixture
) -> None:
    boss = start_boss(place, actors)
    assert soon(boss.call, "worker", "who") == "alice/boss"
    inbox = names.inbox_key("bob")
    garbage: list[tuple[str, str, Any]] = [
        ("malformed", WHO, pika.BasicProperties(headers={}, user_id="mallory")),
        ("malformed", WORK, Raw(UNREADABLE["a time that no calendar has"])),
        ("forged", WHO, pika.BasicProperties(headers=mallory.call(from_="alice/boss"), user_id="mallory")),
        ("anonymous", WHO, pika.BasicProperties(headers=mallory.call())),
        ("misdirected", inbox, pika.BasicProperties(headers=mallory.call(), user_id="mallory")),
        ("too_large", WHO, pika.BasicProperties(headers=mallory.call(x="x" * 9000), user_id="mallory")),
        ("damaged", inbox, pika.BasicProperties(
            headers={"kind": "chunk", "from": "mallory/", "transfer": "t", "index": 7}, user_id="mallory")),
    ]  # fmt: skip
    expected: Counter[str] = Counter()
    unconfirmed = mallory.connection.channel()
    with caplog.at_level(logging.ERROR, "roleml"):
        for number in range(FLOOD):
            reason, key, properties = garbage[number % len(garbage)]
            unconfirmed.basic_publish(names.CALL, key, b"garbage", properties)
            expected[reason] += 1
            if number % 500 == 0:
                assert soon(boss.call, "worker", "who") == "alice/boss"
        wait_until(lambda: sum(bob.rejected.values()) >= FLOOD, 2 * DEADLINE_S)
    assert dict(bob.rejected) == expected
    lines = [record for record in caplog.records if record.name.startswith("roleml.messaging")]
    assert len(lines) == len(expected)  # of each reason one line
    assert soon(boss.call, "worker", "who") == "alice/boss"
    assert {bob.role.callers.get(timeout=DEADLINE_S) for _ in range(FLOOD // 500 + 2)} == {"alice/boss"}
    assert bob.role.callers.empty()


# -- what it may not touch --------------------------------------------------------------------------------

OWN_QUEUE, OWN_EXCHANGE = "q.mallory.x", "x.mallory.x"
DONE = "x.bob.worker.done"
QUEUES_OF_BOB = [
    names.inbox_queue("bob"),
    names.events_queue("bob"),
    names.uploads_queue("bob"),
    names.alive_queue("bob"),
    names.will_queue("bob"),
    names.dead_queue("bob"),
]
#: the two codes with which a broker refuses: not permitted, and locked by the connection of another
REFUSALS = {403, 405}


@pytest.mark.parametrize("operation", ["queue_declare", "basic_get", "queue_purge", "queue_delete"])
@pytest.mark.parametrize("queue_name", QUEUES_OF_BOB)
def test_the_queues_of_another_are_out_of_reach(
    place: Provisioned, bob: Bob, queue_name: str, operation: str
) -> None:
    assert place.refusal("mallory", operation, queue_name) in REFUSALS
    assert place.refusal("mallory", "queue_bind", queue_name, names.PRESENCE, "bob.*") in REFUSALS


def test_the_queues_of_an_actor_that_is_not_there_yet_cannot_be_taken(place: Provisioned) -> None:
    for queue_name in QUEUES_OF_BOB:
        assert place.refusal("mallory", "queue_declare", queue_name) == 403
    assert place.refusal("mallory", "exchange_declare", DONE, "fanout") == 403
    assert place.refusal("mallory", "exchange_declare", names.BOUNCE, "topic") == 403


REFUSED: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "consume the calls of another": ("basic_consume", ("q.bob.worker.services", print), {}),
    "listen to all presence": ("queue_bind", (OWN_QUEUE, names.PRESENCE, "#"), {}),
    "have all calls sent on": ("exchange_bind", (OWN_EXCHANGE, names.CALL, "#"), {}),
    "have the calls of another sent on": ("exchange_bind", (OWN_EXCHANGE, names.CALL, WHO), {}),
    "let dead messages pass for events of another": (
        "queue_declare", ("q.mallory.y",), {"arguments": {"x-dead-letter-exchange": DONE}},
    ),
    "let lost messages pass for events of another": (
        "exchange_declare", ("x.mallory.y", "fanout"), {"arguments": {"alternate-exchange": DONE}},
    ),
    "end the events of another": ("exchange_delete", (DONE,), {}),
    "unbind a listener of another": ("queue_unbind", ("q.alice.@events", DONE, ""), {}),
    "bind a listener of another": ("queue_bind", ("q.alice.@events", "x.mallory.x", ""), {}),
    "remove a shared exchange": ("exchange_delete", (names.PRESENCE,), {}),
    "publish to the bounces": ("basic_publish", (names.BOUNCE, "to.bob.@inbox", b""), {}),
}  # fmt: skip


@pytest.mark.parametrize("attack", REFUSED)
def test_the_broker_refuses_to(place: Provisioned, actors: Actors, bob: Bob, attack: str) -> None:
    boss = start_boss(place, actors)
    wait_until(lambda: bob.actor._events.is_heard("worker", "done"))
    connection = place.connect("mallory")
    connection.channel().queue_declare(OWN_QUEUE, durable=True)
    connection.channel().exchange_declare(OWN_EXCHANGE, "topic")
    connection.close()
    operation, arguments, options = REFUSED[attack]
    assert place.refusal("mallory", operation, *arguments, **options) in REFUSALS
    wait_until(lambda: boss.call_task("worker", "work", {"amount": 4}).result() and not boss.heard.empty())
