from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # not the built-in one on Python 3.10
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from roleml.core import status as status_module
from roleml.core.context import ActorProfile
from roleml.core.status import (
    CALLBACKS_MAY_REFUSE,
    DRAINING,
    TRANSITIONS,
    Admission,
    ExecutionTicket,
    Operation,
    RoleOffloadedError,
    Status,
    StatusControl,
    StatusError,
    StatusTransferCallbackError,
    admission,
    executions_here,
    set_logger,
    steps,
)
from roleml.shared import patience as patience_module

T = TypeVar("T")
SINGLE = [status for status in Status if status.value.bit_count() == 1]
OTHER_ACTOR = ActorProfile("elsewhere")


def in_thread(func: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    """Run it in a thread of its own, in a context of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(func(*args, **kwargs))
        except BaseException as e:
            future.set_exception(e)

    threading.Thread(target=run, daemon=True).start()
    return future


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread; these conditions take microseconds to become true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        threading.Event().wait(0.001)


def control_in(status: Status) -> StatusControl:
    control = StatusControl("shop")
    if status is Status.DECLARING:
        return control
    control.declared()
    if status is Status.STARTING:
        control.add_callback(Status.STARTING, fail)
        with pytest.raises(StatusTransferCallbackError):
            control.ready()
    elif status is Status.RESUMING:
        control.add_callback(Status.RESUMING, fail)
        control.ready()
        control.pause()
        with pytest.raises(StatusTransferCallbackError):
            control.ready()
    elif status is Status.TERMINATED:
        control.terminate()
    elif status is not Status.DECLARED:
        control.ready()
        if status is not Status.READY:
            control.pause()
        if status is Status.OFFLOADED:
            control.terminate_as_offloaded(OTHER_ACTOR)
    assert control.status is status
    return control


RESTING = [
    Status.DECLARING,
    Status.DECLARED,
    Status.STARTING,
    Status.READY,
    Status.PAUSED,
    Status.RESUMING,
    Status.TERMINATED,
    Status.OFFLOADED,
]


def fail(*_: Any) -> None:
    raise ZeroDivisionError("on purpose")


def path_of(control: StatusControl) -> list[Status]:
    """The statuses the control will go through, as its listeners see them."""
    path: list[Status] = []
    control.add_listener(lambda _name, current, _old: path.append(current))
    return path


# --- the rules, without threads ---


def test_the_values_of_statuses_are_those_that_travel() -> None:
    assert {status.name: status.value for status in SINGLE} == {
        "DECLARING": 1,
        "DECLARED": 2,
        "STARTING": 4,
        "READY": 8,
        "PAUSING": 16,
        "PAUSED": 32,
        "TERMINATING": 64,
        "FINALIZING": 128,
        "TERMINATED": 256,
        "RESUMING": 512,
        "OFFLOADED": 1024,
    }
    assert Status.DECLARED_COMPATIBLE.value == 62


def test_every_operation_is_either_planned_or_refused_with_what_would_be_right() -> None:
    for operation in Operation:
        for status in SINGLE:
            if status in TRANSITIONS[operation]:
                assert steps(operation, status, "shop") == TRANSITIONS[operation][status]
            else:
                with pytest.raises(StatusError, match=f"shop cannot .* while {status.name}; it can when"):
                    steps(operation, status, "shop")


def test_no_operation_ends_halfway() -> None:
    resting = {Status.DECLARED, Status.READY, Status.PAUSED, Status.TERMINATED, Status.OFFLOADED}
    for plans in TRANSITIONS.values():
        for path in plans.values():
            assert not path or path[-1] in resting
            assert all(each not in resting for each in path[:-1])


def test_nothing_is_taken_down_while_it_may_be_executing() -> None:
    for plans in TRANSITIONS.values():
        for origin, path in plans.items():
            busy = origin is Status.READY
            for status in path:
                busy = busy and status not in DRAINING
                if status in Status.PAUSED | Status.FINALIZING | Status.TERMINATED | Status.OFFLOADED:
                    assert not busy


def test_every_life_can_end_wherever_it_is() -> None:
    assert set(TRANSITIONS[Operation.TERMINATE]) == set(SINGLE)


@pytest.mark.parametrize("status", SINGLE)
def test_who_is_admitted(status: Status) -> None:
    outside, nested = admission(status, nested=False), admission(status, nested=True)
    if status is Status.READY:
        assert outside is nested is Admission.GRANTED
    elif status is Status.PAUSING:
        assert (outside, nested) == (Admission.LATER, Admission.GRANTED)
    elif status in (Status.PAUSED, Status.RESUMING):
        assert outside is nested is Admission.LATER
    else:
        assert outside is nested is Admission.REFUSED


# --- operations ---


def test_a_life_goes_through_all_statuses_in_order() -> None:
    control = StatusControl("shop")
    path = path_of(control)
    control.declared()
    control.ready()
    control.pause()
    control.ready()
    control.terminate()
    assert path == [
        Status.DECLARED,
        Status.STARTING,
        Status.READY,
        Status.PAUSING,
        Status.PAUSED,
        Status.RESUMING,
        Status.READY,
        Status.TERMINATING,
        Status.FINALIZING,
        Status.TERMINATED,
    ]


def test_a_role_that_never_started_is_finalized_too() -> None:
    control = control_in(Status.DECLARED)
    path = path_of(control)
    control.terminate()
    assert path == [Status.FINALIZING, Status.TERMINATED]


@pytest.mark.parametrize("status", [Status.DECLARING, Status.STARTING, Status.RESUMING, Status.PAUSED])
def test_whatever_began_can_be_terminated(status: Status) -> None:
    control = control_in(status)
    path = path_of(control)
    control.terminate()
    assert path == [Status.TERMINATING, Status.FINALIZING, Status.TERMINATED]


def test_terminating_again_fires_the_callbacks_of_terminated_again() -> None:
    control = control_in(Status.TERMINATED)
    seen: list[Status] = []
    control.add_callback(Status.TERMINATED, seen.append)
    control.terminate()
    assert seen == [Status.TERMINATED]


def test_a_terminated_control_can_live_again() -> None:
    control = control_in(Status.TERMINATED)
    control.declared()
    control.ready()
    with control.acquire_execution():
        assert control.is_ready


@pytest.mark.parametrize(
    ("status", "operation"),
    [
        (Status.DECLARED, StatusControl.declared),
        (Status.READY, StatusControl.ready),
        (Status.PAUSED, StatusControl.pause),
        (Status.OFFLOADED, StatusControl.terminate),
    ],
)
def test_to_get_where_one_is_does_nothing(status: Status, operation: Callable[[StatusControl], None]) -> None:
    control = control_in(status)
    path = path_of(control)
    operation(control)
    assert path == []
    assert control.status is status


@pytest.mark.parametrize(
    ("operation", "allowed"),
    [
        (StatusControl.declared, {Status.DECLARING, Status.DECLARED, Status.TERMINATED}),
        (StatusControl.ready, {Status.DECLARED, Status.READY, Status.PAUSED}),
        (StatusControl.pause, {Status.READY, Status.PAUSED}),
        (StatusControl.terminate, set(RESTING)),
        (lambda control: control.terminate_as_offloaded(OTHER_ACTOR), {Status.PAUSED}),
    ],
)
def test_operations_are_refused_where_they_make_no_sense(
    operation: Callable[[StatusControl], None], allowed: set[Status]
) -> None:
    for status in RESTING:
        control = control_in(status)
        if status in allowed:
            operation(control)
        else:
            with pytest.raises(StatusError):
                operation(control)
            assert control.status is status


def test_assigning_a_status_calls_the_operation() -> None:
    control = StatusControl()
    for status in (Status.DECLARED, Status.READY, Status.PAUSED, Status.READY, Status.TERMINATED):
        control.status = status
        assert control.status is status
    for status in set(SINGLE) - {Status.DECLARED, Status.READY, Status.PAUSED, Status.TERMINATED}:
        with pytest.raises(StatusError, match="can be set to DECLARED, READY, PAUSED, TERMINATED"):
            control.status = status


@pytest.mark.parametrize("status", RESTING)
def test_the_questions_a_control_answers(status: Status) -> None:
    control = control_in(status)
    assert control.is_declared == (status in Status.DECLARED_COMPATIBLE)
    assert control.is_declared_only == (status is Status.DECLARED)
    assert control.is_ready == (status is Status.READY)
    assert control.is_paused == (status is Status.PAUSED)
    assert control.is_terminated == (status is Status.TERMINATED)
    assert status.name in repr(control)


# --- callbacks and listeners ---


def test_callbacks_run_in_order_and_before_listeners_once_the_status_is_visible() -> None:
    control = StatusControl("shop")
    seen: list[Any] = []
    control.add_listener(lambda *what: seen.append(what))
    control.add_callback(Status.DECLARED, lambda old: seen.append(("first", old, control.status)))
    control.add_callback(Status.DECLARED, lambda old: seen.append(("second", old, control.status)))
    control.declared()
    assert seen == [
        ("first", Status.DECLARING, Status.DECLARED),
        ("second", Status.DECLARING, Status.DECLARED),
        ("shop", Status.DECLARED, Status.DECLARING),
    ]


def to_ready(control: StatusControl) -> None:
    control.declared()
    control.ready()


def to_resuming(control: StatusControl) -> None:
    to_ready(control)
    control.pause()
    control.ready()


@pytest.mark.parametrize(
    ("status", "operation", "left_at"),
    [
        (Status.DECLARED, StatusControl.declared, Status.DECLARED),
        (Status.STARTING, to_ready, Status.STARTING),
        (Status.READY, to_ready, Status.READY),
        (Status.RESUMING, to_resuming, Status.RESUMING),
        (Status.PAUSING, to_resuming, Status.READY),
    ],
)
def test_a_callback_that_fails_makes_the_operation_fail(
    status: Status, operation: Callable[[StatusControl], None], left_at: Status
) -> None:
    control = StatusControl("shop")
    control.add_callback(status, fail)
    path = path_of(control)
    with pytest.raises(
        StatusTransferCallbackError,
        match=r"shop failed on its way from \w+ to \w+: ZeroDivisionError: on purpose",
    ) as caught:
        operation(control)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert control.status is left_at
    assert status in path
    assert status in CALLBACKS_MAY_REFUSE


def test_the_callbacks_after_a_failed_one_do_not_run() -> None:
    control = StatusControl("shop")
    later: list[Status] = []
    control.add_callback(Status.DECLARED, fail)
    control.add_callback(Status.DECLARED, later.append)
    with pytest.raises(StatusTransferCallbackError):
        control.declared()
    assert later == []


def test_on_the_way_out_failing_callbacks_are_logged_and_the_others_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    control = control_in(Status.READY)
    ran: list[Status] = []
    for status in (Status.PAUSED, Status.TERMINATING, Status.FINALIZING, Status.TERMINATED):
        control.add_callback(status, fail)
        control.add_callback(status, ran.append)
    control.pause()
    control.terminate()
    assert control.is_terminated
    assert len(ran) == 4
    assert caplog.text.count("ZeroDivisionError: on purpose") == 4


def test_callback_errors_can_be_ignored_but_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    control = StatusControl("shop")
    for status in (Status.DECLARED, Status.STARTING, Status.READY):
        control.add_callback(status, fail)
    control.declared(ignore_callback_error=True)
    control.ready(ignore_callback_error=True)
    assert control.is_ready
    assert caplog.text.count("ZeroDivisionError: on purpose") == 3


def test_after_a_failed_pause_the_callbacks_of_ready_run_and_may_fail_too() -> None:
    control = control_in(Status.READY)
    seen: list[Status] = []
    control.add_callback(Status.PAUSING, fail)
    control.add_callback(Status.READY, seen.append)
    with pytest.raises(StatusTransferCallbackError, match="to PAUSING"):
        control.pause()
    assert seen == [Status.PAUSING]
    control.add_callback(Status.READY, fail)
    with pytest.raises(StatusTransferCallbackError, match="to READY"):
        control.pause()
    with pytest.raises(StatusTransferCallbackError, match="to PAUSING"):
        control.pause(ignore_callback_error_on_revert=True)


def test_a_failing_listener_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    control = StatusControl("shop")
    control.add_listener(fail)
    path = path_of(control)
    control.declared()
    assert path == [Status.DECLARED]
    assert "ZeroDivisionError" in caplog.text


def test_the_logger_can_be_chosen(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "logger", status_module.logger)
    set_logger(logging.getLogger("roleml.chosen"))
    control = StatusControl("shop")
    control.add_listener(fail)
    control.declared()
    assert [record.name for record in caplog.records] == ["roleml.chosen"]


# --- executions ---


@pytest.mark.parametrize("status", [s for s in RESTING if s not in (Status.PAUSED, Status.RESUMING)])
def test_nothing_executes_unless_ready(status: Status) -> None:
    control = control_in(status)
    if status is Status.READY:
        assert not control.acquire_execution().is_stopped
        return
    with pytest.raises(StatusError) as caught:
        control.acquire_execution()
    if status is Status.OFFLOADED:
        assert isinstance(caught.value, RoleOffloadedError)
        assert caught.value.instance_name == "shop"
        assert caught.value.offloaded_to is OTHER_ACTOR
        assert "elsewhere" in str(caught.value)


def test_a_ticket_can_be_stopped_in_four_ways_and_again() -> None:
    control = control_in(Status.READY)
    by_control, by_itself, by_block = (control.acquire_execution() for _ in range(3))
    control.release_execution(by_control)
    control.release_execution(by_control)
    by_itself.stop()
    by_itself.stop()
    with by_block:
        by_block.stop()
    with control.acquire_execution() as ticket:
        assert not ticket.is_stopped
    assert all(each.is_stopped for each in (by_control, by_itself, by_block, ticket))
    control.terminate()


def test_a_ticket_of_another_object_is_refused() -> None:
    ticket = control_in(Status.READY).acquire_execution("w1")
    with pytest.raises(ValueError, match="w1 of shop, running"):
        StatusControl("other").release_execution(ticket)


def test_executions_of_one_thread_are_counted_one_by_one() -> None:
    control = control_in(Status.READY)
    first, second = control.acquire_execution(), control.acquire_execution()
    first.stop()
    assert not control.try_pause(0)
    second.stop()
    assert control.try_pause(0)


def test_a_nested_execution_does_not_end_the_outer_one() -> None:
    control = control_in(Status.READY)
    outer = control.acquire_execution()
    with control.acquire_execution():
        pass
    assert not control.try_terminate(0)
    outer.stop()
    assert control.try_terminate(0)


@pytest.mark.parametrize("operation", [StatusControl.pause, StatusControl.terminate])
def test_pausing_and_terminating_wait_for_all_executions(
    operation: Callable[[StatusControl], None],
) -> None:
    control = control_in(Status.READY)
    tickets = [control.acquire_execution() for _ in range(3)]
    done = in_thread(operation, control)
    until(lambda: control.status in DRAINING)
    for ticket in tickets:
        assert not done.done()
        assert not ticket.should_stop
        ticket.stop()
    done.result(10)
    assert control.status in (Status.PAUSED, Status.TERMINATED)


@pytest.mark.parametrize("operation", [StatusControl.pause, StatusControl.terminate])
def test_with_force_executions_are_asked_to_stop_and_still_waited_for(
    operation: Callable[..., None],
) -> None:
    control = control_in(Status.READY)
    ticket = control.acquire_execution()
    done = in_thread(operation, control, True)
    until(lambda: ticket.should_stop)
    assert not done.done()
    ticket.stop()
    done.result(10)


def test_a_pause_or_termination_that_takes_too_long_goes_back() -> None:
    control = control_in(Status.READY)
    seen: list[Status] = []
    control.add_callback(Status.READY, seen.append)
    ticket = control.acquire_execution()
    assert control.try_pause(0.01) is False
    assert control.is_ready
    assert control.try_terminate(0.01, force=True) is False
    assert control.is_ready
    assert seen == [Status.PAUSING, Status.TERMINATING]
    assert ticket.should_stop
    ticket.stop()
    assert control.try_pause(0.01) is True
    assert control.try_terminate(0.01) is True


def test_errors_on_the_way_back_are_raised_unless_ignored() -> None:
    control = control_in(Status.READY)
    control.add_callback(Status.READY, fail)
    control.acquire_execution()
    with pytest.raises(StatusTransferCallbackError, match="PAUSING to READY"):
        control.try_pause(0)
    assert control.try_pause(0, ignore_callback_error_on_revert=True) is False
    with pytest.raises(StatusTransferCallbackError, match="TERMINATING to READY"):
        control.try_terminate(0)
    assert control.try_terminate(0, ignore_callback_error_on_revert=True) is False


def test_while_paused_an_execution_waits_until_ready() -> None:
    control = control_in(Status.PAUSED)
    waiting = in_thread(control.acquire_execution)
    with pytest.raises(StatusError, match=r"shop is PAUSED, and was not READY again within 0\.0"):
        control.acquire_execution(timeout=0.02)
    assert not waiting.done()
    control.ready()
    ticket = waiting.result(10)
    assert isinstance(ticket, ExecutionTicket)
    assert not control.try_pause(0)


def test_while_resuming_an_execution_waits_as_well() -> None:
    control = control_in(Status.PAUSED)
    resuming: list[Future[ExecutionTicket]] = []

    def ask(_: Status) -> None:
        resuming.append(in_thread(control.acquire_execution))

    control.add_callback(Status.RESUMING, ask)
    control.ready()
    assert not resuming[0].result(10).is_stopped


def test_a_waiting_execution_is_refused_when_the_role_terminates_instead() -> None:
    control = control_in(Status.PAUSED)
    waiting = in_thread(control.acquire_execution)
    control.terminate()
    with pytest.raises(StatusError, match=r"shop is (TERMINATING|FINALIZING|TERMINATED)"):
        waiting.result(10)


def test_a_waiting_execution_learns_where_the_role_went() -> None:
    control = control_in(Status.PAUSED)
    waiting = in_thread(control.acquire_execution)
    control.terminate_as_offloaded(OTHER_ACTOR)
    with pytest.raises(RoleOffloadedError, match="moved to actor elsewhere"):
        waiting.result(10)


def test_what_an_execution_executes_in_turn_does_not_wait_while_pausing() -> None:
    control = control_in(Status.READY)
    with control.acquire_execution():
        pausing = in_thread(control.pause)
        until(lambda: control.status is Status.PAUSING)
        with control.acquire_execution(timeout=0) as inner:
            assert executions_here()[-1] is inner
        stranger = in_thread(control.acquire_execution, timeout=0)
        with pytest.raises(StatusError, match="PAUSING"):
            stranger.result(10)
    pausing.result(10)
    assert control.is_paused


def test_a_helper_thread_counts_as_nested_in_a_copy_of_the_variables_until_the_execution_is_over() -> None:
    control = control_in(Status.READY)
    with control.acquire_execution():
        copied = contextvars.copy_context()
        pausing = in_thread(control.pause)
        until(lambda: control.status is Status.PAUSING)
        in_thread(copied.run, lambda: control.acquire_execution(timeout=0)).result(10).stop()
    pausing.result(10)
    assert copied.run(executions_here) == ()
    with pytest.raises(StatusError, match="PAUSED"):
        in_thread(copied.run, lambda: control.acquire_execution(timeout=0)).result(10)


def test_while_terminating_nothing_nested_begins() -> None:
    control = control_in(Status.READY)
    with control.acquire_execution():
        terminating = in_thread(control.terminate)
        until(lambda: control.status is Status.TERMINATING)
        with pytest.raises(StatusError, match="TERMINATING"):
            control.acquire_execution()
    terminating.result(10)


@pytest.mark.parametrize("operation", [StatusControl.pause, StatusControl.terminate])
def test_to_pause_or_terminate_oneself_is_an_error_instead_of_a_dead_end(
    operation: Callable[[StatusControl], None],
) -> None:
    control = control_in(Status.READY)
    path = path_of(control)
    with (
        control.acquire_execution(),
        control.acquire_execution(),
        pytest.raises(StatusError, match="from inside its own execution"),
    ):
        operation(control)
    assert path == []
    operation(control)


def test_to_try_to_pause_oneself_can_only_fail() -> None:
    control = control_in(Status.READY)
    with control.acquire_execution():
        assert control.try_pause(0) is False
        assert control.try_terminate(0) is False
    assert control.is_ready


def test_from_inside_ready_is_no_dead_end_either() -> None:
    control = control_in(Status.READY)
    with control.acquire_execution():
        control.ready()
        pausing = in_thread(control.pause)
        until(lambda: control.status is Status.PAUSING)
        with pytest.raises(StatusError, match="cannot become ready while PAUSING"):
            control.ready()
    pausing.result(10)


def test_an_execution_of_another_role_may_pause_this_one() -> None:
    control, other = control_in(Status.READY), control_in(Status.READY)
    with other.acquire_execution():
        control.pause()
    assert control.is_paused


def test_a_ticket_may_be_acquired_here_and_used_there() -> None:
    control = control_in(Status.READY)
    ticket = control.acquire_execution()

    def work() -> tuple[ExecutionTicket, ...]:
        with ticket:
            return executions_here()

    assert in_thread(work).result(10) == (ticket,)
    assert executions_here() == ()
    assert control.try_pause(0)


def test_a_callback_cannot_execute_what_its_own_operation_holds_up() -> None:
    control = control_in(Status.READY)
    seen: list[str] = []

    def execute(_: Status) -> None:
        with pytest.raises(StatusError) as caught:
            control.acquire_execution()
        seen.append(str(caught.value))

    control.add_callback(Status.PAUSED, execute)
    control.pause()
    assert seen == ["shop is PAUSED: its callbacks must not execute anything in it"]


def test_callbacks_cannot_end_a_termination_that_is_under_way(caplog: pytest.LogCaptureFixture) -> None:
    control = control_in(Status.READY)
    path = path_of(control)
    for status in (Status.TERMINATING, Status.FINALIZING):
        control.add_callback(status, lambda _: control.terminate())
    control.terminate()
    assert path == [Status.TERMINATING, Status.FINALIZING, Status.TERMINATED]
    assert "shop is TERMINATING already" in caplog.text
    assert "shop is FINALIZING already" in caplog.text


def test_an_operation_that_a_callback_leads_elsewhere_fails() -> None:
    control = control_in(Status.DECLARED)
    control.add_callback(Status.STARTING, lambda _: control.terminate())
    with pytest.raises(
        StatusError, match="did not become ready: a callback of STARTING took it to TERMINATED"
    ):
        control.ready()
    assert control.is_terminated


@pytest.mark.parametrize(
    ("status", "operation"),
    [
        (Status.STARTING, StatusControl.ready),
        (Status.PAUSING, StatusControl.pause),
        (Status.TERMINATING, StatusControl.terminate),
        (Status.FINALIZING, StatusControl.terminate),
    ],
)
def test_what_was_interrupted_can_still_be_terminated(
    status: Status, operation: Callable[[StatusControl], None]
) -> None:
    control = control_in(Status.DECLARED if status is Status.STARTING else Status.READY)
    interruptions = iter([True])

    def interrupt(_: Status) -> None:
        if next(interruptions, False):
            raise KeyboardInterrupt

    control.add_callback(status, interrupt)
    with pytest.raises(KeyboardInterrupt):
        operation(control)
    assert control.status is status
    finalized: list[Status] = []
    control.add_callback(Status.FINALIZING, finalized.append)
    control.terminate()
    assert control.is_terminated
    assert len(finalized) == 1


# --- operations beside each other ---


def test_operations_exclude_each_other_and_then_apply_to_the_result() -> None:
    control = control_in(Status.READY)
    ticket = control.acquire_execution()
    pausing = in_thread(control.pause)
    until(lambda: control.status is Status.PAUSING)
    resuming = in_thread(control.ready)
    with pytest.raises(NotYet):
        resuming.result(0.02)
    assert control.status is Status.PAUSING
    ticket.stop()
    pausing.result(10)
    resuming.result(10)
    assert control.is_ready


def test_an_operation_with_a_limit_does_not_wait_longer_for_another_one() -> None:
    control = control_in(Status.READY)
    ticket = control.acquire_execution()
    terminating = in_thread(control.terminate)
    until(lambda: control.status is Status.TERMINATING)
    assert control.try_pause(0.01) is False
    ticket.stop()
    terminating.result(10)


def test_a_callback_may_start_another_operation() -> None:
    control = control_in(Status.DECLARED)
    control.add_callback(Status.READY, lambda _: control.pause())
    control.ready()
    assert control.is_paused


def test_a_shared_lock_serialises_several_controls() -> None:
    lock = threading.RLock()
    first = StatusControl("first", status_transfer_lock=lock)
    second = StatusControl("second", status_transfer_lock=lock)
    with lock:
        declaring = in_thread(second.declared)
        first.declared()
        assert second.status is Status.DECLARING
    declaring.result(10)


def test_a_locked_status_does_not_change() -> None:
    control = control_in(Status.READY)
    with control.lock_status_for_execute(Status.READY | Status.PAUSED):
        pausing = in_thread(control.pause)
        with pytest.raises(NotYet):
            pausing.result(0.02)
        assert control.is_ready
    pausing.result(10)


def test_a_status_that_is_not_among_the_wanted_is_refused() -> None:
    control = control_in(Status.PAUSED)
    with pytest.raises(StatusError, match="shop is PAUSED"), control.lock_status_for_execute(Status.READY):
        pass
    control.ready()


def test_inside_an_execution_locking_the_status_is_no_dead_end() -> None:
    control = control_in(Status.READY)
    with control.acquire_execution():
        with control.lock_status_for_execute(Status.READY):
            pausing = in_thread(control.pause)
            with pytest.raises(NotYet):
                pausing.result(0.02)
            assert control.is_ready
        until(lambda: control.status is Status.PAUSING)
        with control.lock_status_for_execute(Status.DECLARED_COMPATIBLE):
            assert control.status is Status.PAUSING
        with pytest.raises(StatusError), control.lock_status_for_execute(Status.READY):
            pass
    pausing.result(10)
    assert control.is_paused


# --- nothing hangs silently ---


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(patience_module, "FIRST_REPORT_AFTER_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_who_waits_without_a_limit_says_for_what(caplog: pytest.LogCaptureFixture) -> None:
    control = control_in(Status.READY)
    ticket = control.acquire_execution("service price")
    pausing = in_thread(control.pause)
    until(lambda: "shop waits to pause: [<execution service price of shop, running>]" in caplog.text)
    resuming = in_thread(control.ready)
    until(lambda: "shop waits to become ready: another operation has come to PAUSING" in caplog.text)
    waiting = in_thread(control.acquire_execution, "task train")
    until(lambda: "<execution task train of shop, running> waits: shop is PAUSING" in caplog.text)
    ticket.stop()
    for future in (pausing, resuming, waiting):
        future.result(10)


# --- any sequence of operations ---


class ControlMachine(RuleBasedStateMachine):
    """One thread, outside of all executions; statuses compared with the table of the specification."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.control = StatusControl("shop")
        self.expected = Status.DECLARING
        self.running: set[ExecutionTicket] = set()
        self.previous = Status.DECLARING
        self.control.add_listener(self.see)

    def see(self, name: str, current: Status, old: Status) -> None:
        assert name == "shop"
        assert old is self.previous
        assert current is self.control.status
        assert current is not old or current is Status.TERMINATED
        if current in Status.PAUSED | Status.FINALIZING | Status.TERMINATED | Status.OFFLOADED:
            assert not self.running
        self.previous = current

    def attempt(self, operation: Callable[[], Any], allowed: dict[Status, Status]) -> Any:
        if self.expected not in allowed:
            with pytest.raises(StatusError):
                operation()
            return None
        result = operation()
        if result is not False:
            self.expected = allowed[self.expected]
        return result

    @rule()
    def declare(self) -> None:
        allowed = dict.fromkeys((Status.DECLARING, Status.DECLARED, Status.TERMINATED), Status.DECLARED)
        self.attempt(self.control.declared, allowed)

    @rule()
    def ready(self) -> None:
        allowed = dict.fromkeys((Status.DECLARED, Status.READY, Status.PAUSED), Status.READY)
        self.attempt(self.control.ready, allowed)

    @rule(force=st.booleans())
    def pause(self, force: bool) -> None:
        busy = bool(self.running)
        allowed = dict.fromkeys((Status.READY, Status.PAUSED), Status.PAUSED)
        result = self.attempt(lambda: self.control.try_pause(0, force=force), allowed)
        assert result is (None if result is None else not busy)
        assert all(ticket.should_stop for ticket in self.running) or not (force and result is False)

    @rule(force=st.booleans())
    def terminate(self, force: bool) -> None:
        busy = bool(self.running)
        allowed = dict.fromkeys(SINGLE, Status.TERMINATED)
        allowed[Status.OFFLOADED] = Status.OFFLOADED
        assert self.attempt(lambda: self.control.try_terminate(0, force=force), allowed) is not busy

    @rule()
    def offload(self) -> None:
        allowed = {Status.PAUSED: Status.OFFLOADED}
        self.attempt(lambda: self.control.terminate_as_offloaded(OTHER_ACTOR), allowed)

    @rule(target=tickets)
    @precondition(lambda self: self.expected is Status.READY)
    def begin(self) -> ExecutionTicket:
        ticket = self.control.acquire_execution()
        self.running.add(ticket)
        return ticket

    @rule()
    @precondition(lambda self: self.expected is not Status.READY)
    def begin_when_not_ready(self) -> None:
        with pytest.raises(StatusError):
            self.control.acquire_execution(timeout=0)

    @rule(ticket=consumes(tickets))
    def end(self, ticket: ExecutionTicket) -> None:
        ticket.stop()
        self.running.discard(ticket)

    @invariant()
    def the_status_is_as_expected(self) -> None:
        assert self.control.status is self.expected


TestControlModel = ControlMachine.TestCase


@given(st.lists(st.sampled_from(["pause", "ready", "execute", "nested"]), max_size=12))
def test_threads_that_pause_resume_and_execute_always_finish(work: list[str]) -> None:
    control = control_in(Status.READY)
    errors: list[BaseException] = []

    def do(what: str) -> None:
        if what == "pause":
            try:
                control.pause()
            except StatusError as e:
                errors.append(e)
        elif what == "ready":
            control.ready()
        else:
            with control.acquire_execution():
                if what == "nested":
                    with control.acquire_execution():
                        pass

    futures = [in_thread(do, what) for what in work]
    keep_ready = threading.Event()

    def resume() -> None:
        while not keep_ready.wait(0.001):
            control.ready()

    resuming = in_thread(resume)
    for future in futures:
        future.result(10)
    keep_ready.set()
    resuming.result(10)
    assert errors == []
    control.ready()
    control.terminate()
