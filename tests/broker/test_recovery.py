"""Lost connections, killed processes, restarted brokers: what callers see, and how often handlers ran."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context
from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Answer, Envelope, Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq import consuming, names, peers, will
from roleml.messaging.rabbitmq.tasks import MAX_CRASHES
from roleml.messaging.rabbitmq.wire import headers_of
from tests.actors import Gate, in_thread, wait_until
from tests.broker.broker import Broker
from tests.broker.client import open_connection
from tests.broker.console import ConsoleError, quoted
from tests.broker.node import Node
from tests.messaging.transport_contract import Peer

WORKER = rml.RoleInstanceID("worker", "worker")
DEADLINE_S = 30.0

CALLEE = textwrap.dedent(
    """
    import os, sys, threading, time
    import roleml.essentials as rml
    from roleml.core.context import ActorProfile, Context

    def say(word):  # in one piece, whoever else says something
        os.write(1, word.encode() + b"\\n")

    class Worker(rml.Role):
        ticked = rml.Event()

        @rml.Service(expand=True)
        def pid(self, _): return os.getpid()

        @rml.Service(expand=True)
        def hang(self, _):
            say("hanging")
            threading.Event().wait()

        @rml.Task(expand=True)
        def work(self, _, journal, seconds=0.0, die=False):
            with open(journal, "a") as file:
                file.write(f"{os.getpid()}\\n")
            say("working")
            if die:
                os.kill(os.getpid(), 9)
            time.sleep(seconds)
            return "done"

    actor = rml.Actor(Context.build(ActorProfile(sys.argv[2])), broker=sys.argv[1])
    actor.add_role("worker", Worker())
    actor.start()
    say("ready")
    sys.stdin.read()
    actor.stop()
    """
)


class Callee:
    """An actor in a process of its own, with the role ``worker``."""

    def __init__(self, url: str, *, name: str = "worker", ready: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALLEE, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if ready:
            self.wait_for("ready")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def wait_for(self, line: str) -> None:
        while self.lines.get(timeout=DEADLINE_S) != line:
            pass

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.process.stdin.closed:
            return
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self.process.stdout.close()


StartCallee = Callable[..., Callee]


def messages_in(broker: Broker, vhost: str, queue_name: str) -> int:
    try:
        (row,) = (row for row in broker.list_queues(vhost) if row["name"] == queue_name)
    except ConsoleError:  # some queue went away while the node was looking at it
        return -1
    return int(row["messages_ready"]) + int(row["messages_unacknowledged"])


@pytest.fixture
def start_callee() -> Iterator[StartCallee]:
    callees: list[Callee] = []

    def start(url: str, **options: bool) -> Callee:
        callees.append(Callee(url, **options))
        return callees[-1]

    yield start
    for callee in callees:
        callee.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str], rml.Actor]]:
    actors: list[rml.Actor] = []

    def connect(url: str) -> rml.Actor:
        actors.append(rml.Actor(Context.build(ActorProfile("caller")), broker=url))
        actors[-1].start()
        return actors[-1]

    yield connect
    for actor in actors:
        actor.stop()


Connect = Callable[[str], rml.Actor]


def work(caller: rml.Actor, journal: Path, **args: object) -> rml.TaskInvocation:
    return caller.call_task("x", WORKER, "work", rml.Message({"journal": str(journal), **args}, {}))


def runs(journal: Path) -> int:
    return len(journal.read_text().splitlines())


@pytest.mark.timeout(90)
def test_callers_of_a_killed_actor_fail_within_moments_and_are_told_whom_they_lost(
    broker_url: str, connect: Connect, start_callee: StartCallee
) -> None:
    caller, callee = connect(broker_url), start_callee(broker_url)
    failed: queue.Queue[Exception] = queue.Queue()

    def call() -> None:
        try:
            caller.call("x", WORKER, "hang", rml.Message.empty())
        except rml.HandlerError as e:
            failed.put(e)

    thread = threading.Thread(target=call)
    thread.start()
    callee.wait_for("hanging")
    callee.kill()
    assert "worker left before worker/worker.hang answered" in str(failed.get(timeout=DEADLINE_S))
    thread.join(DEADLINE_S)
    with pytest.raises(rml.HandlerError, match=r"worker"):
        caller.call("x", WORKER, "pid", rml.Message.empty())


@pytest.mark.timeout(90)
def test_a_task_survives_the_process_that_runs_it(
    broker_url: str, connect: Connect, start_callee: StartCallee, tmp_path: Path
) -> None:
    caller, callee = connect(broker_url), start_callee(broker_url)
    task = work(caller, tmp_path / "journal", seconds=0.3, die=False)
    callee.wait_for("working")
    callee.kill()
    start_callee(broker_url)
    assert task.result(DEADLINE_S) == "done"
    assert runs(tmp_path / "journal") == 2


@pytest.mark.timeout(90)
def test_a_task_for_an_actor_that_is_switched_off_waits_for_it(
    broker_url: str, connect: Connect, start_callee: StartCallee, tmp_path: Path
) -> None:
    caller = connect(broker_url)
    start_callee(broker_url).close()
    accepted: queue.Queue[rml.TaskInvocation] = queue.Queue()
    thread = threading.Thread(target=lambda: accepted.put(work(caller, tmp_path / "journal")))
    thread.start()
    start_callee(broker_url)
    assert accepted.get(timeout=DEADLINE_S).result(DEADLINE_S) == "done"
    thread.join(DEADLINE_S)
    assert runs(tmp_path / "journal") == 1


@pytest.mark.timeout(90)
def test_a_task_that_the_broker_could_not_keep_is_sent_again(
    breakable_node: Node,
    breakable_url: str,
    connect: Connect,
    start_callee: StartCallee,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caller, vhost = connect(breakable_url), quoted(breakable_url.rpartition("/")[2])
    start_callee(breakable_url).close()
    full = '[{<<"max-length">>, 1}, {<<"overflow">>, <<"reject-publish">>}]'
    breakable_node.evaluate(
        f'ok = rabbit_policy:set({vhost}, <<"full">>, <<"tasks">>, {full}, 0, <<"queues">>, <<"tests">>)'
    )
    calls = [in_thread(work, caller, tmp_path / "journal") for _ in range(4)]
    wait_until(lambda: "could not keep a message of caller" in caplog.text, DEADLINE_S)
    breakable_node.evaluate(f'ok = rabbit_policy:delete({vhost}, <<"full">>, <<"tests">>)')
    start_callee(breakable_url)
    assert [call.result(DEADLINE_S).result(DEADLINE_S) for call in calls] == ["done"] * 4
    assert runs(tmp_path / "journal") == 4


class Slow(rml.Role):
    """Says which task it has begun, and goes on when the gate is open."""

    def __init__(self, gate: Gate, begun: list[int]) -> None:
        super().__init__()
        self._gate, self._begun = gate, begun

    @rml.Task(expand=True)
    def work(self, _: rml.RoleInstanceID, n: int, weights: bytes) -> int:
        self._begun.append(n)
        self._gate.pass_through()
        return len(weights)


@pytest.mark.timeout(90)
def test_tasks_that_wait_are_run_once_and_in_order_however_often_their_actor_stops_before(
    broker_node: Broker, broker_vhost: str, broker_url: str, connect: Connect
) -> None:
    begun: list[int] = []
    sizes = [1 << 21 if n % 3 == 2 else n for n in range(9)]  # the large ones travel in chunks

    def start(gate: Gate) -> rml.Actor:
        worker = rml.Actor(Context.build(ActorProfile("worker")), broker=broker_url)
        worker.add_role("worker", Slow(gate, begun))
        worker._mailbox.lanes._overlap_after_s = DEADLINE_S  # so that the others wait behind the first
        worker.start()
        return worker

    def stop_during_its_first_task() -> None:
        worker = start(gate := Gate())
        gate.entered()
        stop = in_thread(worker.stop)
        wait_until(lambda: worker._calls._leaving)
        gate.open()
        stop.result(DEADLINE_S)

    caller = connect(broker_url)
    start(Gate()).stop()
    tasks = [
        caller._mailbox.post(
            Kind.TASK, ("caller", "x"), [WORKER], "work", rml.Message({"n": n}, {"weights": bytes(size)})
        )[0]
        for n, size in enumerate(sizes)
    ]
    for _ in range(MAX_CRASHES + 2):
        stop_during_its_first_task()
    gate = Gate()
    gate.open()
    with start(gate):
        wait_until(lambda: all(task.done for task in tasks), DEADLINE_S)
        assert [task.value() for task in tasks] == sizes
        assert begun == list(range(9))
        wait_until(lambda: messages_in(broker_node, broker_vhost, "q.worker.worker.tasks") == 0, DEADLINE_S)


@pytest.mark.timeout(120)
def test_a_task_that_kills_its_actor_is_set_aside_and_its_caller_told(
    broker_node: Broker,
    broker_vhost: str,
    broker_url: str,
    connect: Connect,
    start_callee: StartCallee,
    tmp_path: Path,
) -> None:
    caller, callee = connect(broker_url), start_callee(broker_url)
    outcome: queue.Queue[Exception | None] = queue.Queue()

    def call() -> None:
        try:
            outcome.put(work(caller, tmp_path / "journal", die=True).exception(100))
        except rml.HandlerError as e:
            outcome.put(e)

    thread = threading.Thread(target=call)
    thread.start()
    for _ in range(3):
        callee.process.wait(DEADLINE_S)
        callee = start_callee(broker_url, ready=False)
    error = outcome.get(timeout=100)
    assert isinstance(error, rml.HandlerError)
    assert "set aside: actor worker died 3 times" in str(error)
    thread.join(DEADLINE_S)
    assert runs(tmp_path / "journal") == 3
    assert caller.call("x", WORKER, "pid", rml.Message.empty()) == callee.process.pid
    # where the message says that it is; the first one comes before its queue has been made
    wait_until(lambda: messages_in(broker_node, broker_vhost, "q.worker.@dead") == 1)
    wait_until(lambda: messages_in(broker_node, broker_vhost, "q.worker.worker.tasks") == 0)


def test_a_task_whose_caller_has_left_is_finished_and_gone(
    broker_node: Broker,
    broker_vhost: str,
    broker_url: str,
    connect: Connect,
    start_callee: StartCallee,
    tmp_path: Path,
) -> None:
    caller, callee = connect(broker_url), start_callee(broker_url)
    work(caller, tmp_path / "journal", seconds=0.5)
    callee.wait_for("working")
    caller.stop()
    wait_until(lambda: messages_in(broker_node, broker_vhost, "q.worker.worker.tasks") == 0)


def test_a_service_that_a_lost_process_had_is_not_called_again(
    broker_url: str, connect: Connect, start_callee: StartCallee
) -> None:
    caller = connect(broker_url)
    start_callee(broker_url).kill()
    connection = open_connection(broker_url)
    channel = connection.channel()
    headers = headers_of(Envelope(Kind.SERVICE, "1", ("caller", "x"), WORKER, "pid"))
    answers = queue.SimpleQueue[Envelope]()
    caller._mailbox.deliver = lambda envelope, body: answers.put(envelope)  # type: ignore[method-assign]
    channel.basic_publish(
        "rml.call",
        "to.worker.worker.service.pid",
        Codec().encode(((), ())).to_frame(),
        pika.BasicProperties(headers=headers),
    )
    assert channel.basic_get("q.worker.worker.services")[0] is not None  # taken, and not acknowledged
    connection.close()
    start_callee(broker_url)
    answer = answers.get(timeout=DEADLINE_S)
    assert (answer.id, answer.answer) == ("1", Answer.FAILURE)


def test_a_service_request_that_nobody_takes_does_not_wait_for_a_successor(
    broker_url: str, connect: Connect, start_callee: StartCallee
) -> None:
    caller = connect(broker_url)
    start_callee(broker_url).kill()
    with pytest.raises(rml.HandlerError, match="worker"):
        caller.call("x", WORKER, "pid", rml.Message.empty())
    connection = open_connection(broker_url)
    method, properties, _ = connection.channel().basic_get("q.worker.worker.services")
    connection.close()
    assert method is not None
    assert properties.expiration == "60000"


def test_a_will_is_renewed_without_anyone_hearing_of_it(
    broker_node: Broker, broker_vhost: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(will, "RENEWED_S", 0.05)
    written: queue.SimpleQueue[None] = queue.SimpleQueue()
    write = will.LastWill._write

    def noted(self: will.LastWill, channel: object) -> None:
        written.put(None)
        write(self, channel)

    monkeypatch.setattr(will.LastWill, "_write", noted)
    watched, watcher = Peer("watched", broker_url), Peer("watcher", broker_url)
    try:
        watcher.transport.watch("watched")
        for _ in range(10):
            written.get(timeout=DEADLINE_S)
        wait_until(lambda: messages_in(broker_node, broker_vhost, "q.watched.@will") == 1)
        watcher.flush(watched)
        assert watcher.inbox.news.empty()
    finally:
        watched.transport.stop()
        watcher.transport.stop()


def test_an_actor_that_does_not_really_consume_takes_its_queues_up_again(
    broker_node: Broker, broker_vhost: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: queue.SimpleQueue[int] = queue.SimpleQueue()
    verify = consuming.Consumer._verify_steps

    def distrust_once(self: consuming.Consumer, *args: object) -> object:
        checks.put(self.generation)
        if self.generation == 2:
            raise MsgConnectionError("the broker does not know us")
        yield from verify(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(consuming.Consumer, "_verify_steps", distrust_once)
    a, b = Peer("a", broker_url), Peer("b", broker_url)
    try:
        wait_until(lambda: broker_node.list_connections(broker_vhost))
        broker_node.close_connections(broker_vhost)
        assert [checks.get(timeout=DEADLINE_S) for _ in range(4)] == [2, 2, 3, 3]
        a.send("b", content="after all")
        assert b.inbox.next()[1] == "after all"
    finally:
        a.transport.stop()
        b.transport.stop()


def test_what_an_actor_asks_of_the_broker_while_the_connection_is_lost_is_done_afterwards(
    broker_node: Broker, broker_vhost: str, broker_url: str
) -> None:
    peer = Peer("asker", broker_url)

    def ask(number: int) -> None:
        for part in range(5):
            peer.transport.watch(f"actor-{number}-{part}")

    asking = [in_thread(ask, number) for number in range(20)]
    try:
        broker_node.close_connections(broker_vhost)
        for each in asking:
            each.result(DEADLINE_S)
        expected = {f"actor-{number}-{part}.*" for number in range(20) for part in range(5)}
        keys = {row["routing_key"] for row in broker_node.list_bindings(broker_vhost)}
        assert expected <= keys
    finally:
        peer.transport.stop()


@pytest.mark.timeout(90)
def test_an_actor_can_stop_while_its_broker_is_gone(breakable_node: Node, breakable_url: str) -> None:
    class Role(rml.Role):
        done = rml.Event()

        @rml.Task
        def work(self, _: object, args: object, payloads: object) -> None: ...

        @rml.Service
        def serve(self, _: object, args: object, payloads: object) -> None: ...

    actor = rml.Actor(Context.build(ActorProfile("a")), broker=breakable_url)
    actor.add_role("role", Role())
    actor.start()
    breakable_node.kill()
    in_thread(actor.stop).result(DEADLINE_S)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_calls_and_a_running_task_survive_a_broker_that_goes_and_comes_back(
    breakable_node: Node,
    breakable_url: str,
    connect: Connect,
    start_callee: StartCallee,
    tmp_path: Path,
    how: str,
) -> None:
    caller, callee = connect(breakable_url), start_callee(breakable_url)
    task = work(caller, tmp_path / "journal", seconds=3.0)
    callee.wait_for("working")
    if how == "restart":
        breakable_node.restart()
    else:
        breakable_node.kill()
        breakable_node.start()
    assert caller.call("x", WORKER, "pid", rml.Message.empty()) == callee.process.pid
    assert task.result(DEADLINE_S) == "done"
    assert runs(tmp_path / "journal") == 1
    deadline = time.monotonic() + DEADLINE_S
    assert work(caller, tmp_path / "again").result(deadline - time.monotonic()) == "done"


@pytest.mark.timeout(90)
def test_a_service_request_that_was_lost_with_the_broker_fails(
    breakable_node: Node, breakable_url: str, request: pytest.FixtureRequest
) -> None:
    caller = Peer("a", breakable_url)
    request.addfinalizer(caller.transport.stop)
    connection = open_connection(breakable_url)  # stands for an actor b that does not read
    channel = connection.channel()
    queue_name = names.request_queue("b", "me", Kind.SERVICE)
    arguments = names.request_arguments("me", Kind.SERVICE)
    channel.queue_declare(queue_name, durable=True, arguments=arguments)
    channel.queue_bind(queue_name, names.CALL, names.request_key("b", "me", Kind.SERVICE, "x"))
    channel.queue_declare(names.alive_queue("b"), exclusive=True)
    channel.queue_bind(names.alive_queue("b"), names.CALL, names.alive_key("b"))
    caller.send("b/me.x", kind=Kind.SERVICE, id="lost")
    vhost = breakable_url.rpartition("/")[2]
    wait_until(lambda: messages_in(breakable_node, vhost, queue_name) == 1, DEADLINE_S)

    breakable_node.kill()
    breakable_node.start()
    with contextlib.suppress(pika.exceptions.AMQPError):
        connection.close()
    callee = Peer("b", breakable_url)
    request.addfinalizer(callee.transport.stop)
    callee.transport.bind("me", ["x"], [])

    envelope, content = caller.inbox.next()
    assert (envelope.kind, envelope.id, envelope.answer) == (Kind.RESULT, "lost", Answer.FAILURE)
    assert "the request for b/me.x was lost, with the broker or with an earlier process of b" in str(content)
    caller.send("b/me.x", kind=Kind.SERVICE, id="next")
    assert callee.inbox.next()[0].id == "next"


@pytest.mark.timeout(90)
def test_an_answer_that_was_lost_with_the_broker_is_given_again(
    breakable_node: Node, breakable_url: str, request: pytest.FixtureRequest
) -> None:
    callee = Peer("b", breakable_url)
    request.addfinalizer(callee.transport.stop)
    callee.transport.bind("me", ["x"], [])
    key = names.request_key("b", "me", Kind.SERVICE, "x")
    envelope = Envelope(Kind.SERVICE, "1", ("a", "boss"), ("b", "me"), "x")
    properties = pika.BasicProperties(headers=headers_of(envelope), message_id="m-1")
    inbox = names.inbox_queue("a")

    def take_up_inbox(channel: Any) -> None:  # stands for an actor a that does not read
        channel.queue_declare(inbox, durable=True, arguments=names.inbox_arguments())
        channel.queue_bind(inbox, names.CALL, names.inbox_key("a"))

    connection = open_connection(breakable_url)
    channel = connection.channel()
    take_up_inbox(channel)
    channel.basic_publish(names.CALL, key, Codec().encode(None).to_frame(), properties)
    asked, _ = callee.inbox.next()
    answer = Envelope(Kind.RESULT, asked.id, asked.target, asked.source, "x", answer=Answer.VALUE)
    callee.transport.send([answer], Codec().encode("the answer"))
    vhost = breakable_url.rpartition("/")[2]
    wait_until(lambda: messages_in(breakable_node, vhost, inbox) == 1, DEADLINE_S)
    _, first, _ = channel.basic_get(inbox)
    breakable_node.kill()
    breakable_node.start()
    with contextlib.suppress(pika.exceptions.AMQPError):
        connection.close()

    with contextlib.closing(open_connection(breakable_url)) as connection:
        channel = connection.channel()
        take_up_inbox(channel)
        assert channel.basic_get(inbox) == (None, None, None)  # what is not persistent does not outlive it
        question = headers_of(envelope._replace(id="")) | {"question": 1}
        channel.basic_publish(names.CALL, key, b"1 boss\n", pika.BasicProperties(headers=question))
        wait_until(lambda: messages_in(breakable_node, vhost, inbox) == 1, DEADLINE_S)
        _, again, body = channel.basic_get(inbox)
    assert Codec().decode(Body.from_frame(body)) == "the answer"
    assert again.headers == first.headers
    assert again.message_id == first.message_id  # so that whoever has had it does not take it for another


@pytest.mark.timeout(60)
def test_a_service_that_a_killed_actor_had_fails_although_its_successor_is_there_at_once(
    broker_node: Broker,
    broker_vhost: str,
    broker_url: str,
    connect: Connect,
    start_callee: StartCallee,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "GRACE_S", 8.0)  # longer than a process takes to start
    monkeypatch.setattr(peers, "ASKED_AGAIN_S", ())  # which is missed in between, else
    caller, callee = connect(broker_url), start_callee(broker_url)
    hanging = in_thread(caller.call, "x", WORKER, "hang", rml.Message.empty())
    callee.wait_for("hanging")
    queue_name = names.request_queue("worker", "worker", Kind.SERVICE)
    wait_until(lambda: messages_in(broker_node, broker_vhost, queue_name) == 0, DEADLINE_S)  # acknowledged
    callee.kill()
    again = start_callee(broker_url)
    with pytest.raises(rml.HandlerError, match="with the broker or with an earlier process of worker"):
        hanging.result(DEADLINE_S)
    assert caller.call("x", WORKER, "pid", rml.Message.empty()) == again.process.pid


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "queue_name", ["q.worker.worker.services", "q.worker.worker.tasks", "q.caller.@inbox"]
)
def test_an_actor_whose_queue_was_deleted_makes_it_again(
    broker_url: str, connect: Connect, start_callee: StartCallee, tmp_path: Path, queue_name: str
) -> None:
    caller, callee = connect(broker_url), start_callee(broker_url)
    task = work(caller, tmp_path / "journal", seconds=1.0)
    callee.wait_for("working")
    with contextlib.closing(open_connection(broker_url)) as connection:
        connection.channel().queue_delete(queue_name)

    def serves() -> bool:
        try:
            return bool(caller.call("x", WORKER, "pid", rml.Message.empty()) == callee.process.pid)
        except (rml.HandlerError, rml.CallerError, rml.ChannelNotFoundError):
            return False  # nothing is bound yet

    wait_until(serves, DEADLINE_S)
    assert work(caller, tmp_path / "again").result(DEADLINE_S) == "done"
    assert task.result(DEADLINE_S) == "done"
    assert runs(tmp_path / "journal") == 1


@pytest.mark.timeout(60)
def test_what_is_to_be_done_later_is_done_although_the_connection_is_lost(
    breakable_node: Node, breakable_url: str, request: pytest.FixtureRequest
) -> None:
    peer = Peer("a", breakable_url)
    request.addfinalizer(peer.transport.stop)
    connection = peer.transport._shared.consuming  # type: ignore[attr-defined]
    done: queue.Queue[str] = queue.Queue()

    def plan() -> None:
        connection.after(0.3, lambda: done.put("later"))
        connection.forget(connection.after(0.2, lambda: done.put("forgotten")))

    connection.post(plan)
    breakable_node.evaluate(
        '[rabbit_networking:close_connection(Pid, "a test") || Pid <- rabbit_networking:connections()], ok'
    )
    assert done.get(timeout=DEADLINE_S) == "later"
    assert done.empty()
