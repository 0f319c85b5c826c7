"""What the embedded broker costs: calls, payloads, and idle actors of one process.

Prints ratios against a floor measured in the same run, then the absolute figures. Machines are noisy: compare
ratios, and only within one run.

    python benchmarks/inprocess.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rows import Row, report, write

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context

SINK = rml.RoleInstanceID("callee", "sink")


class Sink(rml.Role):
    """Takes anything, and answers with as little as possible."""

    @rml.Service(expand=True)
    def take(self, _: rml.RoleInstanceID, data: object) -> None: ...


def actor(name: str, broker: str = "embedded://bench") -> rml.Actor:
    return rml.Actor(Context.build(ActorProfile(name)), broker=broker)


def median_s(action: Callable[[], object], repetitions: int) -> float:
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class PingPong:
    """The floor of a call: hand something to another thread and get something back."""

    def __init__(self) -> None:
        self._there: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._back: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            self._back.put(self._there.get())

    def __call__(self) -> None:
        self._there.put(1)
        self._back.get()


def small_calls(caller: rml.Actor, n: int) -> dict[str, float]:
    message = rml.Message({"data": 1}, {})
    call = lambda: caller.call("bench", SINK, "take", message)  # noqa: E731
    ping = PingPong()
    rounds = [(median_s(ping, n), median_s(call, n)) for _ in range(7)]
    ratio = statistics.median(b / a for a, b in rounds)
    return {
        "ratio": ratio,
        "floor_us": min(a for a, _ in rounds) * 1e6,
        "p50_us": min(b for _, b in rounds) * 1e6,
    }


def calls_per_second(caller: rml.Actor, threads: int, n: int) -> float:
    message = rml.Message({"data": 1}, {})

    def work() -> None:
        for _ in range(n):
            caller.call("bench", SINK, "take", message)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * n / (time.perf_counter() - start)


def payload(caller: rml.Actor, megabytes: int, repetitions: int) -> dict[str, float]:
    data = np.random.default_rng(0).random(megabytes * 125_000)
    message = rml.Message({}, {"data": data})
    rounds = []
    for _ in range(repetitions):
        copy_s = median_s(data.copy, 1)
        rounds.append((copy_s, median_s(lambda: caller.call("bench", SINK, "take", message), 1)))
    return {
        "copies": statistics.median(b / a for a, b in rounds),
        "MB_per_s": data.nbytes / 1e6 / statistics.median(b for _, b in rounds),
    }


def idle_actors(count: int) -> dict[str, float]:
    """Measured in a process of its own."""
    here = os.path.dirname(os.path.abspath(__file__))
    code = f"import sys; sys.path.insert(0, {here!r}); import inprocess; inprocess.measure_idle({count})"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(out)
    return result


def resident_kb() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def measure_idle(count: int) -> None:
    first = actor("first", "embedded://idle")
    first.add_role("sink", Sink())
    first.start()
    memory, threads, start = resident_kb(), threading.active_count(), time.perf_counter()
    actors = []
    for n in range(count):
        actors.append(actor(f"actor{n}", "embedded://idle"))
        actors[-1].add_role("sink", Sink())
    for each in actors:
        each.start()
    started_s = time.perf_counter() - start
    figures = {
        "start_s": started_s,
        "kB_each": (resident_kb() - memory) / count,
        "threads_each": (threading.active_count() - threads) / count,
    }
    start = time.perf_counter()
    for each in actors:
        each.stop()
    figures["stop_s"] = time.perf_counter() - start
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller payloads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    quick, rows = options.quick, []
    caller, callee = actor("caller"), actor("callee")
    callee.add_role("sink", Sink())
    callee.start()
    caller.start()

    small = small_calls(caller, 300 if quick else 2000)
    floor = f"p50 {small['p50_us']:.0f} us; floor {small['floor_us']:.0f} us"
    rows.append(Row("service call / a thread ping-pong", small["ratio"], absolute=floor))
    in_time = small["p50_us"] < 100
    rows.append(Row("service call, p50 us", small["p50_us"], "under 100", in_time, comparable=False))
    for threads in (1, 16):
        rate = calls_per_second(caller, threads, 100 if quick else 1000)
        name = f"calls/s, {threads} threads"
        rows.append(Row(name, rate, more_is_better=True, comparable=False))
    for megabytes in (1, 5) if quick else (1, 25, 100):
        figures = payload(caller, megabytes, 5)
        name, speed = f"{megabytes} MB one way / copying it", f"{figures['MB_per_s']:,.0f} MB/s"
        rows.append(Row(name, figures["copies"], absolute=speed))
    callee.stop()
    caller.stop()
    for count in (10, 100) if quick else (10, 100, 1000):
        idle = idle_actors(count)
        times = f"started in {idle['start_s']:.2f} s, stopped in {idle['stop_s']:.2f} s"
        rows.append(Row(f"{count} idle actors: kB each", idle["kB_each"], absolute=times))
        rows.append(Row(f"{count} idle actors: threads each", idle["threads_each"]))
    report(rows, "embedded broker / as named")
    write(rows, options.json)


if __name__ == "__main__":
    main()
