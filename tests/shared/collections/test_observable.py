from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from roleml.shared.collections.observable import ObservableTable


class Numbers(ObservableTable[Callable[[int], Any]]):
    def __init__(self) -> None:
        super().__init__()
        self.content: list[int] = []

    def add(self, number: int) -> None:
        with self:
            self.content.append(number)
            self._announce(number)


def usable_from_another_thread(table: ObservableTable[Any]) -> bool:
    """Whether the table's lock is free."""
    entered = threading.Event()

    def enter() -> None:
        with table:
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return entered.wait(2)


def test_listeners_hear_of_changes_in_order_once_they_are_visible() -> None:
    numbers = Numbers()
    seen: list[tuple[int, list[int]]] = []
    numbers.add_listener(lambda number: seen.append((number, list(numbers.content))))
    numbers.add(1)
    numbers.add(2)
    assert seen == [(1, [1]), (2, [1, 2])]


def test_a_listener_is_called_without_the_lock() -> None:
    numbers = Numbers()
    free: list[bool] = []
    numbers.add_listener(lambda _: free.append(usable_from_another_thread(numbers)))
    numbers.add(1)
    assert free == [True]


def test_changes_in_a_held_block_are_told_when_the_outermost_block_ends() -> None:
    numbers = Numbers()
    seen: list[int] = []
    free: list[bool] = []
    numbers.add_listener(seen.append)
    numbers.add_listener(lambda _: free.append(usable_from_another_thread(numbers)))
    with numbers:
        with numbers:
            numbers.add(1)
        assert seen == []
    assert seen == [1]
    assert free == [True]


def test_changes_are_told_even_if_the_block_fails() -> None:
    numbers = Numbers()
    seen: list[int] = []
    numbers.add_listener(seen.append)

    def add_and_fail() -> None:
        with numbers:
            numbers.add(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert seen == [1]


def test_a_change_made_by_a_listener_is_told_after_the_one_it_answers() -> None:
    numbers = Numbers()
    seen: list[int] = []

    def answer(number: int) -> None:
        if number == 1:
            numbers.add(10)

    numbers.add_listener(answer)
    numbers.add_listener(seen.append)
    with numbers:
        numbers.add(1)
        numbers.add(2)
    assert seen == [1, 2, 10]


def test_a_failing_listener_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    numbers = Numbers()
    seen: list[int] = []

    def fail(number: int) -> None:
        raise ZeroDivisionError

    numbers.add_listener(fail)
    numbers.add_listener(seen.append)
    numbers.add(7)
    assert seen == [7]
    assert "fail" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_listener_hears_only_of_changes_made_after_it_was_added() -> None:
    numbers = Numbers()
    seen: list[int] = []
    with numbers:
        numbers.add(1)
        numbers.add_listener(seen.append)
        numbers.add(2)
    assert seen == [2]


def test_a_removed_listener_hears_no_more_not_even_of_earlier_changes() -> None:
    numbers = Numbers()
    seen: list[int] = []
    numbers.add_listener(seen.append)
    with numbers:
        numbers.add(1)
        numbers.remove_listener(seen.append)
    numbers.remove_listener(seen.append)
    assert seen == []


def test_a_listener_added_twice_is_called_once() -> None:
    numbers = Numbers()
    seen: list[int] = []
    numbers.add_listener(seen.append)
    numbers.add_listener(seen.append)
    numbers.add(1)
    assert seen == [1]


def test_changes_of_many_threads_are_told_in_the_order_made() -> None:
    numbers = Numbers()
    seen: list[int] = []
    numbers.add_listener(seen.append)
    start = threading.Barrier(4)

    def work(first: int) -> None:
        start.wait(10)
        for number in range(first, first + 200):
            numbers.add(number)

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == numbers.content
    assert len(seen) == 800


def test_a_change_made_while_another_thread_is_telling_does_not_wait_for_the_listener() -> None:
    numbers = Numbers()
    told, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def slow(number: int) -> None:
        seen.append(number)
        if number == 1:
            told.set()
            go_on.wait(10)

    numbers.add_listener(slow)
    first = threading.Thread(target=numbers.add, args=(1,))
    first.start()
    assert told.wait(10)
    numbers.add(2)
    assert seen == [1]
    go_on.set()
    first.join(10)
    assert seen == [1, 2]
