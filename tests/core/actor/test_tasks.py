"""Tasks: acceptance, invocations, callbacks, and results at the end of a role's life."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

import pytest

from roleml.core.actor.calls import Invocation
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service, Task
from roleml.core.role.exceptions import CallerError, HandlerError, TaskResultTimeoutError
from roleml.core.role.types import TaskInvocation
from roleml.core.status import Status
from tests.actors import DEADLINE_S, Actors, Gate, Probe, at, in_thread, wait_until


class Worker(Role):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Task(expand=True)
    def double(self, _: RoleInstanceID, n: int) -> int:
        return 2 * n

    @Task
    def nothing(self, _: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    @Task
    def give(self, _: RoleInstanceID, args: Any, payloads: Any) -> Any:
        return payloads["what"]

    @Task
    def wait(self, _: RoleInstanceID, args: Any, payloads: Any) -> Any:
        self.gate.pass_through(threading.get_ident())
        return args.get("n")

    @Task
    def blame(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise CallerError("no such thing")

    @Task
    def crash(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise KeyError("lost")

    @Task
    def time_out(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise TimeoutError("too slow")

    @Task
    def exit(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise SystemExit(3)

    @Service
    def exit_service(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise SystemExit(3)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture(params=["local", "remote"])
def probe(request: pytest.FixtureRequest, actors: Actors, worker: Worker) -> Probe:
    probe = Probe()
    if request.param == "local":
        actors.start("W", {"worker": worker, "probe": probe})
    else:
        actors.start("W", {"worker": worker})
        actors.start("P", {"probe": probe}, relationships={"worker": ["W/worker"]})
    return probe


def test_the_value_comes_through_the_invocation(probe: Probe) -> None:
    task = probe.call_task("worker", "double", {"n": 4})
    assert isinstance(task, TaskInvocation)
    assert task.result() == task.result(0) == 8
    assert task.exception() is None
    assert probe.call_task("worker", "nothing").result(DEADLINE_S) is None


def test_a_task_is_accepted_before_it_is_done_and_runs_in_another_thread(
    probe: Probe, worker: Worker
) -> None:
    task = probe.call_task("worker", "wait", {"n": 1})
    assert worker.gate.entered() != threading.get_ident()
    with pytest.raises(TaskResultTimeoutError, match=r"W/worker\.wait within 0\.01 s"):
        task.result(0.01)
    with pytest.raises(TaskResultTimeoutError):
        task.exception(0)
    worker.gate.open()
    assert task.result(DEADLINE_S) == 1


def test_tasks_of_one_channel_run_in_parallel(probe: Probe, worker: Worker) -> None:
    tasks = [probe.call_task("worker", "wait", {"n": n}) for n in range(20)]
    assert len({worker.gate.entered() for _ in tasks}) == 20
    worker.gate.open()
    assert [task.result(DEADLINE_S) for task in tasks] == list(range(20))


@pytest.mark.parametrize(
    ("channel", "error", "text"),
    [
        ("blame", CallerError, "(?m)^no such thing$"),
        ("crash", HandlerError, r"W/worker\.crash raised KeyError: 'lost'"),
        ("time-out", HandlerError, "TimeoutError: too slow"),
        ("double", HandlerError, "TypeError: .*'n'"),
    ],
)
def test_an_error_of_the_handler_comes_through_the_invocation(
    probe: Probe, channel: str, error: type[Exception], text: str
) -> None:
    task = probe.call_task("worker", channel)
    for _ in range(2):
        with pytest.raises(error, match=text) as caught:
            task.result(DEADLINE_S)
        assert type(caught.value) is error
    assert type(task.exception(DEADLINE_S)) is error


def test_a_handler_that_exits_ends_neither_its_actor_nor_its_caller(actors: Actors, worker: Worker) -> None:
    probe = Probe()
    actors.start("W", {"worker": worker})
    actors.start("P", {"probe": probe})
    with pytest.raises(HandlerError):
        probe.call(at("W/worker"), "exit-service")
    with pytest.raises(HandlerError):
        probe.call_task(at("W/worker"), "exit").result(DEADLINE_S)
    assert probe.call_task(at("W/worker"), "double", {"n": 1}).result(DEADLINE_S) == 2


def test_a_local_task_passes_by_reference(actors: Actors, worker: Worker) -> None:
    probe, thing = Probe(), threading.Lock()
    actors.start("W", {"worker": worker, "probe": probe})
    assert probe.call_task("worker", "give", payloads={"what": thing}).result(DEADLINE_S) is thing


def test_a_remote_task_gets_and_gives_copies(actors: Actors, worker: Worker) -> None:
    probe, thing = Probe(), [1]
    actors.start("W", {"worker": worker})
    actors.start("P", {"probe": probe})
    task = probe.call_task(at("W/worker"), "give", payloads={"what": thing})
    assert task.result(DEADLINE_S) == [1]
    assert task.result(DEADLINE_S) is not thing
    assert task.result() is task.result()


def test_the_sender_may_change_its_data_as_soon_as_the_task_is_accepted(
    actors: Actors, worker: Worker
) -> None:
    probe, thing = Probe(), list(range(1000))
    actors.start("W", {"worker": worker})
    actors.start("P", {"probe": probe})
    task = probe.call_task(at("W/worker"), "give", payloads={"what": thing})
    thing.clear()
    assert task.result(DEADLINE_S) == list(range(1000))


# callbacks


def test_a_callback_is_called_once_with_the_invocation(probe: Probe, worker: Worker) -> None:
    calls: queue.SimpleQueue[TaskInvocation] = queue.SimpleQueue()
    task = probe.call_task("worker", "wait", {"n": 1})
    task.add_done_callback(calls.put)
    worker.gate.entered()
    assert calls.empty()
    worker.gate.open()
    seen = calls.get(timeout=DEADLINE_S)
    assert seen.result(0) == 1
    task.add_done_callback(calls.put)
    assert calls.get_nowait().result(0) == 1
    assert calls.empty()


def test_a_callback_hears_of_failure_too(probe: Probe) -> None:
    calls: queue.SimpleQueue[TaskInvocation] = queue.SimpleQueue()
    probe.call_task("worker", "crash").add_done_callback(calls.put)
    assert isinstance(calls.get(timeout=DEADLINE_S).exception(0), HandlerError)


def test_a_failing_callback_is_logged_and_harms_nobody(
    probe: Probe, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    calls: queue.SimpleQueue[TaskInvocation] = queue.SimpleQueue()

    def fail(_: TaskInvocation) -> None:
        raise ArithmeticError("bad callback")

    task = probe.call_task("worker", "wait")
    task.add_done_callback(fail)
    task.add_done_callback(calls.put)
    worker.gate.open()
    calls.get(timeout=DEADLINE_S)
    wait_until(lambda: caplog.text.count("ArithmeticError: bad callback") == 1)
    task.add_done_callback(fail)
    assert caplog.text.count("ArithmeticError: bad callback") == 2


def test_callbacks_see_the_context_of_the_caller(probe: Probe, worker: Worker, actors: Actors) -> None:
    contexts: queue.SimpleQueue[Context] = queue.SimpleQueue()
    task = probe.call_task("worker", "wait")
    task.add_done_callback(lambda _: contexts.put(Context.active_context()))
    actors.start("Z")
    worker.gate.open()
    assert contexts.get(timeout=DEADLINE_S) is probe.ctx
    task.add_done_callback(lambda _: contexts.put(Context.active_context()))
    assert contexts.get_nowait() is probe.ctx


def test_many_waiters_of_one_task_all_wake_up(probe: Probe, worker: Worker) -> None:
    task = probe.call_task("worker", "wait", {"n": 5})
    waiters = [in_thread(task.result) for _ in range(20)]
    worker.gate.entered()
    worker.gate.open()
    assert [waiter.result(DEADLINE_S) for waiter in waiters] == [5] * 20


# ends


def test_a_finished_tasks_result_is_sent_though_the_role_ends(probe: Probe, worker: Worker) -> None:
    task = probe.call_task("worker", "wait", {"n": 9})
    worker.gate.entered()
    actor: Any = worker.base
    ending = in_thread(actor.stop_role, "worker")
    wait_until(lambda: actor.role_status_manager.ctrl("worker").status is Status.TERMINATING)
    worker.gate.open()
    assert task.result(DEADLINE_S) == 9
    ending.result(DEADLINE_S)


def test_two_tasks_of_one_caller_are_both_awaited(probe: Probe, worker: Worker) -> None:
    tasks = [probe.call_task("worker", "wait", {"n": n}) for n in range(2)]
    for _ in tasks:
        worker.gate.entered()
    actor: Any = worker.base
    control = actor.role_status_manager.ctrl("worker")
    assert control.try_pause(0.01) is False
    worker.gate.open()
    control.pause()
    assert [task.result(DEADLINE_S) for task in tasks] == [0, 1]


def test_the_tasks_of_a_lost_actor_fail_and_name_it(actors: Actors, worker: Worker) -> None:
    probe = Probe()
    server = actors.start("W", {"worker": worker})
    actors.start("P", {"probe": probe})
    task = probe.call_task(at("W/worker"), "wait")
    worker.gate.entered()
    done: queue.SimpleQueue[TaskInvocation] = queue.SimpleQueue()
    task.add_done_callback(done.put)
    server._mailbox.transport.stop()
    with pytest.raises(HandlerError, match=r"actor W left before W/worker\.wait answered"):
        task.result(DEADLINE_S)
    done.get(timeout=DEADLINE_S)
    worker.gate.open()


def test_an_invocation_describes_itself(probe: Probe, worker: Worker) -> None:
    task = probe.call_task("worker", "wait")
    assert isinstance(task, Invocation)
    worker.gate.entered()
    assert repr(task) == "<task W/worker.wait, running>"
    worker.gate.open()
    task.result(DEADLINE_S)
    assert repr(task) == "<task W/worker.wait, done>"


# the promise that tests of results construct


def promise(description: str = "") -> Any:
    from roleml.core.actor.default.managers.task import Promise  # type: ignore[import-not-found]

    return Promise(description)


def test_a_promise_is_an_invocation_that_its_maker_fulfils() -> None:
    made = promise("some task")
    assert isinstance(made, TaskInvocation)
    with pytest.raises(TaskResultTimeoutError, match=r"some task"):
        made.result(0.01)
    waiting = in_thread(made.result)
    made.set_result(3)
    assert waiting.result(DEADLINE_S) == made.result() == 3
    assert made.exception() is None


@pytest.mark.parametrize("error", [HandlerError("x"), CallerError("y")])
def test_a_promise_takes_the_errors_of_tasks(error: Exception) -> None:
    made = promise()
    made.set_result(error)
    assert made.exception(0) is error
    with pytest.raises(type(error)):
        made.result()


def test_a_promise_takes_no_other_error_and_is_fulfilled_once() -> None:
    made = promise()
    with pytest.raises(AssertionError):
        made.set_result(ValueError("not of a task"))
    made.set_result(None)
    with pytest.raises(AssertionError):
        made.set_result(None)


def test_a_promise_calls_back_once_and_survives_a_bad_callback(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Any] = []
    made = promise()
    with caplog.at_level(logging.ERROR):
        made.add_done_callback(lambda _: 1 / 0)
        made.add_done_callback(calls.append)
        made.set_result(1)
        made.add_done_callback(calls.append)
        made.add_done_callback(lambda _: 1 / 0)
    assert calls == [made, made]
    assert caplog.text.count("ZeroDivisionError: ") == 2
