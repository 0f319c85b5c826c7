"""An hour of calls, events, transfers and restarts: `make soak`, or `make soak ARGS="--minutes 5"`.

Rounds of load, each with one mischief in its middle and some seconds of quiet at its end. In the quiet,
what each process, the broker and the tables in the actors take is measured. At the end nothing may have
grown, every call must have exactly one outcome, and after everybody has left, nothing may be left on the
broker.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.actors import wait_until
from tests.broker.console import ConsoleError
from tests.broker.fixtures import choose_server
from tests.broker.node import Node, NodeError
from tests.faults.measures import (
    RESTLESS,
    RINGS,
    Tolerance,
    broker,
    connected,
    growth,
    process,
    tables,
    window,
)
from tests.faults.soaking import RARE, ROUNDS, Mischief, Result, SoakWorld
from tests.faults.world import DEADLINE_S

__all__ = ["Plan", "Report", "judge", "soak"]

HOUR = 60.0
BEGIN, END = "<!-- made by make soak: begin -->", "<!-- made by make soak: end -->"
TABLE, ENTRIES = "table ", "entries in tables"
RESTARTED, STEADY = "worker 1, restarted", "worker 2, never restarted"
LOOK_S = 5.0

#: What is measured, and by how much it may end above where it was after warming up; all else, not at all.
TOLERANCES = {
    "memory MiB": Tolerance(8.0, 0.08),
    "threads": Tolerance(2),
    "descriptors": Tolerance(2),
    # channels are lent, and kept for the next one; each has some processes
    "channels": Tolerance(4),
    "Erlang processes": Tolerance(30),
    # of one table, and of all together: those of timers and lent channels are among them
    TABLE: Tolerance(2),
    ENTRIES: Tolerance(100),
}
#: Tasks of native roles, which wait for a week for actors that are switched off.
KEPT = {f"q.{actor}.actor.tasks" for actor in ("caller", "worker1", "worker2")}
#: Of the outcomes, what the report tells.
COUNTED = (
    "answered", "services refused", "tasks lost", "wrong answers", "without an outcome", "tasks run again",
    "services run twice", "events emitted", "events heard", "events missed while disconnected",
    "events missed otherwise", "events twice or out of order",
)  # fmt: skip
#: Must be 0 in each quiet window.
EMPTY = ("messages ready", "messages unacknowledged")


@dataclass(frozen=True)
class Plan:
    """How long things take, and how many rounds there are at least.

    ``flood`` small services to each worker go ahead, to fill what remembers a fixed number.
    """

    minutes: float
    fewest: int = 1
    load_s: float = 45.0
    quiet_s: float = 12.0
    samples: int = 3
    flood: int = 20_000
    rounds: Sequence[Mischief] = tuple(ROUNDS)
    #: at these parts of the time, the rare one
    rare_at: Sequence[float] = (0.2, 0.45)


@dataclass
class Report:
    """All that is told in the end; JSON can hold it."""

    made: str = ""
    minutes: float = 0.0
    asked_minutes: float = 0.0
    broker: str = ""
    python: str = field(default_factory=platform.python_version)
    cores: int = field(default_factory=lambda: os.cpu_count() or 0)
    rounds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    #: by whose and what: the medians of the quiet windows, one after the other
    windows: dict[str, dict[str, array[float]]] = field(default_factory=dict)
    #: the highest that was seen, also under load
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def add(self, who: str, window: Mapping[str, float]) -> None:
        """The next window. What is not there at some time counts as 0."""
        columns = self.windows.setdefault(who, {})
        before = max(map(len, columns.values()), default=0)
        for name in dict.fromkeys((*columns, *window)):
            column = columns.setdefault(name, array("d", bytes(8 * before)))
            column.append(window.get(name, 0.0))


def soak(node: Node, vhost: str, folder: Path, plan: Plan, report: Report, kept: Path | None = None) -> None:
    """Fill the report, until the time is over or somebody presses Ctrl-C. It is ``kept`` after each round."""
    report.broker, report.asked_minutes = node.version(), plan.minutes
    report.made = time.strftime("%Y-%m-%d")
    with SoakWorld(node, vhost, folder) as world:
        try:
            world.flood(plan.flood)
            begin_s = time.monotonic()
            with contextlib.suppress(KeyboardInterrupt), _peaks_noted(report, world):
                for number, mischief in enumerate(_course(plan, begin_s), 1):
                    _add(report, world.round(mischief, plan.load_s))
                    _measure(report, world, plan)
                    report.minutes = (time.monotonic() - begin_s) / 60
                    _progress(report, number)
                    if kept is not None:
                        keep(report, kept)
            world.rest()
            world.leave()
            wait_until(lambda: not connected(node, vhost), DEADLINE_S)
        except (AssertionError, ConsoleError, NodeError, OSError, subprocess.TimeoutExpired) as e:
            report.problems.append(f"the run broke off: {e}")
        finally:
            world.close_visitors()
    report.left = [
        *(row["name"] for row in node.list_queues(vhost) if row["name"] not in KEPT),
        *(row["name"] for row in node.list_exchanges(vhost) if not _is_shared(row["name"])),
    ]


def _is_shared(exchange: str) -> bool:
    """One of the broker's own, or one of the two that all actors share and nobody deletes."""
    return not exchange or exchange.startswith("amq.") or exchange in ("rml.call", "rml.presence")


def _course(plan: Plan, begin_s: float) -> Iterator[Mischief]:
    rare = list(plan.rare_at)
    for number in itertools.count():
        part = (time.monotonic() - begin_s) / (60 * plan.minutes) if plan.minutes else 1.0
        if part >= 1 and number >= plan.fewest:
            return
        if rare and part >= rare[0]:
            rare.pop(0)
            yield RARE
        yield plan.rounds[number % len(plan.rounds)]


def _add(report: Report, result: Result) -> None:
    outcome = result.outcome
    report.rounds[result.mischief.name] += 1
    report.problems += result.problems
    report.outcomes.update(
        {
            "tasks": outcome.tasks,
            "services": outcome.services,
            "answered": outcome.tasks + outcome.services - len(outcome.lost) - len(outcome.refused)
            - len(outcome.hung) - len(outcome.wrong),
            "services refused": len(outcome.refused),
            "tasks lost": len(outcome.lost),
            "wrong answers": len(outcome.wrong),
            "without an outcome": len(outcome.hung),
            "tasks run again": outcome.repeated,
            "services run twice": outcome.repeated_services,
            "events emitted": result.emitted,
            "events heard": result.heard,
            "events missed while disconnected": result.missed - result.missed_without_cause,
            "events missed otherwise": result.missed_without_cause,
            "events twice or out of order": result.disordered,
        }
    )  # fmt: skip


# ---- measuring


def _measure(report: Report, world: SoakWorld, plan: Plan) -> None:
    peak = _sample(world, within=False)
    deadline_s = time.monotonic() + plan.quiet_s
    while time.monotonic() < deadline_s:
        time.sleep(0.2)
    samples = []
    for _ in range(plan.samples):
        samples.append(_sample(world, within=True))
        time.sleep(1.0)
    for who in samples[0]:
        report.add(who, window([sample[who] for sample in samples]))
    for sample in (peak, *samples):
        for who, values in sample.items():
            _note_peak(report, who, values)


def _note_peak(report: Report, who: str, values: Mapping[str, float]) -> None:
    highest = report.peaks.setdefault(who, {})
    for name, value in values.items():
        highest[name] = max(value, highest.get(name, value))


@contextlib.contextmanager
def _peaks_noted(report: Report, world: SoakWorld) -> Iterator[None]:
    """Look at the processes every few seconds, also under load."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            for who, pid in (
                ("caller", os.getpid()),
                (RESTARTED, world.workers[0].pid),
                (STEADY, world.steady.pid),
            ):
                with contextlib.suppress(OSError, KeyError):  # it was killed a moment ago
                    _note_peak(report, who, process(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def _sample(world: SoakWorld, *, within: bool) -> dict[str, dict[str, float]]:
    """Each process and the broker; ``within``: and the tables of the actors."""
    counted: dict[str, dict[str, int]] = {}
    if within:  # first: it also gives back what is free
        counted = {
            "caller": tables(world.actor),
            RESTARTED: world.workers[0].tell("count tables"),
            STEADY: world.steady.tell("count tables"),
        }
    found = {
        "caller": process(os.getpid()),
        RESTARTED: process(world.workers[0].pid),
        STEADY: process(world.steady.pid),
        "broker": broker(world.node, world.vhost),
    }
    for who, counts in counted.items():
        found[who] |= {f"{TABLE}{name}": float(count) for name, count in counts.items()}
    return found


def _progress(report: Report, number: int) -> None:
    outcomes, steady = report.outcomes, report.windows[STEADY]
    calls = outcomes["tasks"] + outcomes["services"]
    print(
        f"{report.minutes:5.1f} of {report.asked_minutes:g} min  round {number:<3} {calls:6d} calls  "
        f"{outcomes['without an outcome']} without outcome  {outcomes['events emitted']:6d} events  "
        f"worker 2: {steady['memory MiB'][-1]:.0f} MiB, "
        f"{steady['threads'][-1]:.0f} threads  {len(report.problems)} problems",
        flush=True,
    )


# ---- the judgement


def judge(report: Report) -> list[str]:
    """What has grown, what was not empty, what is left."""
    problems = []
    for who, measured in report.windows.items():
        for name, values in measured.items():
            if name in EMPTY and max(values) > 0:
                problems.append(f"{who}: {name}: {max(values):g} in a quiet window")
            if _is_ring(name):
                continue
            risen = growth(after_warming_up(values), tolerance_of(name))
            if risen is not None:
                problems.append(f"{who}: {name} has grown by {risen:.1f}")
    if report.left:
        problems.append(f"left on the broker: {', '.join(report.left)}")
    return problems


def after_warming_up(values: Sequence[float]) -> Sequence[float]:
    """Without the first eighth of the windows: once each mischief has been there, in an hour."""
    return values[-(-len(values) // 8) :] if len(values) > 2 else values


def _is_ring(name: str) -> bool:
    return _table(name) in RINGS


def _table(name: str) -> str:
    """Without what is within its entries."""
    return name.removeprefix(TABLE).partition("[")[0]


def tolerance_of(name: str) -> Tolerance:
    if _table(name) in RESTLESS:
        return Tolerance(100)
    return TOLERANCES.get(TABLE if name.startswith(TABLE) else name, Tolerance(0))


# ---- telling


def tell(report: Report) -> str:
    """In Markdown, with when and where it was made."""
    outcomes = report.outcomes
    rounds = ", ".join(f"{number} × {name}" for name, number in report.rounds.most_common())
    lines = [
        f"{report.made}, {report.minutes:.0f} minutes, RabbitMQ {report.broker}, Python {report.python}, "
        f"{report.cores} cores."
        + ("" if report.minutes >= HOUR else f" It was ended before its {HOUR:.0f} minutes were over."),
        f"{report.rounds.total()} rounds: {rounds}.",
        "",
        "| counted | number |",
        "| --- | --- |",
        f"| calls | {outcomes['tasks'] + outcomes['services']:,} |",
        *(f"| {name} | {outcomes[name]:,} |" for name in COUNTED),
        "",
        "| whose | what | after warming up | in the middle | at the end | highest | may grow by | flat |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for who, measured in report.windows.items():
        for name, values in measured.items():
            if not name.startswith(TABLE):
                lines.append(_row(who, name, after_warming_up(values), report.peaks[who][name]))
        if entries := _entries(measured):
            lines.append(_row(who, ENTRIES, after_warming_up(entries), max(entries)))
    lines += ["", "Problems: none." if not report.problems else "Problems:", ""]
    lines += [f"- {problem}" for problem in report.problems]
    return "\n".join(lines).rstrip()


def _entries(measured: Mapping[str, Sequence[float]]) -> list[float]:
    """Of all tables of an actor together, without those that remember a fixed number, in each window."""
    columns = [values for name, values in measured.items() if name.startswith(TABLE) and not _is_ring(name)]
    return [sum(row) for row in zip(*columns, strict=True)]


def _row(who: str, name: str, values: Sequence[float], peak: float) -> str:
    few = min(3, max(1, len(values) // 2))
    middle = len(values) // 2
    begin = statistics.median(values[:few])
    tolerance = tolerance_of(name)
    cells = (
        who,
        name,
        _number(begin, name),
        _number(statistics.median(values[max(0, middle - 1) : middle + 2]), name),
        _number(statistics.median(values[-few:]), name),
        _number(peak, name),
        _number(tolerance.of(begin), name),
        "yes" if growth(values, tolerance) is None else "NO",
    )
    return "| " + " | ".join(cells) + " |"


def _number(value: float, name: str) -> str:
    return f"{value:.1f}" if name.endswith("MiB") else f"{value:,.0f}"


def write(report: Report, page: Path) -> None:
    """Put the section into its page."""
    text = page.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n{tell(report)}\n{after}", encoding="utf-8")


def keep(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vars(report), default=list), encoding="utf-8")


def load(path: Path) -> Report:
    """A report that was kept."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name in ("rounds", "outcomes"):
        kept[name] = Counter(kept[name])
    for columns in kept["windows"].values():
        columns.update((name, array("d", values)) for name, values in columns.items())
    return Report(**kept)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=HOUR, help="how long (default: 60)")
    parser.add_argument("--page", type=Path, help="where the section is written, after a whole hour")
    parser.add_argument("--kept", type=Path, default=Path("runs/soak.json"), help="all measurements")
    parser.add_argument("--tell", type=Path, metavar="KEPT", help="only write again what such a file says")
    arguments = parser.parse_args()
    if arguments.tell is not None:
        report = load(arguments.tell)
    else:
        # What a shell starts in the background ignores Ctrl-C; `kill -INT` shall end it all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        report = Report()
        with Node(choose_server()) as node, tempfile.TemporaryDirectory(prefix="roleml-soak-") as folder:
            node.add_vhost("soak")
            soak(node, "soak", Path(folder), Plan(arguments.minutes), report, arguments.kept)
        report.problems += judge(report)
        keep(report, arguments.kept)
    print(tell(report))
    if arguments.page is not None and (report.minutes >= HOUR or arguments.tell is not None):
        write(report, arguments.page)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
