"""What a simulated device is like: how fast it computes, how well it is connected, and when it is there.

All draws of a device come from generators of its own, one for each purpose, seeded with the seed of the
simulation and the name of the actor. So its n-th draw is the same in every run, whatever the others do.
"""

from __future__ import annotations

import bisect
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roleml.core.builders.errors import Problems
from roleml.core.builders.schema import Field, Kind, ListOf, MappingOf, Name, Number, Record, Text
from roleml.library.roles.conductor.helpers import match_actors

__all__ = ["DEVICES", "ONLINE_ALWAYS", "Availability", "Device", "Intervals", "OnOff", "device_of"]

BITS_PER_BYTE = 8


class Availability:
    """When a device is connected. Times are seconds since the start of the simulation."""

    def next_online(self, time_s: float) -> float:
        """The first moment from ``time_s`` on at which the device is connected; ``inf``: never again."""
        return time_s


ONLINE_ALWAYS = Availability()


class Intervals(Availability):
    """Connected during these intervals, the last of which may be open (``None``)."""

    def __init__(self, intervals: Sequence[Sequence[float | None]]) -> None:
        self._intervals = sorted(
            (float(begin or 0.0), math.inf if end is None else float(end)) for begin, end in intervals
        )

    def next_online(self, time_s: float) -> float:
        for begin, end in self._intervals:
            if time_s < end:
                return max(begin, time_s)
        return math.inf


class OnOff(Availability):
    """Connected at first, then away and back by turns, for exponentially distributed times of these means."""

    def __init__(self, mean_on_s: float, mean_off_s: float, draws: random.Random) -> None:
        self._means_s = (mean_on_s, mean_off_s)
        self._draws = draws
        self._changes = [0.0]  # even positions: comes, odd ones: goes

    def next_online(self, time_s: float) -> float:
        while self._changes[-1] <= time_s or len(self._changes) % 2 == 0:
            mean_s = self._means_s[(len(self._changes) - 1) % 2]
            self._changes.append(self._changes[-1] + self._draws.expovariate(1 / mean_s))
        position = bisect.bisect_right(self._changes, time_s) - 1
        return time_s if position % 2 == 0 else self._changes[position + 1]


@dataclass
class Device:
    """One actor's device. Rates are bytes a second, ``inf`` for no limit."""

    #: of its processor, as a share of this machine's; 0.25: handlers take four times as long
    speed: float = 1.0
    #: by channel, how long a handler takes at least
    seconds: Mapping[str, float] = field(default_factory=dict)
    up_bytes_per_s: float = math.inf
    down_bytes_per_s: float = math.inf
    latency_s: float = 0.0
    jitter_s: float = 0.0
    online: Availability = ONLINE_ALWAYS
    seed: str = ""

    @property
    def slows_handlers(self) -> bool:
        return self.speed < 1.0 or bool(self.seconds)

    @property
    def delays_messages(self) -> bool:
        limited = min(self.up_bytes_per_s, self.down_bytes_per_s) < math.inf
        return limited or self.latency_s + self.jitter_s > 0 or self.online is not ONLINE_ALWAYS


class _Interval(ListOf):
    """A begin and an end."""

    def check(self, value: Any, path: Any, problems: Problems) -> None:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            problems.add(path, f"expected [begin, end] in seconds, not {value!r}", at_value=True)
            return
        begin, end = value
        for position, each in enumerate(value):
            if each is not None or position == 0:
                self.item.check(each, (*path, position), problems)
        if all(isinstance(each, int | float) for each in value) and end <= begin:
            problems.add(path, f"the interval ends at {end:g}, before it begins", at_value=True)


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as e:
        raise ValueError(f"{text!r} is no regular expression: {e}") from e


_SECONDS: Kind = Number("a time in seconds", 0)
_MILLISECONDS = Number("a time in milliseconds", 0)
_RATE = Number("a rate in Mbit/s", 0, above=True)

DEVICE = Record(
    "device",
    "a device",
    {
        "speed": Field(
            Number("a share", 0, above=True),
            "of this machine's speed: with 0.25 handlers take four times as long",
            default=1.0,
        ),
        "seconds": Field(
            MappingOf(Text("a channel"), _SECONDS, "channels to seconds"),
            "how long the handler of a service or task takes at least",
        ),
        "up_mbps": Field(_RATE, "what it can send, in Mbit/s"),
        "down_mbps": Field(_RATE, "what it can receive, in Mbit/s"),
        "latency_ms": Field(_MILLISECONDS, "between it and the broker, each way", default=0),
        "jitter_ms": Field(_MILLISECONDS, "added to the latency: anything from 0 to this", default=0),
        "online": Field(
            ListOf(_Interval(_SECONDS, "times"), "intervals"),
            "when it is connected, as [begin, end] in seconds from the start; null for an open end",
        ),
        "mean_on_s": Field(
            Number("a time in seconds", 0, above=True),
            "how long it is connected, on average; needs mean_off_s",
        ),
        "mean_off_s": Field(
            Number("a time in seconds", 0, above=True), "how long it is away after that, on average"
        ),
    },
)

#: the section `devices`: patterns of actor names to devices; the first that matches counts
DEVICES = MappingOf(Name("a pattern of actor names", _check_pattern), DEVICE, "patterns to devices")


def device_of(actor: str, devices: Mapping[str, Mapping[str, Any]], seed: int) -> Device:
    """The device of an actor, by the first pattern that matches its name; a perfect one if none does."""
    for pattern, spec in devices.items():
        if match_actors([actor], pattern):
            return _device(actor, spec, seed)
    return Device(seed=f"{seed}/{actor}")


def _device(actor: str, spec: Mapping[str, Any], seed: int) -> Device:
    online = ONLINE_ALWAYS
    if spec.get("online") is not None:
        online = Intervals(spec["online"])
    elif spec.get("mean_off_s") is not None:
        draws = random.Random(f"{seed}/{actor}/online")
        online = OnOff(spec.get("mean_on_s") or spec["mean_off_s"], spec["mean_off_s"], draws)
    return Device(
        speed=spec.get("speed") or 1.0,
        seconds=spec.get("seconds") or {},
        up_bytes_per_s=_bytes_per_s(spec.get("up_mbps")),
        down_bytes_per_s=_bytes_per_s(spec.get("down_mbps")),
        latency_s=(spec.get("latency_ms") or 0) / 1000,
        jitter_s=(spec.get("jitter_ms") or 0) / 1000,
        online=online,
        seed=f"{seed}/{actor}",
    )


def _bytes_per_s(mbps: float | None) -> float:
    return math.inf if mbps is None else mbps * 1e6 / BITS_PER_BYTE
