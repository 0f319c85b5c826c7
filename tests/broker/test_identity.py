"""Attacks by a member of the application: it has a user and a password, and wants to be somebody else."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from roleml.core.context import RoleInstanceID
from roleml.messaging.codec import Codec
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq import names
from roleml.messaging.transport import Presence
from tests.actors import DEADLINE_S, Actors, in_thread, wait_until
from tests.broker.members import WHO, WORKERS, Bob, Boss, Member, Worker
from tests.broker.provisioned import Provisioned

ROOT = Path(__file__).parents[2]

LONE_ACTOR = """
import sys
from tests.actors import Actors
Actors().start("bob", broker=sys.argv[1])
sys.stdin.read()
"""


@pytest.mark.parametrize("first", ["the subscriber", "the source"])
def test_two_actors_need_the_generated_permissions_only(
    place: Provisioned, actors: Actors, first: str
) -> None:
    boss, worker = Boss(), Worker()
    if first == "the source":
        actors.start("bob", {"worker": worker}, broker=place.url("bob"))
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    if first == "the subscriber":
        actors.start("bob", {"worker": worker}, broker=place.url("bob"))
    assert boss.call("worker", "who") == "alice/boss"
    assert boss.call_task("worker", "work", {"amount": 4}).result() == 8
    # Alice may learn of bob after its first task: then a later one is what it hears of.
    wait_until(lambda: boss.call_task("worker", "work", {"amount": 4}).result() and not boss.heard.empty())
    assert boss.heard.get(timeout=DEADLINE_S) == 4


def test_large_payloads_need_no_further_permission(place: Provisioned, actors: Actors, bob: Bob) -> None:
    boss, data = Boss(), bytes(9_000_000)
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    assert boss.call("worker", "measure", payloads={"data": data}) == (len(data), data)
    assert boss.call_task("worker", "weigh", payloads={"data": data}).result() == len(data)
    workers = [RoleInstanceID("bob", "worker")]
    ((_, answer),) = boss.call_group(workers, "measure", payloads={"data": data})
    assert answer == (len(data), data)
    assert not bob.rejected


def test_a_subscription_that_waits_for_its_source_begins_when_that_is_ready(
    place: Provisioned, actors: Actors
) -> None:
    """Below the events of roles, which subscribe again by themselves."""
    heard: queue.Queue[Envelope] = queue.Queue()
    alice = actors.start("alice", broker=place.url("alice"))
    alice._mailbox.on_event(lambda envelope, decode: heard.put(envelope))
    transport = alice._mailbox.transport
    assert transport.subscribe(("bob", "worker"), "done") is False
    worker = Worker()
    bob_transport = actors.start("bob", {"worker": worker}, broker=place.url("bob"))._mailbox.transport
    bob_transport.offer("worker", "done")
    bob_transport.announce(Presence.READY)
    wait_until(lambda: not transport._consumer.hearing._unbound)
    envelope = Envelope(Kind.EVENT, "", ("bob", "worker"), ("", ""), "done", 1)
    bob_transport.publish(envelope, Codec().encode(None))
    assert heard.get(timeout=DEADLINE_S) == envelope


def test_an_actor_hears_of_the_loss_of_another(place: Provisioned, actors: Actors) -> None:
    alice = actors.start("alice", broker=place.url("alice"))
    news: queue.Queue[tuple[str, Presence]] = queue.Queue()
    alice._mailbox.on_presence(lambda actor, state: news.put((actor, state)))
    alice._mailbox.watch("bob")
    program = [sys.executable, "-c", LONE_ACTOR, place.url("bob")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert news.get(timeout=2 * DEADLINE_S) == ("bob", Presence.READY)
        process.kill()
    assert news.get(timeout=DEADLINE_S) == ("bob", Presence.DOWN)


def test_a_forged_caller_is_rejected_and_counted_and_reported_once(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "roleml.messaging"):
        for _ in range(3):
            mallory.publish(names.CALL, WHO, mallory.call(from_="alice/boss"))
        bob.wait_rejected("forged", 3)
    (record,) = caplog.records
    assert "broker user mallory claims to be alice" in record.getMessage()
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    assert boss.call("worker", "who") == "alice/boss"


def test_an_anonymous_message_is_rejected(bob: Bob, mallory: Member) -> None:
    mallory.publish(names.CALL, WHO, mallory.call(from_="alice/boss"), user_id=None)
    bob.wait_rejected("anonymous")


def test_an_anonymous_answer_in_an_inbox_is_rejected(bob: Bob, mallory: Member) -> None:
    answer = mallory.call(kind="result", from_="alice/boss", to="bob/worker", answer="value")
    mallory.publish(names.CALL, names.inbox_key("bob"), answer, user_id=None)
    bob.wait_rejected("anonymous")


def test_the_broker_refuses_the_user_id_of_another(place: Provisioned, bob: Bob) -> None:
    headers = {"kind": "service", "id": "1", "from": "alice/boss", "to": "bob/worker", "channel": "who"}
    properties = pika.BasicProperties(headers=headers, user_id="alice")
    assert place.refusal("mallory", "basic_publish", names.CALL, WHO, b"", properties) == 406


def test_a_call_redirected_from_a_queue_of_the_attacker_is_rejected(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    # Alice calls mallory, as she may; the broker moves the call on to bob, and vouches for alice.
    mallory.trap(names.CALL, "to.mallory.worker.service.who", names.CALL, WHO)
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships={"worker": ["mallory/worker"]},
                 broker=place.url("alice"))  # fmt: skip
    mallory.channel.queue_declare("q.mallory.alive", exclusive=True)
    mallory.channel.queue_bind("q.mallory.alive", names.CALL, names.alive_key("mallory"))
    in_thread(boss.call, "worker", "who")
    wait_until(lambda: bob.rejected)
    assert set(bob.rejected) <= {"redirected", "misdirected"}
    assert bob.role.callers.empty()


def test_a_call_for_another_channel_than_its_routing_key_is_rejected(bob: Bob, mallory: Member) -> None:
    mallory.publish(names.CALL, WHO, mallory.call(channel="work"))
    bob.wait_rejected("misdirected")


def test_a_call_by_carbon_copy_is_rejected(bob: Bob, mallory: Member) -> None:
    mallory.publish(names.CALL, "to.alice.x.service.y", mallory.call(CC=[WHO]))
    bob.wait_rejected("misdirected")


def test_forged_presence_is_refused_by_the_broker(place: Provisioned) -> None:
    for exchange in (names.PRESENCE, names.CALL):
        key = names.presence_key("alice", "down")
        assert place.refusal("mallory", "basic_publish", exchange, key, b"") == 403


def test_presence_out_of_a_queue_of_the_attacker_is_rejected(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    bob.actor._mailbox.watch("alice")
    mallory.trap(names.PRESENCE, "alice.*", names.PRESENCE, names.presence_key("alice", "down"))
    actors.start("alice", broker=place.url("alice"))
    wait_until(lambda: bob.rejected)
    assert set(bob.rejected) <= {"redirected", "misdirected"}


def test_a_will_put_into_the_queue_of_another_is_refused_or_ignored(
    place: Provisioned, bob: Bob, mallory: Member
) -> None:
    assert place.refusal("mallory", "basic_publish", names.CALL, names.will_key("bob"), b"") == 403
    assert place.refusal("mallory", "basic_publish", names.CALL, names.dead_key("bob"), b"") == 403


OWN_QUEUE = "q.mallory.x"
REFUSED = {
    "consume the calls of another": ("basic_get", "q.bob.worker.services"),
    "purge them": ("queue_purge", "q.bob.worker.services"),
    "delete them": ("queue_delete", "q.bob.worker.services"),
    "declare in the namespace of another": ("queue_declare", "q.bob.mine"),
    "declare an exchange there": ("exchange_declare", "x.bob.mine.event", "fanout"),
    "bind the queue of another": ("queue_bind", "q.bob.worker.services", names.CALL, "to.mallory.x"),
    "unbind it": ("queue_unbind", "q.bob.worker.services", names.CALL, WHO),
    "bind the calls of another": ("queue_bind", OWN_QUEUE, names.CALL, WHO),
    "bind all calls": ("queue_bind", OWN_QUEUE, names.CALL, "#"),
    "bind all calls but for a word": ("queue_bind", OWN_QUEUE, names.CALL, "to.*.worker.service.who"),
    "bind more than its own calls": ("queue_bind", OWN_QUEUE, names.CALL, "to.mallory.#"),
    "bind the events of another to yet another": ("exchange_bind", "x.alice.a.b", "x.bob.worker.done"),
    "publish the events of another": ("basic_publish", "x.bob.worker.done", "", b""),
    "publish past the exchanges": ("basic_publish", "", "q.bob.@inbox", b""),
    "make the shared exchange anew": ("exchange_delete", names.CALL),
    "publish to all": ("basic_publish", names.CALL, "to.#", b""),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_the_broker_refuses_to(place: Provisioned, bob: Bob, attack: str) -> None:
    connection = place.connect("mallory")
    connection.channel().queue_declare(OWN_QUEUE, exclusive=False, durable=True)
    connection.close()
    assert place.refusal("mallory", *REFUSED[attack]) == 403


def test_garbage_is_rejected_and_does_not_stop_the_actor(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member, caplog: pytest.LogCaptureFixture
) -> None:
    mallory.channel.basic_publish(names.CALL, WHO, b"garbage")
    mallory.channel.basic_publish(
        names.CALL, "to.bob.worker.task.work", b"garbage", pika.BasicProperties(headers={"kind": 3})
    )
    mallory.publish(names.CALL, WHO, mallory.call(extra="x" * 100_000))
    wait_until(lambda: sum(bob.rejected.values()) == 3)
    assert dict(bob.rejected) == {"malformed": 2, "too_large": 1}
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    assert boss.call("worker", "who") == "alice/boss"


def test_a_body_that_is_none_fails_its_caller_only(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    properties = pika.BasicProperties(headers=mallory.call(), user_id="mallory", message_id="m-1")
    mallory.channel.basic_publish(names.CALL, WHO, b"garbage", properties)
    wait_until(lambda: bob.rejected)
    assert dict(bob.rejected) == {"damaged": 1}
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    assert boss.call("worker", "who") == "alice/boss"


def test_an_actor_may_not_connect_as_another(place: Provisioned) -> None:
    with pytest.raises(ValueError, match="of its own name"):
        Actors().start("alice", broker=place.url("mallory", "?identity=required"))


def test_a_wrong_password_says_so(place: Provisioned) -> None:
    url = place.broker.url("alice", "wrong", place.vhost)
    with pytest.raises(MsgConnectionError, match="user name or the password is wrong") as raised:
        Actors().start("alice", broker=url)
    assert "wrong@" not in str(raised.value)


def test_a_vhost_that_is_not_there_says_so(place: Provisioned) -> None:
    with pytest.raises(MsgConnectionError, match="vhost"):
        Actors().start("alice", broker=place.broker.url("alice", "secret-of-alice", "nowhere"))


def test_a_host_that_is_not_there_says_so() -> None:
    with pytest.raises(MsgConnectionError, match=r"is the broker running there\?"):
        Actors().start("alice", broker="amqp://alice:secret@127.0.0.1:1/")


def test_a_name_in_use_says_so(place: Provisioned, bob: Bob) -> None:
    with pytest.raises(MsgConnectionError, match="already connected"):
        Actors().start("bob", broker=place.url("bob", "?heartbeat=11"))


def test_only_an_actor_itself_may_say_that_its_payloads_were_lost(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    fence = {"kind": "chunk", "fence": "some-upload", "of": "alice/", "size": 9, "from": "mallory/"}
    for _ in range(2):
        mallory.publish(names.CALL, names.uploads_key("bob"), fence)
    mallory.publish(names.CALL, names.uploads_key("bob"), fence | {"from": "bob/"})
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    data = bytes(3_000_000)
    assert boss.call("worker", "measure", payloads={"data": data}) == (len(data), data)


def test_a_question_about_requests_is_answered_to_whoever_asked_and_runs_nothing(
    place: Provisioned, actors: Actors, bob: Bob, mallory: Member
) -> None:
    question = mallory.call(id="") | {"question": 1}
    for body in (b"", b"\xff\xfe no lines", b"x mallory\n" * 3000, b"one-word\n"):
        properties = pika.BasicProperties(headers=question, user_id="mallory")
        mallory.channel.basic_publish(names.CALL, WHO, body, properties)
    mallory.publish(names.CALL, WHO, question | {"from": "alice/boss"})
    bob.wait_rejected("forged")
    boss = Boss()
    actors.start("alice", {"boss": boss}, relationships=WORKERS, broker=place.url("alice"))
    assert boss.call("worker", "who") == "alice/boss"
    assert bob.role.callers.get(timeout=DEADLINE_S) == "alice/boss"
    assert bob.role.callers.empty()
