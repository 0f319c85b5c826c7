"""What our runtime costs on a broker, beside a hand-tuned pika program that does the same work.

Both take turns in one run, on one broker, with the same processes. Ratios first, each with its target; then
the absolute figures, which depend on the machine and on what else it was doing.

    python benchmarks/broker.py [--broker URL] [--quick] [--only NAME] [--json FILE] [--gigabyte]

Without a URL it starts a node as the tests do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopback import Loopback
from raw_pika import (
    RawPika,
    broadcast_s,
    calls_per_second,
    cpu_s,
    event_deliveries_per_second,
    memory_bytes,
    payload_s,
    percentile,
    service_latencies_s,
    task_latencies_s,
)
from rows import Row, report, write
from runtime_broker import Runtime, Sink, actor

MB = 1_000_000


@dataclass(frozen=True)
class Bench:
    url: str
    quick: bool
    #: of the broker, if it runs on this machine
    broker_pid: int | None = None

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 9

    @contextlib.contextmanager
    def pair(
        self, processes: int = 1, receivers: int = 1, *, together: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Raw pika and our runtime, both running; idle while the other is measured."""
        with (
            RawPika(self.url, processes=processes, receivers=receivers) as raw,
            Runtime(self.url, processes=processes, receivers=receivers, together=together) as ours,
        ):
            yield raw, ours

    def turns(
        self,
        measure: Callable[[Any], Any],
        raw: Any,
        ours: Any,
        between: Callable[[], Any] = lambda: None,
    ) -> list[tuple[Any, Any]]:
        """``(raw, ours)`` of each round, the first to go alternating, after one round that does not count."""
        measure(raw), measure(ours)
        results = []
        for number in range(self.rounds):
            if number % 2:
                mine = measure(ours)
                between()
                results.append((measure(raw), mine))
            else:
                first = measure(raw)
                between()
                results.append((first, measure(ours)))
        return results


def _ratio(turns: Sequence[tuple[float, float]]) -> float:
    return statistics.median(ours / raw for raw, ours in turns)


def _medians(turns: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(raw for raw, _ in turns), statistics.median(ours for _, ours in turns)


def _at_most(
    name: str, turns: Sequence[tuple[float, float]], target: float | None, scale: float, unit: str
) -> Row:
    ratio, (raw, ours) = _ratio(turns), _medians(turns)
    text = "" if target is None else f"at most {target}"
    holds = None if target is None else ratio <= target
    return Row(name, ratio, text, holds, f"{ours * scale:,.1f} {unit}, raw {raw * scale:,.1f} {unit}")


def _at_least(name: str, turns: Sequence[tuple[float, float]], target: float) -> Row:
    ratio, (raw, ours) = _ratio(turns), _medians(turns)
    absolute = f"{ours:,.0f} /s, raw {raw:,.0f} /s"
    return Row(name, ratio, f"at least {target}", ratio >= target, absolute, more_is_better=True)


# ---- the measures


def _beside_floor(
    name: str, floor_s: Sequence[float], turns: Sequence[tuple[float, float]], unit: str
) -> Row:
    """Ours beside what took turns with it and has no broker at all."""
    scale = {"us": 1e6, "ms": 1e3}[unit]
    ratio = statistics.median(ours / floor for floor, (_, ours) in zip(floor_s, turns, strict=True))
    return Row(name, ratio, "", None, f"floor {statistics.median(floor_s) * scale:,.1f} {unit}")


def service(bench: Bench) -> Iterator[Row]:
    calls = 100 if bench.quick else 300
    floor_s: list[float] = []
    with bench.pair() as (raw, ours), Loopback() as floor:
        turns = bench.turns(
            lambda it: service_latencies_s(it, calls),
            raw,
            ours,
            lambda: floor_s.append(statistics.median(floor.round_trip_s() for _ in range(calls))),
        )
    for percent, target in ((50, 1.25), (99, None)):
        part = [tuple(percentile(taken, percent) for taken in turn) for turn in turns]
        yield _at_most(f"service call, p{percent}", part, target, 1e6, "us")
        if percent == 50:
            yield _beside_floor("service call, p50 / TCP round trip", floor_s, part, "us")


def throughput(bench: Bench) -> Iterator[Row]:
    """And where its time goes: the processor time of a call, which other programs disturb less."""
    callers, calls = 16, 40 if bench.quick else 150

    def measure(it: Any) -> tuple[float, list[float]]:
        pids = [os.getpid(), it.peer_pids[0], *([bench.broker_pid] if bench.broker_pid else [])]
        before = [cpu_s(pid) for pid in pids]
        rate = calls_per_second(it, callers, calls)
        return rate, [(cpu_s(pid) - start) / callers / calls for pid, start in zip(pids, before, strict=True)]

    with bench.pair() as (raw, ours):
        turns = bench.turns(measure, raw, ours)
    yield _at_least("calls/s, 16 callers", [(there[0], here[0]) for there, here in turns], 0.85)
    for number, who in enumerate(("caller", "callee", "broker")[: len(turns[0][0][1])]):
        # the kernel counts in hundredths of a second, so it takes all rounds together
        part = [tuple(statistics.fmean(turn[side][1][number] for turn in turns) for side in (0, 1))]
        yield _at_most(f"  processor time of the {who}", part, None, 1e6, "us")


def task(bench: Bench) -> Iterator[Row]:
    with bench.pair() as (raw, ours):
        turns = bench.turns(lambda it: task_latencies_s(it, 60 if bench.quick else 200), raw, ours)
    part = [tuple(statistics.median(taken) for taken in turn) for turn in turns]
    row = _at_most("task, call to result, p50", part, None, 1e6, "us")
    yield Row(row.name, row.value, "0.5 x RoleML 0.3 [1.9-2.4 ms]", None, row.absolute)


def events(bench: Bench) -> Iterator[Row]:
    count = 800 if bench.quick else 3_000
    for together in (False, True):
        with bench.pair(2, 4, together=together) as (raw, ours):
            turns = bench.turns(lambda it: event_deliveries_per_second(it, count), raw, ours)
        layout = "2 actors, 4 roles each" if together else "8 actors"
        yield _at_least(f"events/s to 8 subscribers in {layout}", turns, 0.5)


def payloads(bench: Bench) -> Iterator[Row]:
    with bench.pair() as (raw, ours), Loopback() as floor:
        for megabytes, target in ((1, None), (25, None), (100, 1.15)):
            payload, copies_s = bytearray(b"\1") * (megabytes * MB), list[float]()

            def copy_twice(payload: bytearray = payload, copies_s: list[float] = copies_s) -> None:
                copies_s.append(2 * floor.copy_s(payload))

            turns = bench.turns(lambda it, payload=payload: payload_s(it, payload), raw, ours, copy_twice)  # type: ignore[misc]
            yield _at_most(f"{megabytes} MB one way", turns, target, 1e3, "ms")
            yield _beside_floor(f"{megabytes} MB one way / two TCP copies", copies_s, turns, "ms")


def group(bench: Bench) -> Iterator[Row]:
    payload = bytearray(b"\1") * (25 * MB)
    for receivers in (8, 16):
        with bench.pair(2, receivers // 2) as (raw, ours):
            results = bench.turns(lambda it: broadcast_s(it, payload, per_process=True), raw, ours)
        name = f"25 MB to {receivers} roles in 2 processes"
        row = _at_most(name, [(a, b) for (a, _), (b, _) in results], None, 1e3, "ms")
        yield Row(name, row.value, "0.15 x RoleML 0.3 [98 ms]", None, row.absolute)
        sent = max(count for _, (_, count) in results) / len(payload)
        yield Row(
            "  bytes leaving the sender / payload", sent, "at most 1.02", sent <= 1.02, f"{sent * 25:.2f} MB"
        )


def memory(bench: Bench) -> Iterator[Row]:
    """In fresh processes: a second transfer would use again what the first has freed."""
    peaks = []
    size = (25 if bench.quick else 100) * MB
    for make in (RawPika, Runtime):
        with make(bench.url) as it:
            service_latencies_s(it, 20)
            payload = bytearray(b"\1") * size
            it.reset_peaks()
            payload_s(it, payload)
            peaks.append(it.peaks_bytes())
            del payload
    yield from _peaks(size, peaks[1], peaks[0])


def gigabyte(bench: Bench) -> Iterator[Row]:
    size = 1 << 30
    with Runtime(bench.url) as ours:
        service_latencies_s(ours, 20)
        payload = bytearray(b"\1") * size
        ours.reset_peaks()
        seconds = payload_s(ours, payload)
        peaks = ours.peaks_bytes()
    speed = f"{size / MB / seconds:,.0f} MB/s"
    yield Row("1 GiB one way, seconds", seconds, "", None, speed, comparable=False)
    yield from _peaks(size, peaks, None)


def _peaks(size: int, ours: tuple[int, int], raw: tuple[int, int] | None) -> Iterator[Row]:
    for number, (name, payloads) in enumerate((("sender, beyond the payload", 0), ("receiver", 2))):
        limit = payloads * size / MB + 64
        value = ours[number] / MB
        absolute = f"{value:,.0f} MB" + (f", raw {raw[number] / MB:,.0f} MB" if raw else "")
        yield Row(
            f"{size / MB:,.0f} MB: peak MB of {name}",
            value, f"at most {limit:,.0f} MB", value <= limit, absolute,
        )  # fmt: skip


def idle(bench: Bench) -> Iterator[Row]:
    """In a process of its own."""
    count = 100 if bench.quick else 1000
    here = os.path.dirname(os.path.abspath(__file__))
    code = f"import sys; sys.path.insert(0, {here!r}); import broker; broker.measure_idle(*sys.argv[1:])"
    command = [sys.executable, "-c", code, bench.url, str(count)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(out)
    name, start_s = f"{count} idle actors", figures["start_s"]
    limit_s = 5 * count / 1000
    yield Row(f"{name}: kB each", figures["kB_each"], "under 60", figures["kB_each"] < 60, "")
    threads = figures["threads_each"]
    yield Row(f"{name}: threads each", threads, "under 0.02", threads < 0.02, "")
    stopped = f"stopped in {figures['stop_s']:.2f} s"
    in_time = start_s < limit_s
    yield Row(f"{name}: seconds to start", start_s, f"under {limit_s:g}", in_time, stopped, comparable=False)


def measure_idle(url: str, number: str) -> None:
    count = int(number)
    prefix = f"idle-{time.monotonic_ns():x}"
    actors = [actor(f"{prefix}-first", url)]
    actors[0].add_role("sink", Sink())
    actors[0].start()
    rss, threads, start = memory_bytes("VmRSS"), threading.active_count(), time.perf_counter()
    for each in (actor(f"{prefix}-{index}", url) for index in range(count)):
        each.add_role("sink", Sink())
        each.start()
        actors.append(each)
    figures = {
        "start_s": time.perf_counter() - start,
        "kB_each": (memory_bytes("VmRSS") - rss) / 1e3 / count,
        "threads_each": (threading.active_count() - threads) / count,
    }
    start = time.perf_counter()
    for each in actors:
        each.stop()
    figures["stop_s"] = time.perf_counter() - start
    print(json.dumps(figures))


# ---- the report

MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    measure.__name__: measure
    for measure in (memory, service, throughput, task, events, payloads, group, idle)
}


@contextlib.contextmanager
def _broker(url: str | None) -> Iterator[tuple[str, int | None]]:
    """Its URL, and its process if that is one of ours."""
    if url is not None:
        yield url, None
        return
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.broker.fixtures import open_broker
    from tests.broker.node import Node

    broker = open_broker()
    try:
        yield broker.url(), broker.pid if isinstance(broker, Node) else None
    finally:
        broker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--broker", help="amqp://user:password@host/vhost; a private node if not given")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, less work in each")
    parser.add_argument("--only", choices=MEASURES, action="append", metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--gigabyte", action="store_true", help="send 1 GiB instead, and tell the peaks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    measures = [gigabyte] if options.gigabyte else [MEASURES[name] for name in options.only or MEASURES]
    rows: list[Row] = []
    with _broker(options.broker) as (url, pid):
        for measure in measures:
            print(f"measuring {measure.__name__} ...", file=sys.stderr)
            rows += measure(Bench(url, options.quick, pid))
    report(rows, "ours / raw pika, or as named")
    write(rows, options.json)


if __name__ == "__main__":
    main()
