"""What a simulated device is like: how fast it computes, how well it is connected, and when it is there.

All draws of a device come from generators of its own, one for each purpose, seeded with the seed of the
simulation and the name of the actor. So its n-th draw is the same in every run, whatever the others do.
"""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from roleml.core.builders.errors import Problems
from roleml.core.builders.schema import Field, ListOf, MappingOf, Name, Number, Record, Text
from roleml.library.roles.conductor.helpers import match_actors
from roleml.shared.suggestions import nearest
from roleml.simulation.availability import ONLINE_ALWAYS, Availability, Intervals, OnOff
from roleml.simulation.ranges import Interval, NumberOrRange, drawn

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath, Marks

__all__ = ["DEVICES", "Device", "check_devices", "device_of", "warn_of_unmatched"]

logger = logging.getLogger("roleml.simulation")

BITS_PER_BYTE = 8


@dataclass(frozen=True)
class Device:
    """One actor's device. Rates are bytes a second, ``inf`` for no limit."""

    #: of its processor, as a share of this machine's; 0.25: handlers take four times as long
    speed: float = 1.0
    #: by channel, how long a handler takes at least; a range is drawn from for each call
    seconds: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
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

    def draws(self, purpose: str) -> random.Random:
        """The generator of this device for that purpose, at its beginning."""
        return random.Random(f"{self.seed}/{purpose}")


class _Devices(MappingOf):
    """Patterns to devices, whose keys may depend on each other."""

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        super().check(value, path, problems)
        if isinstance(value, Mapping):
            for pattern, device in value.items():
                if isinstance(device, Mapping):
                    _check_online(device, (*path, pattern), problems)


def _check_online(device: Mapping[str, Any], path: KeyPath, problems: Problems) -> None:
    given = [key for key in ("online", "mean_on_s", "mean_off_s") if device.get(key) is not None]
    if len(given) > 1 and "online" in given:
        problems.add((*path, "online"), "either the times are given, or means to draw them from")
    elif len(given) == 1 and "online" not in given:
        other = "mean_off_s" if given == ["mean_on_s"] else "mean_on_s"
        problems.add((*path, given[0]), f"{given[0]} needs {other}: the two take turns")


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as e:
        raise ValueError(f"{text!r} is no regular expression: {e}") from e


_SECONDS = Number("a time in seconds", 0)
_MEAN = Number("a time in seconds", 0, above=True)
_RATE = NumberOrRange(Number("a rate in Mbit/s", 0, above=True))
_MILLISECONDS = NumberOrRange(Number("a time in milliseconds", 0))

DEVICE = Record(
    "device",
    "a device",
    {
        "speed": Field(
            NumberOrRange(Number("a share", 0, above=True)),
            "of this machine's speed: with 0.25 handlers take four times as long",
            default=1.0,
        ),
        "seconds": Field(
            MappingOf(Text("a channel"), NumberOrRange(_SECONDS), "channels to seconds"),
            "how long the handler of a channel takes at least",
        ),
        "up_mbps": Field(_RATE, "what it can send, in Mbit/s"),
        "down_mbps": Field(_RATE, "what it can receive, in Mbit/s"),
        "latency_ms": Field(_MILLISECONDS, "between it and the broker, each way", default=0),
        "jitter_ms": Field(_MILLISECONDS, "added to the latency: anything from 0 to this", default=0),
        "online": Field(
            ListOf(Interval(_SECONDS), "intervals"),
            "when it is connected, as [begin, end] in seconds from the start; null for an open end",
        ),
        "mean_on_s": Field(_MEAN, "how long it is connected, on average; needs mean_off_s"),
        "mean_off_s": Field(_MEAN, "how long it is away after that, on average"),
    },
)

#: the section `devices`: patterns of actor names to devices; the first that matches counts
DEVICES = _Devices(Name("a pattern of actor names", _check_pattern), DEVICE, "patterns to devices")


def check_devices(devices: Any, marks: Marks | None = None) -> None:
    """Raises ConfigError for all that is wrong with a section `devices` that is a document of its own."""
    problems = Problems(marks)
    DEVICES.check(devices, (), problems)
    problems.raise_if_any()


def warn_of_unmatched(devices: Iterable[str], actors: Sequence[str]) -> None:
    """Log the patterns that match none of the actors."""
    for pattern in devices:
        if not match_actors(actors, pattern):
            near = nearest(pattern, actors)
            hint = f"; the nearest is {near}" if near else ""
            logger.warning("devices: %r matches none of the %d actors%s", pattern, len(actors), hint)


def device_of(actor: str, devices: Mapping[str, Mapping[str, Any]], seed: int) -> Device:
    """The device of an actor, by the first pattern that matches its name; a perfect one if none does."""
    for pattern, spec in devices.items():
        if match_actors([actor], pattern):
            return _device(spec, Device(seed=f"{seed}/{actor}"))
    return Device(seed=f"{seed}/{actor}")


def _device(spec: Mapping[str, Any], perfect: Device) -> Device:
    def value(key: str, default: float) -> float:
        given = spec.get(key)
        return default if given is None else drawn(given, perfect.draws(key))

    return Device(
        speed=value("speed", 1.0),
        seconds=spec.get("seconds") or {},
        up_bytes_per_s=_bytes_per_s(value("up_mbps", math.inf)),
        down_bytes_per_s=_bytes_per_s(value("down_mbps", math.inf)),
        latency_s=value("latency_ms", 0.0) / 1000,
        jitter_s=value("jitter_ms", 0.0) / 1000,
        online=_availability(spec, perfect.draws),
        seed=perfect.seed,
    )


def _availability(spec: Mapping[str, Any], draws: Callable[[str], random.Random]) -> Availability:
    if spec.get("online") is not None:
        return Intervals(spec["online"])
    if spec.get("mean_off_s") is not None:
        return OnOff(spec["mean_on_s"], spec["mean_off_s"], draws("online"))
    return ONLINE_ALWAYS


def _bytes_per_s(mbps: float) -> float:
    return mbps * 1e6 / BITS_PER_BYTE
