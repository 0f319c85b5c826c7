"""Answers and admissions at awkward moments: while an actor leaves, or a role pauses."""

from __future__ import annotations

import gc
import queue
from typing import Any

import pytest

from roleml.core.role.base import Role
from roleml.core.role.channels import Service, Task
from roleml.core.status import Status
from roleml.messaging.codec import Body
from roleml.messaging.envelope import Kind
from tests.actors import Actors, Gate, Probe, at, in_thread, wait_until


class Slow(Role):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Service
    def wait(self, _: Any, args: Any, payloads: Any) -> Any:
        self.gate.pass_through()
        return "done"

    @Task
    def work(self, _: Any, args: Any, payloads: Any) -> Any:
        return "worked"

    @Service
    def ask_group(self, _: Any, args: Any, payloads: Any) -> Any:
        self.gate.pass_through()
        return self.call_group([self.id], "echo")

    @Service
    def ask_task_group(self, _: Any, args: Any, payloads: Any) -> Any:
        self.gate.pass_through()
        done = queue.SimpleQueue()
        self.call_task_group([self.id], "work", on_result=lambda t, i: done.put(i.result()))
        return done.get(timeout=5)

    @Service
    def echo(self, _: Any, args: Any, payloads: Any) -> Any:
        return "echo"


def test_an_answer_on_its_way_is_sent_before_the_transport_is_stopped(actors: Actors) -> None:
    slow, probe = Slow(), Probe()
    server = actors.start("S", {"slow": slow})
    actors.start("P", {"probe": probe})
    send = server._mailbox._serving._answer_value

    def late(envelope, value):
        server._ended.wait(1)  # the ticket is free, so stop() goes on; this thread is just slow
        send(envelope, value)

    server._mailbox._serving._answer_value = late
    slow.gate.open()
    call = in_thread(probe.call, at("S/slow"), "wait")
    slow.gate.entered()
    server.stop()
    assert call.result(5) == "done"


@pytest.mark.parametrize("channel", ["ask-group", "ask-task-group"])
def test_a_handler_reaches_its_own_pausing_role_through_a_group_call(actors: Actors, channel: str) -> None:
    slow, probe = Slow(), Probe()
    actor = actors.start("S", {"slow": slow})
    actors.start("P", {"probe": probe})
    control = actor.role_status_manager.ctrl("slow")
    call = in_thread(probe.call, at("S/slow"), channel)
    slow.gate.entered()
    pause = in_thread(control.pause)
    wait_until(lambda: control.status is Status.PAUSING)
    slow.gate.open()
    try:
        call.result(3)
        pause.result(3)
    finally:
        if not call.done():
            control._drain = lambda *a: True


def test_a_task_says_that_it_is_accepted_before_the_next_one_may_start(actors: Actors) -> None:
    probe = Probe()
    server = actors.start("S", {"slow": Slow()})
    actors.start("P", {"probe": probe})
    happened = []
    mailbox = server._mailbox
    answer, submit = mailbox._serving._answer, mailbox.lanes.submit

    def noting(to, kind, *rest):
        happened.append(kind)
        answer(to, kind, *rest)

    mailbox._serving._answer = noting

    def lane(key, job):
        def run(started):
            def note() -> None:
                happened.append("started")
                started()

            job(note)

        submit(key, run)

    mailbox.lanes.submit = lane
    assert probe.call_task(at("S/slow"), "work").result(5) == "worked"
    assert happened[:2] == [Kind.ACCEPTED, "started"]


class Keeper(Role):
    """Looks, while it handles a message, for what of the message is still there as it came."""

    def _bodies(self, payloads: Any) -> tuple[int, int]:
        gc.collect()
        bodies = [each for each in gc.get_objects() if type(each) is Body]
        return len(payloads["weights"]), max((body.nbytes for body in bodies), default=0)

    @Service
    def look(self, _: Any, args: Any, payloads: Any) -> tuple[int, int]:
        return self._bodies(payloads)

    @Task
    def work(self, _: Any, args: Any, payloads: Any) -> tuple[int, int]:
        return self._bodies(payloads)


@pytest.mark.parametrize("kind", ["service", "task"])
def test_while_a_handler_runs_a_large_message_is_in_memory_once(actors: Actors, kind: str) -> None:
    probe = Probe()
    actors.start("K", {"keeper": Keeper()})
    actors.start("P", {"probe": probe})
    payloads = {"weights": bytes(1 << 20)}
    if kind == "service":
        seen = probe.call(at("K/keeper"), "look", payloads=payloads)
    else:
        seen = probe.call_task(at("K/keeper"), "work", payloads=payloads).result(5)
    length, largest_body = seen
    assert length == 1 << 20
    assert largest_body < 1 << 16
