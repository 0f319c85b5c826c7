"""Roles that run: their thread, its errors, its end."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import TimeoutError as NotYet
from typing import Any

import pytest

from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service
from roleml.core.status import Status
from roleml.shared.interfaces import Runnable
from tests.actors import DEADLINE_S, Actors, Probe, at, in_thread, wait_until


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
