"""What a run's folder tells: curves, spans of work, who took part, and bytes from whom to whom."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from roleml.core.context import RoleInstanceID
from roleml.library.roles.recorder.entries import RECORD, Entry, read_record
from roleml.library.roles.recorder.recording import ACTORS

__all__ = ["Curve", "Link", "Run", "Share", "Span", "in_order"]

SECONDS = "seconds"
PARTICIPANTS = "participants"
#: What belongs to a round may be logged a little after its end.
LATE_S = 0.25


class Span(NamedTuple):
    """Work that took `seconds` and began `begin` seconds after the run did."""

    source: RoleInstanceID
    begin: float
    seconds: float


@dataclass(frozen=True)
class Curve:
    """The values of one name that the roles of one name logged, each as `(step, value)`."""

    role: str
    name: str
    series: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Share:
    """What one role instance did in a run."""

    source: RoleInstanceID
    times: int
    total_s: float
    longest_s: float
    #: in how many rounds it was asked to take part, and logged nothing
    missing: int
    #: in how many it was asked
    asked: int

    @property
    def mean_s(self) -> float:
        return self.total_s / self.times if self.times else 0.0


class Link(NamedTuple):
    """Bytes that one actor sent to another, without those of events."""

    source: str
    target: str
    nbytes: int


@dataclass(frozen=True)
class Run:
    """Everything that is known of a run."""

    folder: Path
    entries: Sequence[Entry]
    #: the last report of each actor, by name
    actors: Mapping[str, Mapping[str, Any]]
    #: in seconds since 1970
    began: float
    ended: float
    #: as it was written beside the record, if it was
    configuration: str | None

    @staticmethod
    def read(folder: Path) -> Run:
        """Read a folder that a recorder wrote.

        Raises:
            OSError: there is no record in it, or it cannot be read.
            ValueError: a file in it is damaged.
        """
        entries = read_record(folder / RECORD)
        told: dict[str, Any] = {}
        if (folder / ACTORS).exists():
            told = json.loads((folder / ACTORS).read_text(encoding="utf-8"))
        starts = [entry.time - _seconds(entry) for entry in entries]
        began = min([told["began"], *starts]) if "began" in told else min(starts, default=0.0)
        ended = max([told.get("ended", 0.0), *(entry.time for entry in entries)])
        config = folder / "config.yaml"
        text = config.read_text(encoding="utf-8") if config.exists() else None
        return Run(folder, entries, told.get("actors", {}), began, ended, text)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def curves(self) -> list[Curve]:
        """A curve for each role name and each number that such roles logged more than once."""
        found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
        for entry in self.entries:
            for name, value in entry.numbers():
                if name != SECONDS:
                    key = (entry.source.instance_name, name)
                    series = found.setdefault(key, {}).setdefault(entry.source.actor_name, [])
                    series.append((len(series) + 1 if entry.step is None else entry.step, value))
        return [
            Curve(role, name, {actor: sorted(series[actor]) for actor in in_order(series)})
            for (role, name), series in sorted(found.items())
            if any(len(points) > 1 for points in series.values())
        ]

    def spans(self) -> list[Span]:
        """The work that was logged with its duration, as `seconds`."""
        return [
            Span(entry.source, entry.time - _seconds(entry) - self.began, _seconds(entry))
            for entry in self.entries
            if _seconds(entry) > 0
        ]

    def shares(self) -> list[Share]:
        """What each role instance did that logged a duration or was asked to take part, the slowest first."""
        durations: dict[RoleInstanceID, list[float]] = defaultdict(list)
        moments: dict[RoleInstanceID, list[float]] = defaultdict(list)
        for entry in self.entries:
            moments[entry.source].append(entry.time)
            if _seconds(entry) > 0:
                durations[entry.source].append(_seconds(entry))
        asked: dict[RoleInstanceID, int] = defaultdict(int)
        missing: dict[RoleInstanceID, int] = defaultdict(int)
        for entry in self.entries:
            for member in _participants(entry):
                asked[member] += 1
                begin, end = entry.time - _seconds(entry), entry.time + LATE_S
                missing[member] += not any(begin <= moment <= end for moment in moments[member])
        shares = [
            Share(
                source,
                len(durations[source]),
                sum(durations[source]),
                max(durations[source], default=0.0),
                missing[source],
                asked[source],
            )
            for source in {*durations, *asked}
        ]
        return sorted(shares, key=lambda share: (-share.mean_s, _natural(str(share.source))))

    def links(self) -> list[Link]:
        """Who sent how much to whom, the most first."""
        links = [
            Link(source, target, nbytes)
            for source, report in self.actors.items()
            for target, nbytes in report.get("links", {}).items()
            if target in self.actors and nbytes
        ]
        return sorted(links, key=lambda link: -link.nbytes)


def in_order(names: Iterable[str]) -> list[str]:
    """As people order them: client2 before client10."""
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _seconds(entry: Entry) -> float:
    value = entry.values.get(SECONDS)
    return float(value) if isinstance(value, int | float) else 0.0


def _participants(entry: Entry) -> list[RoleInstanceID]:
    members = entry.values.get(PARTICIPANTS)
    if not isinstance(members, list):
        return []
    return [RoleInstanceID.of(member) for member in members if isinstance(member, str) and "/" in member]
