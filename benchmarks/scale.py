"""What many actors cost: 25 to 200 of them in 4 processes, with 10 queues and 50 subscriptions each.

Starts a node of its own, since it looks into it. The sweep tells what each further actor costs, and what
grows faster than the number of actors. Exit code 1 if the broker holds anything after all have left.

    python benchmarks/scale.py [--quick] [--json FILE] [--page]
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from fleet import COHORTS, Fleet, Plan, Usage
from holdings import Holdings, Piece, connections, cpu_s, delete_task_queues, pieces
from rows import Row, machine, report, write, write_between
from runtime_broker import bytes_sent

from tests.broker.node import Node

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
BEGIN, END = "<!-- made by benchmarks/scale.py: begin -->", "<!-- made by benchmarks/scale.py: end -->"
VHOST = "scale"
SMALL_BUFFERS = {f"tcp_listen_options.{name}": "32768" for name in ("sndbuf", "recbuf")}
PAYLOAD_BYTES = 2_000_000
#: Of everything: what all actors share.
SHARED_EXCHANGES = 2
EMPTY_S = 10.0


@dataclass(frozen=True)
class Run:
    """One fleet, from its start to its end. Times in seconds."""

    members: int
    neighbours: int
    subscriptions: int
    start_s: float
    start_cpu_s: float
    start_broker_cpu_s: float
    used: Usage
    held: Holdings
    event_s: float
    deliveries_per_s: float
    group_s: float
    large_group_s: float
    uploaded_bytes: int
    noticed_s: float
    lost_s: float
    back_s: float
    stop_s: float
    stop_broker_cpu_s: float
    #: queues in which tasks would have waited for the actors to come back
    waiting: int
    left: Holdings

    @property
    def remains(self) -> int:
        """How many things the broker holds that are not shared by all actors."""
        left = self.left
        counts = left.connections, left.channels, left.queues, left.bindings, left.messages
        return sum(counts) + left.exchanges - SHARED_EXCHANGES


def run(node: Node, plan: Plan, events: int) -> Run:
    node.add_vhost(VHOST)
    url, nothing = node.url(vhost=VHOST), Holdings.of(node, VHOST)
    with Fleet(plan, url) as fleet:
        before, broker_before_s, began = fleet.ask("usage"), cpu_s(node), time.monotonic()
        fleet.ask("start")
        start_s = max(fleet.ask("complete")) - began
        start_broker_cpu_s = cpu_s(node) - broker_before_s
        used = Usage.sum(fleet.ask("usage")) - Usage.sum(before)
        held = Holdings.of(node, VHOST) - nothing
        event_s, deliveries_per_s = _fan_out(fleet, events)
        group_s, large_group_s, uploaded_bytes = _group_calls(fleet, url)
        noticed_s = _kill_one(fleet)
        lost_s, back_s = _kill_process(fleet)
        broker_before_s, began = cpu_s(node), time.monotonic()
        fleet.ask("stop")
        stop_s, stop_broker_cpu_s = time.monotonic() - began, cpu_s(node) - broker_before_s
        fleet.remove_hub()
    waiting = delete_task_queues(node, VHOST)
    left = _what_is_left(node, nothing)
    node.delete_vhost(VHOST)
    return Run(
        members=plan.members,
        neighbours=plan.neighbours,
        subscriptions=plan.subscriptions,
        start_s=start_s,
        start_cpu_s=used.cpu_s,
        start_broker_cpu_s=start_broker_cpu_s,
        used=used,
        held=held,
        event_s=event_s,
        deliveries_per_s=deliveries_per_s,
        group_s=group_s,
        large_group_s=large_group_s,
        uploaded_bytes=uploaded_bytes,
        noticed_s=noticed_s,
        lost_s=lost_s,
        back_s=back_s,
        stop_s=stop_s,
        stop_broker_cpu_s=stop_broker_cpu_s,
        waiting=waiting,
        left=left,
    )


def _fan_out(fleet: Fleet, events: int) -> tuple[float, float]:
    """Seconds from an event to the last of its handlers, and handlers per second of many events."""
    times = []
    for number in range(5):
        began = time.monotonic()
        fleet.hub.news.emit({"number": number})
        times.append(max(fleet.ask("heard", 1)) - began)
    began = time.monotonic()
    for number in range(events):
        fleet.hub.news.emit({"number": number})
    seconds = max(fleet.ask("heard", events)) - began
    for cohort in range(min(3, COHORTS)):
        fleet.hub.picked.emit({"cohort": cohort})
        fleet.ask("heard", 1, cohort)  # by these and nobody else, or it raises
    return statistics.median(times), events * 2 * fleet.plan.members / seconds


def _group_calls(fleet: Fleet, url: str) -> tuple[float, float, int]:
    """Seconds until all have answered a small call, and one with a payload; bytes that left for that."""
    fleet.hub.call_group(fleet.plan.workers, "take", {"data": 0})  # gets to know them
    times = []
    for _ in range(5):
        began = time.monotonic()
        fleet.hub.call_group(fleet.plan.workers, "take", {"data": 0})
        times.append(time.monotonic() - began)
    data = np.ones(PAYLOAD_BYTES, np.uint8)
    sent, began = bytes_sent(url), time.monotonic()
    fleet.hub.call_group(fleet.plan.workers, "take", None, {"data": data})
    return statistics.median(times), time.monotonic() - began, bytes_sent(url) - sent


def _kill_one(fleet: Fleet) -> float:
    """Seconds until calls of all members to an actor have failed, since its process was killed."""
    doomed = fleet.doomed()
    fleet.ask("call_doomed")
    doomed.ask("called", fleet.plan.members)
    began = time.monotonic()
    doomed.kill()
    noticed_s = max(fleet.ask("noticed_doom")) - began
    successor = fleet.doomed()  # takes over what was left, and leaves as one should
    successor.ask("leave")
    successor.end()
    return noticed_s


def _kill_process(fleet: Fleet) -> tuple[float, float]:
    """Seconds until nobody counts on members of a killed process; until all are back since they came."""
    number = fleet.plan.processes - 1
    killed = fleet.kill_process(number)
    lost_s = max(fleet.survivors(number, "without", list(fleet.plan.of_process(number)))) - killed
    came = fleet.replace_process(number)
    return lost_s, max(fleet.ask("complete")) - came


def _what_is_left(node: Node, nothing: Holdings) -> Holdings:
    end = time.monotonic() + EMPTY_S
    while True:
        left = Holdings.of(node, VHOST) - nothing
        if not (left.connections or left.channels) or time.monotonic() > end:
            return left
        time.sleep(0.1)


# ---- the report


@dataclass(frozen=True)
class Line:
    """One measure: of a run, and how to write it."""

    name: str
    of: Callable[[Run], float]
    form: str = ",.0f"
    #: what each further actor adds has a meaning
    adds: bool = True
    #: does not depend on the machine, nor on what it does besides
    comparable: bool = False
    #: goes into the table of other numbers of neighbours, too
    in_short: bool = False


MB, KB = 1e6, 1e3
LINES = (
    Line("subscriptions", lambda run: run.subscriptions, comparable=True, in_short=True),
    Line("start, s", lambda run: run.start_s, ",.1f", in_short=True),
    Line("start, CPU s of the processes", lambda run: run.start_cpu_s, ",.1f", in_short=True),
    Line("start, CPU s of the broker", lambda run: run.start_broker_cpu_s, ",.1f", in_short=True),
    Line("processes: memory, MB", lambda run: run.used.memory_bytes / MB, ",.1f"),
    Line("processes: threads", lambda run: run.used.threads),
    Line("processes: descriptors", lambda run: run.used.descriptors, comparable=True),
    Line("broker: memory, MB", lambda run: run.held.memory_bytes / MB, ",.1f", in_short=True),
    Line("broker: Erlang processes", lambda run: run.held.processes),
    Line("broker: connections", lambda run: run.held.connections, comparable=True),
    Line("broker: channels", lambda run: run.held.channels),
    Line("broker: queues", lambda run: run.held.queues, comparable=True),
    Line("broker: exchanges", lambda run: run.held.exchanges, comparable=True),
    Line("broker: bindings", lambda run: run.held.bindings, comparable=True, in_short=True),
    Line("one event to all, ms to the last handler", lambda run: run.event_s * 1e3, ",.1f"),
    Line("many events to all, handlers/s", lambda run: run.deliveries_per_s, adds=False),
    Line("group call of all, ms", lambda run: run.group_s * 1e3, ",.1f"),
    Line("the same with 2 MB, ms", lambda run: run.large_group_s * 1e3, ",.1f"),
    Line("  MB that leave the caller", lambda run: run.uploaded_bytes / MB, ",.2f", comparable=True),
    Line("an actor is killed: s until all know", lambda run: run.noticed_s, ",.2f", adds=False),
    Line("a quarter is killed: s until all know", lambda run: run.lost_s, ",.1f", in_short=True),
    Line("the quarter comes back: s until all is as before", lambda run: run.back_s, ",.1f"),
    Line("all leave, s", lambda run: run.stop_s, ",.1f", in_short=True),
    Line("all leave, CPU s of the broker", lambda run: run.stop_broker_cpu_s, ",.1f"),
    Line("broker afterwards: queues of tasks", lambda run: run.waiting, comparable=True),
    Line("broker afterwards: anything else", lambda run: run.remains, comparable=True, adds=False),
)  # fmt: skip


def slope(line: Line, runs: Sequence[Run]) -> float:
    """What each further actor adds: least squares over the runs."""
    slope, _ = statistics.linear_regression([run.members for run in runs], [line.of(run) for run in runs])
    return slope


def growth(line: Line, runs: Sequence[Run]) -> float | None:
    """The exponent between the two largest runs: 1 is in proportion to the actors, 2 to their square."""
    (fewer, less), (more, most) = ((run.members, line.of(run)) for run in runs[-2:])
    return math.log(most / less) / math.log(more / fewer) if less > 0 and most > 0 else None


def rows(runs: Sequence[Run], others: Sequence[Run], found: Sequence[Piece]) -> Iterator[Row]:
    largest = runs[-1]
    for line in LINES:
        value = line.of(largest)
        each = f"{slope(line, runs):,.3g} for each further actor" if line.adds else ""
        holds = None if line.of is not LINES[-1].of else value == 0
        name = f"{largest.members} actors: {line.name}"
        more = line.name == "many events to all, handlers/s"
        target = "nothing" if holds is not None else ""
        yield Row(name, value, target, holds, each, more_is_better=more, comparable=line.comparable)
    for run in others:
        text = f"{run.subscriptions} subscriptions, {run.held.bindings} bindings"
        name = f"{run.members} actors with {run.neighbours} neighbours: s to start"
        yield Row(name, run.start_s, absolute=text, comparable=False)
    for piece in found:
        yield Row(f"broker: kB for one more {piece.name}", piece.memory_bytes / KB, comparable=False)


def tables(runs: Sequence[Run], others: Sequence[Run], found: Sequence[Piece], version: str) -> str:
    """In Markdown, with when and where it was made."""
    made = f"{time.strftime('%Y-%m-%d')}, RabbitMQ {version}, {machine()}, {platform.system()}."
    counts = [f"{run.members}" for run in runs]
    lines = [made, "", "| actors | " + " | ".join(counts) + " | each further one | exponent |"]
    lines += ["|---" * (len(runs) + 3) + "|"]
    for line in LINES:
        cells = [format(line.of(run), line.form) for run in runs]
        each = f"{slope(line, runs):,.3g}" if line.adds else ""
        exponent = growth(line, runs) if line.adds else None
        lines.append(
            "| " + " | ".join([line.name.strip(), *cells, each, f"{exponent:.2f}" if exponent else ""]) + " |"
        )
    few = [line for line in LINES if line.in_short]
    lines += ["", "With other numbers of neighbours, from none to all:", ""]
    lines += ["| actors | neighbours | " + " | ".join(line.name for line in few) + " |"]
    lines += ["|---" * (len(few) + 2) + "|"]
    for run in others:
        cells = [str(run.members), str(run.neighbours), *[format(line.of(run), line.form) for line in few]]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "What one more of each costs the broker, made by plain pika:", ""]
    lines += ["| | memory, kB | Erlang processes | descriptors | ms to make it |", "|---" * 5 + "|"]
    for piece in found:
        descriptors = round(piece.descriptors, 1) + 0.0  # no minus before a nought
        cells = [f"{piece.memory_bytes / KB:,.1f}", f"{piece.processes:.1f}", f"{descriptors:.1f}",
                 f"{piece.seconds * 1e3:.2f}"]  # fmt: skip
        lines.append(f"| {piece.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="up to 24 actors with 22 subscriptions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/scale.md")
    options = parser.parse_args()
    sizes, neighbours, others, processes, events, count = (
        ((6, 12, 24), 5, ((24, 0), (12, 11)), 2, 50, 50)
        if options.quick
        else ((25, 50, 100, 200), 23, ((50, 0), (200, 0), (25, 24), (50, 49)), 4, 200, 300)
    )
    fleets = [(members, neighbours) for members in sizes] + list(others)
    runs = []
    with Node() as node:
        print("measuring pieces ...", file=sys.stderr)
        found = [connections(node, count, "connection"), *pieces(node, count)]
        for members, neighbours in fleets:
            print(f"measuring {members} actors with {neighbours} neighbours ...", file=sys.stderr)
            runs.append(run(node, Plan("scale", members, neighbours, processes), events))
        version = node.version()
    with Node(settings=SMALL_BUFFERS) as node:
        found.insert(1, connections(node, count, "connection with TCP buffers of 32 KiB"))
    swept, rest = runs[: len(sizes)], runs[len(sizes) :]
    told = list(rows(swept, rest, found))
    report(told, "many actors")
    write(told, options.json)
    if options.page:
        write_between(PAGE, BEGIN, END, tables(swept, rest, found, version))
    for each in runs:
        if each.remains:
            print(f"after {each.members} actors the broker still holds {each.left}", file=sys.stderr)
    return 1 if any(each.remains for each in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
