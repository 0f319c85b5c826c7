from __future__ import annotations

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

from roleml.core.actor.group.util.collections import (
    AsynchronousKeyValueMerger,
    FilteredOut,
    MergerTimeoutError,
    MergingFailedError,
    TaskResultCollector,
    TaskResultFilter,
)
from roleml.core.context import RoleInstanceID
from roleml.core.role.exceptions import HandlerError
from roleml.core.role.types import ErrorHandlingStrategy, TaskInvocation
from roleml.shared import patience as patience_module
from roleml.shared.collections.merger import (
    CumulativeAddingValueMerger,
    DictKeyValueMerger,
    KeyValueMerger,
    ListValueMerger,
)

T = TypeVar("T")
CLIENTS = [RoleInstanceID(f"client{i}", "trainer") for i in range(5)]


def in_thread(func: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(func(*args, **kwargs))
        except BaseException as e:
            future.set_exception(e)

    threading.Thread(target=run, daemon=True).start()
    return future


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        threading.Event().wait(0.001)


def dict_of(*targets: str, **options: Any) -> AsynchronousKeyValueMerger[str, int, dict[str, int]]:
    return AsynchronousKeyValueMerger(targets, merger=DictKeyValueMerger[str, int](), **options)


class Once(DictKeyValueMerger[str, int]):
    @property
    def allow_append(self) -> bool:
        return False

    @property
    def disposable(self) -> bool:
        return True


class Finished:
    """A task that is done."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def result(self, timeout: float | None = None) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def exception(self, timeout: float | None = None) -> Exception | None:
        return self.outcome if isinstance(self.outcome, Exception) else None

    def add_done_callback(self, func: Callable[[TaskInvocation], Any]) -> None:
        func(self)


# --- merging what arrives ---


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=1), st.randoms())
def test_the_result_is_the_same_in_whatever_order_values_arrive(values: dict[str, int], order: Any) -> None:
    merger = dict_of(*values)
    items = list(values.items())
    order.shuffle(items)
    merger.push_bulk(items)
    assert merger.result(0) == merger.merge() == values
    assert merger.missing == []


def test_a_value_merger_is_wrapped() -> None:
    merger: AsynchronousKeyValueMerger[str, int, int] = AsynchronousKeyValueMerger(
        ["a", "b"], merger=CumulativeAddingValueMerger()
    )
    merger.push_bulk([("a", 1), ("b", 2)])
    assert merger.result(0) == 3


def test_targets_may_be_given_by_a_generator_and_are_remembered() -> None:
    source = {"a": 0, "b": 0}
    merger = dict_of()
    merger = AsynchronousKeyValueMerger(source.keys(), merger=DictKeyValueMerger[str, int]())
    source.clear()
    assert merger.missing == ["a", "b"]


@pytest.mark.parametrize("targets", [None, []])
def test_without_targets_any_key_is_welcome_and_nothing_is_waited_for(targets: list[str] | None) -> None:
    merger: AsynchronousKeyValueMerger[str, int, dict[str, int]] = AsynchronousKeyValueMerger(
        targets, merger=DictKeyValueMerger[str, int]()
    )
    assert merger.result() == {}
    merger.push("a", 1)
    assert merger.result() == {"a": 1}


def test_the_result_waits_for_the_last_target() -> None:
    merger = dict_of("a", "b")
    result = in_thread(merger.result)
    merger.push("a", 1)
    with pytest.raises(NotYet):
        result.result(0.02)
    merger.push("b", 2)
    assert result.result(10) == {"a": 1, "b": 2}


def test_a_result_that_takes_too_long_names_who_is_missing() -> None:
    merger = dict_of("a", "b", "c")
    merger.push("b", 2)
    with pytest.raises(MergerTimeoutError, match=r"nothing within 0\.01 s from a, c") as caught:
        merger.result(0.01)
    assert caught.value.missing == ("a", "c")
    merger.push_bulk([("a", 1), ("c", 3)])
    assert merger.result(0) == {"a": 1, "b": 2, "c": 3}


def test_what_is_there_can_be_merged_after_the_timeout() -> None:
    merger = dict_of("a", "b")
    merger.push("b", 2)
    assert merger.result(0.01, ready_required=False) == {"b": 2}


def test_a_long_wait_says_in_the_log_who_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(patience_module, "FIRST_REPORT_AFTER_S", 0.01)
    collector = TaskResultCollector(CLIENTS[:2], merger=ListValueMerger[int]())
    result = in_thread(collector.result)
    until(lambda: "waiting for results of client0/trainer, client1/trainer (for" in caplog.text)
    collector.push(CLIENTS[0], Finished(1))
    until(lambda: "waiting for results of client1/trainer (for" in caplog.text)
    collector.push(CLIENTS[1], Finished(2))
    assert result.result(10) == [1, 2]


def test_pushes_from_many_threads_reach_the_merger_one_at_a_time() -> None:
    class Guarded(KeyValueMerger[int, int, int]):
        total = busy = overlaps = 0

        def push(self, key: int, value: int) -> None:
            self.busy += 1
            self.overlaps += self.busy > 1
            before = self.total
            threading.Event().wait(0.0001)
            self.total = before + value
            self.busy -= 1

        def merge(self) -> int:
            return self.total

    inner = Guarded()
    merger: AsynchronousKeyValueMerger[int, int, int] = AsynchronousKeyValueMerger(range(40), merger=inner)
    pushes = [in_thread(merger.push_bulk, [(i, 1), (i + 1, 1)]) for i in range(0, 40, 2)]
    assert merger.result(20) == 40
    assert inner.overlaps == 0
    for push in pushes:
        push.result(10)


# --- what is refused ---


def test_an_unknown_key_is_refused_and_the_error_names_the_targets() -> None:
    merger = dict_of("a", "b")
    with pytest.raises(KeyError, match="c is not among the targets a, b"):
        merger.push("c", 3)
    with pytest.raises(MergingFailedError, match="KeyError"):
        merger.result()


def test_a_key_is_taken_only_once() -> None:
    merger = dict_of("a")
    merger.push("a", 1)
    assert merger.result() == {"a": 1}
    with pytest.raises(TypeError, match="a was pushed before"):
        merger.push("a", 2)


def test_a_key_is_taken_only_once_also_while_its_value_is_being_filtered() -> None:
    filtering, go_on = threading.Event(), threading.Event()

    def slow(key: str, value: int) -> tuple[str, int]:
        filtering.set()
        go_on.wait(10)
        return key, value

    merger = dict_of("a", data_filter=slow)
    first = in_thread(merger.push, "a", 1)
    assert filtering.wait(10)
    with pytest.raises(TypeError, match="a was pushed before"):
        merger.push("a", 2)
    go_on.set()
    first.result(10)
    with pytest.raises(MergingFailedError):
        merger.result()


def test_with_append_a_key_is_taken_again() -> None:
    merger = dict_of("a", allow_append=True)
    assert merger.allow_append
    merger.push("a", 1)
    merger.push("a", 2)
    assert merger.result() == {"a": 2}


def test_append_needs_a_merger_that_can() -> None:
    with pytest.raises(TypeError, match="Once takes each key only once"):
        AsynchronousKeyValueMerger(["a"], merger=Once(), allow_append=True)
    merger = AsynchronousKeyValueMerger(["a"], merger=Once())
    assert merger.disposable
    assert not merger.allow_append


def test_a_push_that_fails_is_raised_to_the_pusher_and_to_the_result() -> None:
    merger: AsynchronousKeyValueMerger[str, Any, Any] = AsynchronousKeyValueMerger(
        ["a", "b"], merger=CumulativeAddingValueMerger()
    )
    merger.push("a", 1)
    with pytest.raises(TypeError) as pushed:
        merger.push("b", "text")
    with pytest.raises(MergingFailedError) as failed:
        merger.result()
    assert failed.value.__cause__ is pushed.value
    assert merger.missing == ["b"]


def test_a_push_that_fails_wakes_who_already_waits() -> None:
    merger: AsynchronousKeyValueMerger[str, Any, Any] = AsynchronousKeyValueMerger(
        ["a", "b"], merger=CumulativeAddingValueMerger()
    )
    merger.push("a", 1)
    result = in_thread(merger.result)
    with pytest.raises(NotYet):
        result.result(0.02)
    with pytest.raises(TypeError):
        merger.push("b", "text")
    with pytest.raises(MergingFailedError):
        result.result(10)


def test_with_append_a_failed_push_can_be_repeated() -> None:
    merger: AsynchronousKeyValueMerger[str, Any, Any] = AsynchronousKeyValueMerger(
        ["a", "b"], merger=CumulativeAddingValueMerger(), allow_append=True
    )
    merger.push("a", 1)
    with pytest.raises(TypeError):
        merger.push("b", "text")
    with pytest.raises(MergerTimeoutError):
        merger.result(0)
    merger.push("b", 2)
    assert merger.result(0) == 3


# --- filters ---


def test_a_filter_changes_what_is_merged_but_not_who_is_waited_for() -> None:
    merger = dict_of("a", "b", data_filter=lambda key, value: (key.upper(), value * 10))
    merger.push_bulk([("a", 1), ("b", 2)])
    assert merger.result(0) == {"A": 10, "B": 20}


def test_what_is_filtered_out_may_count_or_not() -> None:
    def only_even(key: str, value: int) -> tuple[str, int]:
        if value % 2:
            raise FilteredOut(still_count=value > 10)
        return key, value

    merger = dict_of("a", "b", data_filter=only_even)
    merger.push("a", 11)
    merger.push("b", 1)
    assert merger.missing == ["b"]
    merger.push("b", 2)
    assert merger.result(0) == {"b": 2}
    with pytest.raises(TypeError):
        merger.push("a", 2)


def test_the_cause_of_what_is_filtered_out_and_does_not_count_is_raised() -> None:
    def refuse(key: str, value: int) -> tuple[str, int]:
        raise FilteredOut from ZeroDivisionError("on purpose")

    merger = dict_of("a", data_filter=refuse)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        merger.push("a", 1)
    with pytest.raises(MergingFailedError, match="ZeroDivisionError: on purpose"):
        merger.result()


def test_the_filter_runs_without_a_lock() -> None:
    merger = dict_of("a", "b")

    def filter_that_looks(key: str, value: int) -> tuple[str, int]:
        assert in_thread(lambda: merger.missing).result(10)
        if key == "a":
            in_thread(merger.push, "b", 2).result(10)
        return key, value

    merger = dict_of("a", "b", data_filter=filter_that_looks)
    merger.push("a", 1)
    assert merger.result(0) == {"a": 1, "b": 2}


# --- results of tasks ---


def push_five(collector: TaskResultCollector[Any]) -> None:
    """The third of five tasks failed."""
    for i, client in enumerate(CLIENTS):
        collector.push(client, Finished(HandlerError("broken") if i == 2 else i + 1))


def test_ignored_failures_count_as_arrived(caplog: pytest.LogCaptureFixture) -> None:
    collector = TaskResultCollector(CLIENTS, merger=CumulativeAddingValueMerger())
    push_five(collector)
    assert collector.result() == 1 + 2 + 4 + 5
    assert "client2/trainer" in caplog.text
    assert "broken" in caplog.text
    with pytest.raises(TypeError):
        collector.push(CLIENTS[2], Finished(3))


def test_the_first_failure_can_be_raised() -> None:
    collector = TaskResultCollector(
        CLIENTS, merger=CumulativeAddingValueMerger(), on_error=ErrorHandlingStrategy.RAISE_FIRST
    )
    with pytest.raises(HandlerError, match="broken"):
        push_five(collector)
    with pytest.raises(MergingFailedError) as failed:
        collector.result()
    assert isinstance(failed.value.__cause__, HandlerError)


def test_kept_failures_stand_in_the_place_of_results() -> None:
    collector = TaskResultCollector(
        CLIENTS,
        merger=DictKeyValueMerger[RoleInstanceID, Any](),
        on_error=ErrorHandlingStrategy.KEEP,
    )
    push_five(collector)
    result = collector.result()
    assert isinstance(result.pop(CLIENTS[2]), HandlerError)
    assert list(result.values()) == [1, 2, 4, 5]


def test_kept_failures_that_cannot_be_merged_fail() -> None:
    collector = TaskResultCollector(
        CLIENTS, merger=CumulativeAddingValueMerger(), on_error=ErrorHandlingStrategy.KEEP
    )
    with pytest.raises(TypeError):
        push_five(collector)
    with pytest.raises(MergingFailedError):
        collector.result()


def test_results_cannot_be_retried() -> None:
    with pytest.raises(RuntimeError, match="cannot be retried"):
        TaskResultFilter(ErrorHandlingStrategy.RETRY)(CLIENTS[0], Finished(HandlerError("broken")))


def test_a_collector_without_targets_gives_the_empty_merge() -> None:
    assert TaskResultCollector([], merger=DictKeyValueMerger[Any, Any]()).result() == {}


def test_plain_tuples_are_the_same_targets_and_sources() -> None:
    collector = TaskResultCollector(
        [("client0", "trainer")],  # type: ignore[list-item]  # where type information was lost
        merger=ListValueMerger[int](),
    )
    collector.push(CLIENTS[0], Finished(1))
    assert collector.result(0) == [1]


def test_a_filter_may_give_results_another_key() -> None:
    class ByActor(TaskResultFilter):
        def transform_source(self, source: RoleInstanceID) -> str:
            return source.actor_name

    merger: AsynchronousKeyValueMerger[RoleInstanceID, TaskInvocation, dict[str, int]] = (
        AsynchronousKeyValueMerger(CLIENTS[:1], merger=DictKeyValueMerger[str, int](), data_filter=ByActor())
    )
    merger.push(CLIENTS[0], Finished(1))
    assert merger.result(0) == {"client0": 1}
