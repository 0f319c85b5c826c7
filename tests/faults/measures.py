"""What a process, a broker and the tables within an actor take, in numbers that ought to stay as they are."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from tests.broker.console import ConsoleError
from tests.broker.node import Node

__all__ = ["RESTLESS", "RINGS", "Tolerance", "broker", "growth", "process", "tables"]

MIB = 1 << 20


def process(pid: int) -> dict[str, float]:
    """Resident memory in MiB, threads, and file descriptors, from /proc."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return {
        "memory MiB": int(status["VmRSS"].split()[0]) / 1024,
        "threads": int(status["Threads"]),
        "descriptors": len(list((folder / "fd").iterdir())),
    }


def broker(node: Node, vhost: str) -> dict[str, float]:
    """What is on a node of its own, and what its Erlang machine takes once it has collected garbage."""
    node.evaluate("[erlang:garbage_collect(Pid) || Pid <- erlang:processes()], ok")
    everything, connections = node.list_queues(vhost), connected(node, vhost)
    # An actor's last will is a message that it holds as long as it lives.
    wills = [row for row in everything if row["name"].endswith(".@will")]
    queues = [row for row in everything if row not in wills]
    system: list[int] = node.evaluate(
        "[erlang:memory(total), erlang:system_info(process_count), length(rabbit_channel:list())]"
    )
    return {
        "memory MiB": system[0] / MIB,
        "Erlang processes": system[1],
        "descriptors": process(node.pid)["descriptors"],
        "queues": len(everything),
        "exchanges": len(node.list_exchanges(vhost)),
        "bindings": len(node.list_bindings(vhost)),
        "connections": len(connections),
        "channels": system[2],
        "last wills": sum(row["messages_unacknowledged"] for row in wills),
        "messages ready": sum(row["messages_ready"] for row in queues),
        "messages unacknowledged": sum(row["messages_unacknowledged"] for row in queues),
    }


def connected(node: Node, vhost: str) -> list[dict[str, Any]]:
    """Its connections. The broker cannot tell while one begins or ends."""
    for _ in range(50):
        try:
            return list(node.list_connections(vhost))
        except ConsoleError:
            time.sleep(0.1)
    return list(node.list_connections(vhost))


# ---- the tables of an actor

#: What remembers a limited number of things, and so grows until it is full, by design.
RINGS = {
    "Seen._ids",  # of messages, 20,000 of each kind
    *("Served._requests", "Served._answers", "Outgoing.headers"),  # requests, 20,000, and answers, 1,000
    *("TunedConnection._recent", "Properties.headers"),  # decoded headers
    *("Traffic._calls", "Traffic._links"),  # who called what, 1,000, and bytes for whom, 10,000
}
#: Timers, of pika also those that were cancelled and are not due; and what hangs on channels, which are lent.
RESTLESS = {"Connection._timers", "_Timer._timeout_heap", "CallbackManager._stack"}
GROWING = (dict, list, set, deque)
CONTAINERS = (*GROWING, frozenset, tuple)
#: whose objects are looked into
PACKAGES = ("roleml", "pika")


def tables(*roots: object) -> dict[str, int]:
    """How many entries the containers have that can be reached from these objects, and from all modules of
    roleml, by class and attribute. Nobody has to name a table for it to be seen here.

    Before that, what is not in use is given back, so that memory measured afterwards is in use.
    """
    give_back()
    for _ in range(10):
        try:
            return dict(_count(roots))
        except RuntimeError:  # one changed while it was looked at
            continue
    raise RuntimeError("the tables never rest")


def give_back() -> None:
    """Collect garbage, and return to the system what the allocator keeps of what was freed."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _count(roots: Sequence[object]) -> Counter[str]:
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [(type(root).__name__, root) for root in roots]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "roleml":
            waiting += [
                (f"{name}.{key}", value)
                for key, value in list(vars(module).items())
                if not key.startswith("__") and (isinstance(value, CONTAINERS) or _is_ours(value))
            ]
    while waiting:
        name, each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, CONTAINERS):
            if isinstance(each, GROWING):
                counts[name] += len(each)
            values = [*each.values(), *each.keys()] if isinstance(each, dict) else list(each)
            waiting += [(f"{name}[]", value) for value in values if _leads_on(value)]
        else:
            waiting += [(name, value) for name, value in _parts(each) if _leads_on(value)]
    return counts


def _is_ours(value: object) -> bool:
    return type(value).__module__.partition(".")[0] in PACKAGES and not isinstance(value, type)


def _leads_on(value: object) -> bool:
    return isinstance(value, (*CONTAINERS, partial, MethodType, FunctionType)) or _is_ours(value)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What an object holds, by name."""
    if isinstance(value, MethodType):
        yield "method", value.__self__
    elif isinstance(value, partial):
        yield "partial", (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield "closure", cell.cell_contents
            except ValueError:  # empty
                continue
    else:
        cls = type(value)
        for name, part in list(getattr(value, "__dict__", {}).items()):
            yield f"{cls.__name__}.{name}", part
        for base in cls.__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    yield f"{cls.__name__}.{name}", getattr(value, name)


# ---- the judgement


@dataclass(frozen=True)
class Tolerance:
    """By how much a measure may rise: a number, or a share of where it began if that is more."""

    absolute: float
    share: float = 0.0

    def of(self, begin: float) -> float:
        return max(self.absolute, self.share * begin)


def growth(windows: Sequence[float], tolerance: Tolerance) -> float | None:
    """How much a measure has grown, if that is more than is tolerated; `None` if it is flat.

    ``windows`` are its medians in comparable windows of quiet, one after the other, those of warming up left
    out. Two things are looked at. The median of the last three windows against that of the first three: what
    was taken and is not given back. And the slope over the second half, times its length: what goes on
    growing, even from below where it began. The slope is the median of those between all pairs of windows,
    so a single odd window neither makes nor hides it.
    """
    if not windows:
        return None
    few = min(3, max(1, len(windows) // 2))
    begin, end = statistics.median(windows[:few]), statistics.median(windows[-few:])
    half = windows[len(windows) // 2 :]
    risen = end - begin
    if len(half) >= 4:
        slopes = [(half[j] - half[i]) / (j - i) for i in range(len(half)) for j in range(i + 1, len(half))]
        risen = max(risen, statistics.median(slopes) * (len(half) - 1))
    return risen if risen > tolerance.of(begin) else None


def window(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The medians of the samples of one window."""
    return {
        name: statistics.median([sample[name] for sample in samples if name in sample])
        for name in dict.fromkeys(name for sample in samples for name in sample)
    }
