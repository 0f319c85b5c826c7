from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roleml.shared.lanes import Lanes, Started
from roleml.shared.threads import Clock, ElasticPool, shared_clock, shared_pool
from tests.actors import DEADLINE_S, wait_until

NAMES = itertools.count()


def pool(idle_s: float = 10.0) -> ElasticPool:
    return ElasticPool(f"test-pool-{next(NAMES)}", idle_s=idle_s)


def threads_of(tested: ElasticPool) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{tested._name}-")]


# the pool


def test_jobs_run_at_once_however_many_are_blocked() -> None:
    tested, together = pool(idle_s=0.01), threading.Barrier(51)
    for _ in range(50):
        tested.submit(lambda: together.wait(DEADLINE_S))
    together.wait(DEADLINE_S)
    wait_until(lambda: not threads_of(tested))


def test_a_job_may_wait_for_a_job_that_waits_for_a_job() -> None:
    tested, done = pool(idle_s=0.01), threading.Event()

    def nest(depth: int) -> None:
        if depth == 0:
            done.set()
        else:
            inner = threading.Event()
            tested.submit(lambda: (nest(depth - 1), inner.set()))
            assert inner.wait(DEADLINE_S)

    tested.submit(lambda: nest(100))
    assert done.wait(DEADLINE_S)


def test_idle_threads_are_used_again_and_let_go() -> None:
    tested = pool(idle_s=0.05)
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    for _ in range(20):
        tested.submit(lambda: seen.put(threading.get_ident()))
        seen.get(timeout=DEADLINE_S)
        wait_until(lambda: len(tested._idle) > 0)
    assert len(threads_of(tested)) == 1
    wait_until(lambda: not threads_of(tested))
    assert tested._idle == []
    tested.submit(lambda: seen.put(threading.get_ident()))
    seen.get(timeout=DEADLINE_S)


def test_submitting_to_threads_that_are_just_leaving_loses_nothing() -> None:
    tested = pool(idle_s=0.0005)
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    for n in range(500):
        tested.submit(lambda n=n: seen.put(n))  # type: ignore[misc]
        assert seen.get(timeout=DEADLINE_S) == n
        threading.Event().wait(0.0005)


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_failing_job_is_logged_and_its_thread_goes_on(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    tested, done = pool(), threading.Event()

    def fail() -> None:
        raise error

    tested.submit(fail)
    wait_until(lambda: tested._idle)
    assert error.__name__ in caplog.text
    tested.submit(done.set)
    assert done.wait(DEADLINE_S)
    assert len(threads_of(tested)) == 1


def test_pool_threads_do_not_keep_the_process_alive_or_a_result() -> None:
    import gc
    import weakref

    class Big:
        pass

    tested, ran = pool(), threading.Event()
    big = Big()
    reference = weakref.ref(big)

    def job(held: Big = big) -> None:
        assert held
        ran.set()

    tested.submit(job)
    assert ran.wait(DEADLINE_S)
    del big, job
    wait_until(lambda: gc.collect() is not None and reference() is None)
    assert all(thread.daemon for thread in threads_of(tested))


def test_pool_and_clock_are_those_of_the_process() -> None:
    assert shared_pool() is shared_pool()
    assert shared_clock() is shared_clock()


# lanes


def collect(jobs: int, submit: Callable[[Callable[[int], Callable[[Started], Any]]], None]) -> list[int]:
    starts: queue.SimpleQueue[int] = queue.SimpleQueue()

    def make(n: int) -> Callable[[Started], Any]:
        def job(started: Started) -> None:
            started()
            starts.put(n)

        return job

    submit(make)
    return [starts.get(timeout=DEADLINE_S) for _ in range(jobs)]


def test_jobs_of_a_lane_start_in_order_to_the_first_line_after_started() -> None:
    # a busy machine may stop a thread for longer than 10 ms
    lanes = Lanes(pool(), overlap_after_s=DEADLINE_S)
    order = collect(500, lambda make: [lanes.submit("lane", make(n)) for n in range(500)] and None)
    assert order == list(range(500))
    wait_until(lambda: not lanes._lanes)


def test_jobs_that_said_they_started_overlap() -> None:
    lanes, together = Lanes(pool()), threading.Barrier(11)

    def job(started: Started) -> None:
        started()
        started()
        together.wait(DEADLINE_S)

    for _ in range(10):
        lanes.submit("lane", job)
    together.wait(DEADLINE_S)


def test_a_job_that_does_not_say_so_holds_its_lane_and_no_other() -> None:
    lanes, hold = Lanes(pool()), threading.Event()
    happened: queue.SimpleQueue[str] = queue.SimpleQueue()

    def first(_: Started) -> None:
        assert hold.wait(DEADLINE_S)
        happened.put("first")

    lanes.submit("lane", first)
    lanes.submit("lane", lambda _: happened.put("second"))
    lanes.submit("other", lambda _: happened.put("other"))
    assert happened.get(timeout=DEADLINE_S) == "other"
    assert happened.empty()
    hold.set()
    assert [happened.get(timeout=DEADLINE_S) for _ in range(2)] == ["first", "second"]


@pytest.mark.parametrize("error", [ArithmeticError, SystemExit])
def test_a_failing_job_lets_the_next_one_go(error: type[BaseException], caplog: Any) -> None:
    lanes, done = Lanes(pool()), threading.Event()

    def fail(_: Started) -> None:
        raise error

    lanes.submit("lane", fail)
    lanes.submit("lane", lambda _: done.set())
    assert done.wait(DEADLINE_S)
    wait_until(lambda: not lanes._lanes)


def test_a_lane_is_submitted_to_from_inside_its_own_jobs() -> None:
    lanes, order, done = Lanes(pool()), [], threading.Event()

    def job(n: int) -> Callable[[Started], Any]:
        def run(_: Started) -> None:
            order.append(n)
            if n < 50:
                lanes.submit("lane", job(n + 1))
            else:
                done.set()

        return run

    lanes.submit("lane", job(0))
    assert done.wait(DEADLINE_S)
    assert order == list(range(51))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["hold", "start", "fail"])), max_size=40))
def test_every_lane_runs_each_of_its_jobs_once_and_in_order(jobs: list[tuple[str, str]]) -> None:
    lanes = Lanes(shared_pool())
    ran: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

    def make(n: int, lane: str, kind: str) -> Callable[[Started], Any]:
        def job(started: Started) -> None:
            if kind == "start":
                started()
            ran.put((lane, n))
            if kind == "fail":
                raise ArithmeticError

        return job

    for n, (lane, kind) in enumerate(jobs):
        lanes.submit(lane, make(n, lane, kind))
    seen = [ran.get(timeout=DEADLINE_S) for _ in jobs]
    for lane in "abc":
        assert [n for each, n in seen if each == lane] == [n for n, job in enumerate(jobs) if job[0] == lane]
    wait_until(lambda: not lanes._lanes)


# the clock


class AtOnce(ElasticPool):
    """Runs jobs in the thread that submits them, so in the clock's order."""

    def submit(self, job: Callable[[], Any]) -> None:
        job()


def test_the_clock_runs_jobs_in_the_order_they_are_due() -> None:
    clock, order = Clock(AtOnce()), queue.SimpleQueue[str]()
    clock.after(0.06, lambda: order.put("late"))
    clock.after(0.03, lambda: order.put("middle"))
    clock.after(0.0, lambda: order.put("now"))
    assert [order.get(timeout=DEADLINE_S) for _ in range(3)] == ["now", "middle", "late"]


def test_a_cancelled_job_does_not_run_and_cancelling_again_is_fine() -> None:
    clock, order = Clock(AtOnce()), queue.SimpleQueue[str]()
    cancel = clock.after(0.02, lambda: order.put("cancelled"))
    clock.after(0.04, lambda: order.put("kept"))
    cancel()
    cancel()
    assert order.get(timeout=DEADLINE_S) == "kept"
    assert order.empty()
    assert clock._entries == []


def test_a_slow_job_does_not_delay_the_clock() -> None:
    clock, hold, done = Clock(pool()), threading.Event(), threading.Event()
    clock.after(0.0, lambda: hold.wait(DEADLINE_S))
    clock.after(0.001, done.set)
    assert done.wait(DEADLINE_S)
    hold.set()
