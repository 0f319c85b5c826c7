"""A survey as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from roleml.cli.status.survey import Backlog, Sight, Survey

__all__ = ["ago", "lines", "size"]

HEADINGS = "ACTOR PRESENCE ROLE STATUS WAITING RUNNING HANDLED FAILED RATE/s SENT".split()
NUMBERS = slice(4, None)
NATIVE = "actor"
#: A call that waits longer than this is worth a line.
LONG_S = 10.0
#: As many such calls are told of each actor.
MOST_CALLS = 3


def lines(survey: Survey, before: Survey | None = None) -> list[str]:
    """The table, and below it what somebody should look at. Rates are since the survey ``before``."""
    rows = [row for sight in survey.actors.values() for row in _rows(sight, survey, before)]
    online = sum(sight.presence == "online" for sight in survey.actors.values())
    told = [f"{online} of {len(survey.actors)} actors online"]
    if survey.without_queues is not None:
        told.append(f"what waits at the broker is not shown: {survey.without_queues}")
    remarks = [remark for sight in survey.actors.values() for remark in _remarks(sight, survey)]
    return [*_table(rows), "", *told, *(f"! {remark}" for remark in remarks)]


def _rows(sight: Sight, survey: Survey, before: Survey | None) -> Iterator[Sequence[str]]:
    roles: Mapping[str, Mapping[str, Any]] = (sight.report or {}).get("roles", {})
    names = [name for name in roles if name != NATIVE]
    names += sorted(name for name in sight.backlogs if name not in roles and name != NATIVE)
    sent = size(sight.report["sent"]["nbytes"]) if sight.report else ""
    for i, name in enumerate(names or [""]):
        role, backlog = roles.get(name, {}), sight.backlogs.get(name, Backlog())
        yield (
            sight.name if i == 0 else "",
            _presence(sight) if i == 0 else "",
            name,
            role.get("status", ""),
            "" if survey.without_queues or not name else str(backlog.services + backlog.tasks),
            str(role.get("executing", "")),
            str(role.get("handled", "")),
            str(role.get("failures", "")),
            _rate(sight, name, survey, before),
            sent if i == 0 else "",
        )


def _presence(sight: Sight) -> str:
    if sight.presence == "online" and sight.report:
        return f"online {ago(sight.report['up_s'])}"
    return sight.presence if sight.gone_s is None else f"{sight.presence} {ago(sight.gone_s)}"


def _rate(sight: Sight, role: str, survey: Survey, before: Survey | None) -> str:
    earlier = before.actors.get(sight.name) if before is not None else None
    if before is None or earlier is None or not sight.report or not earlier.report:
        return ""
    if sight.report["up_s"] < earlier.report["up_s"]:  # it was started again, and counts from 0
        return ""
    counts = [report["roles"].get(role, {}).get("handled") for report in (earlier.report, sight.report)]
    if None in counts:
        return ""
    return f"{(counts[1] - counts[0]) / (survey.at_s - before.at_s):.1f}"


def _remarks(sight: Sight, survey: Survey) -> Iterator[str]:
    if sight.presence != "online" and sight.tasks_waiting:
        yield f"{sight.tasks_waiting} tasks wait for {sight.name}, which is {sight.presence}"
    if sight.set_aside:
        yield f"{sight.set_aside} tasks of {sight.name} were set aside: each killed it three times"
    if sight.presence == "silent":
        yield f"{sight.name} is connected and does not answer: is its process stopped, or out of memory?"
    report = sight.report
    if not report:
        return
    long = [call for call in report["waiting_for"] if call["for_s"] > LONG_S]
    for call in long[:MOST_CALLS]:
        callee = survey.actors.get(call["target"].partition("/")[0])
        if callee is not None and callee.presence != "online":
            what = f"of an actor that is {callee.presence}"
        else:
            what = "that runs" if call["accepted"] else "that is not answered"
        kind, target, duration = call["kind"], call["target"], ago(call["for_s"])
        yield f"{sight.name} has waited {duration} for the {kind} {target} {what}"
    if len(long) > MOST_CALLS:
        yield f"{sight.name} waits for {len(long) - MOST_CALLS} more"
    for payload in report["arriving"]:
        whole = f" of {size(payload['total'])}" if payload["total"] else ""
        source = payload["source"].rstrip("/")
        yield f"{sight.name} has {size(payload['nbytes'])}{whole} of a payload from {source}"
    for reason, number in report["rejected"].items():
        yield f"{sight.name} rejected {number} messages: {reason}"
    if failure := report["last_failure"]:
        text = failure["text"].partition("\n")[0]
        yield f"{failure['where']} failed {ago(failure['ago_s'])} ago: {failure['type']}: {text}"


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    everything = [HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    numbers = set(range(len(HEADINGS))[NUMBERS])
    for row in everything:
        cells = zip(row, widths, strict=True)
        aligned = [f"{cell:>{w}}" if i in numbers else f"{cell:<{w}}" for i, (cell, w) in enumerate(cells)]
        yield "  ".join(aligned).rstrip()


def ago(seconds: float) -> str:
    """A duration in its largest unit, such as ``3 min``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(nbytes: float) -> str:
    """A number of bytes in its largest unit, such as ``1.5 MB``."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= length:
            return f"{nbytes / length:.1f} {unit}"
    return f"{nbytes:.0f} B"
