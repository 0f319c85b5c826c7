"""Roles that run: their thread, its errors, its end."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import TimeoutError as NotYet
from typing import Any

import pytest

from roleml.core.actor import runnables
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service, Task
from roleml.core.role.exceptions import HandlerError
from roleml.core.status import Status
from roleml.shared.interfaces import Runnable
from tests.actors import DEADLINE_S, Actors, Gate, Probe, at, in_thread, wait_until


class Running(Role, Runnable):
    """Runs until it is stopped."""

    beat = Event()

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.ended = threading.Event()
        self.calls: list[str] = []
        self.thread: threading.Thread | None = None

    def run(self) -> None:
        self.calls.append("run")
        self.thread = threading.current_thread()
        self.started.set()
        self.stopped.wait(DEADLINE_S)
        self.ended.set()

    def stop(self) -> None:
        self.calls.append("stop")
        self.stopped.set()

    @Service
    def ask(self, _: RoleInstanceID, args: Any, payloads: Any) -> str:
        return "answer"


def test_it_runs_in_a_thread_of_its_own_once_it_is_ready(actors: Actors) -> None:
    running = Running()
    actor = actors.make("A", {"running": running})
    assert not running.started.is_set()
    actor.start()
    assert running.started.wait(DEADLINE_S)
    assert running.thread is not None
    assert running.thread.name == "role-running"
    actor.stop()
    assert running.ended.is_set()
    assert not running.thread.is_alive()
    assert running.calls == ["run", "stop"]


def test_pausing_does_not_stop_it_and_resuming_does_not_start_it_again(actors: Actors) -> None:
    running = Running()
    actor = actors.start("A", {"running": running})
    assert running.started.wait(DEADLINE_S)
    control = actor.role_status_manager.ctrl("running")
    control.pause()
    control.ready()
    actor.stop()
    assert running.calls == ["run", "stop"]


def test_an_error_is_logged_and_the_role_stays_in_service(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Running):
        def run(self) -> None:
            super().run()
            raise ArithmeticError("cannot go on")

    failing = Failing()
    failing.stopped.set()
    probe = Probe()
    actor = actors.start("A", {"failing": failing})
    actors.start("P", {"probe": probe})
    wait_until(lambda: "cannot go on" in caplog.text)
    assert actor.role_status_manager.ctrl("failing").status is Status.READY
    assert probe.call(at("A/failing"), "ask") == "answer"


def test_stop_is_not_called_after_run_has_returned(actors: Actors) -> None:
    running = Running()
    running.stopped.set()
    actor = actors.start("A", {"running": running})
    assert running.ended.wait(DEADLINE_S)
    assert running.thread is not None
    running.thread.join(DEADLINE_S)
    actor.stop()
    assert running.calls == ["run"]


def test_ending_the_role_waits_for_run_to_return(actors: Actors) -> None:
    class Stubborn(Running):
        def stop(self) -> None:
            self.calls.append("stop")

    stubborn = Stubborn()
    actor = actors.start("A", {"stubborn": stubborn})
    assert stubborn.started.wait(DEADLINE_S)
    ending = in_thread(actor.stop_role, "stubborn")
    wait_until(lambda: stubborn.calls == ["run", "stop"])
    with pytest.raises(NotYet):
        ending.result(0.01)
    stubborn.stopped.set()
    ending.result(DEADLINE_S)
    assert stubborn.ended.is_set()


def test_a_failing_stop_is_logged_and_run_is_still_awaited(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Running):
        def stop(self) -> None:
            super().stop()
            raise ArithmeticError("bad stop")

    failing = Failing()
    actor = actors.start("A", {"failing": failing})
    assert failing.started.wait(DEADLINE_S)
    actor.stop_role("failing")
    assert failing.ended.is_set()
    assert "bad stop" in caplog.text
    assert "failing" not in actor.roles


def test_its_name_can_be_deployed_again(actors: Actors) -> None:
    actor = actors.start("A")
    for _ in range(3):
        running = Running()
        actor.add_role("running", running)
        actor.start_role("running")
        assert running.started.wait(DEADLINE_S)
        actor.stop_role("running")
        assert running.calls == ["run", "stop"]


def test_one_that_was_never_started_is_not_stopped(actors: Actors) -> None:
    running = Running()
    actor = actors.start("A")
    actor.add_role("running", running)
    actor.stop_role("running")
    assert running.calls == []


def test_it_may_call_emit_and_subscribe_from_the_first_line(actors: Actors) -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Eager(Running):
        def run(self) -> None:
            self.subscribe(self.id, "beat", lambda source, args, payloads: seen.put(args))
            self.beat.emit({"n": self.call(self.name, "ask")})
            super().run()

    actors.start("A", {"eager": Eager()})
    assert seen.get(timeout=DEADLINE_S) == {"n": "answer"}


def test_it_sees_the_context_of_its_own_actor(actors: Actors) -> None:
    class Contextual(Running):
        def run(self) -> None:
            super().run()
            self.calls.append(Context.active_context().profile.name)

    contextual = Contextual()
    actor = actors.start("A", {"contextual": contextual})
    assert contextual.started.wait(DEADLINE_S)
    actors.start("Z")
    actor.stop()
    assert contextual.calls == ["run", "stop", "A"]


def test_who_asked_hears_that_run_is_over(actors: Actors) -> None:
    over: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()

    class Failing(Running):
        def run(self) -> None:
            raise ArithmeticError

    class Exiting(Running):
        def run(self) -> None:
            raise SystemExit(3)

    running = Running()
    running.stopped.set()
    actor = actors.make("A", {"running": running, "failing": Failing(), "exiting": Exiting()})
    actor.when_returned(lambda name, error: over.put((name, error)))
    actor.start()
    outcomes = dict(over.get(timeout=DEADLINE_S) for _ in range(3))
    assert outcomes["running"] is None
    assert isinstance(outcomes["failing"], ArithmeticError)
    assert isinstance(outcomes["exiting"], SystemExit)
    assert all(actor.role_status_manager.ctrl(name).is_ready for name in outcomes)


class Waiting(Role, Runnable):
    """Waits in run() for a task that takes long, and does not say how to stop."""

    def __init__(self, target: RoleInstanceID) -> None:
        super().__init__()
        self.target = target
        self.errors: queue.SimpleQueue[Exception] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            self.call_task(self.target, "work").result()
        except HandlerError as e:
            self.errors.put(e)
            raise


class Slow(Role):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Task
    def work(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.gate.pass_through()


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runnables, "GRACE_S", 0.0)


@pytest.mark.usefixtures("no_grace")
def test_a_role_that_does_not_say_how_to_stop_waits_for_no_answer_when_it_is_stopped(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    slow, waiting = Slow(), Waiting(at("B/slow"))
    actors.start("B", {"slow": slow})
    actor = actors.start("A", {"waiting": waiting})
    slow.gate.entered()
    try:
        in_thread(actor.stop).result(DEADLINE_S)
    finally:
        slow.gate.open()
    assert str(waiting.errors.get_nowait()) == "A/waiting was stopped before B/slow.work answered"
    assert "failed" not in caplog.text


def test_what_is_about_to_be_answered_is_waited_for(actors: Actors) -> None:
    slow, waiting = Slow(), Waiting(at("B/slow"))
    actors.start("B", {"slow": slow})
    actor = actors.start("A", {"waiting": waiting})
    slow.gate.entered()
    stopping = in_thread(actor.stop)
    wait_until(lambda: actor.role_status_manager.ctrl("waiting").status is Status.FINALIZING)
    slow.gate.open()
    stopping.result(DEADLINE_S)
    assert waiting.errors.empty()


@pytest.mark.usefixtures("no_grace")
def test_it_cannot_begin_to_wait_again_and_its_successor_can(actors: Actors) -> None:
    class Again(Waiting):
        def run(self) -> None:
            for _ in range(2):
                try:
                    self.call_task(self.target, "work").result()
                except HandlerError as e:
                    self.errors.put(e)

    slow, again = Slow(), Again(at("B/slow"))
    actors.start("B", {"slow": slow})
    actor = actors.start("A", {"waiting": again})
    slow.gate.entered()
    in_thread(actor.stop_role, "waiting").result(DEADLINE_S)
    assert [str(again.errors.get_nowait()) for _ in range(2)] == [
        "A/waiting was stopped before B/slow.work answered",
        "A/waiting was stopped, and cannot wait for B/slow.work any more",
    ]
    slow.gate.open()
    successor = Waiting(at("B/slow"))
    actor.add_role("waiting", successor)
    done: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
    actor.when_returned(lambda name, error: done.put((name, error)))
    actor.start_role("waiting")
    assert done.get(timeout=DEADLINE_S) == ("waiting", None)


def test_a_role_that_says_how_to_stop_gets_its_answers(actors: Actors) -> None:
    class Orderly(Waiting):
        def stop(self) -> None:
            self.stopping.set()

        def __init__(self, target: RoleInstanceID) -> None:
            super().__init__(target)
            self.stopping = threading.Event()

    slow, orderly = Slow(), Orderly(at("B/slow"))
    actors.start("B", {"slow": slow})
    actor = actors.start("A", {"waiting": orderly})
    slow.gate.entered()
    stopping = in_thread(actor.stop)
    assert orderly.stopping.wait(DEADLINE_S)
    with pytest.raises(NotYet):
        stopping.result(0.01)
    slow.gate.open()
    stopping.result(DEADLINE_S)
    assert orderly.errors.empty()
