"""`roleml tail`: follows events."""

from __future__ import annotations

import argparse
import json
import queue
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from roleml.cli.command import INTERRUPTED, at_least
from roleml.cli.foreground import telling
from roleml.cli.launch import add_observing
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import EventHandler
from roleml.core.role.types import Args, Payloads

__all__ = ["register", "run"]

DESCRIPTION = """\
Print events of roles that run somewhere as they come, until Ctrl-C. A role that is not there yet, or goes and
comes back, is followed as soon as it is there. Payloads are only named."""

EXIT_CODES = """\
exit codes: 0 as many as asked for came; 1 it failed; 2 the command line is wrong; 3 the broker cannot be
reached; 130 interrupted"""


class _Arrival(NamedTuple):
    channel: str
    source: str
    args: Mapping[str, Any]
    payloads: list[str]


def register(commands: Any) -> None:
    """Add `tail` to the command line."""
    parser = commands.add_parser("tail", help="follow events", description=DESCRIPTION, epilog=EXIT_CODES)
    add = parser.add_argument
    add("target", metavar="TARGET", help="actor/role, or several with commas between them")
    add("channels", metavar="EVENT", nargs="+", help="names of events, such as round-completed")
    add_observing(parser)
    add("-n", "--number", metavar="N", type=at_least(1), help="end after so many")
    add("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


@telling("roleml tail")
def run(arguments: argparse.Namespace) -> int:
    """Follow, print, and return the exit code."""
    from roleml.cli.observe.observer import observing, target_of

    targets = [target_of(text) for text in arguments.target.split(",")]
    arrivals: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
    follower = _follower(arguments.channels, arrivals)
    try:
        with observing(arguments.broker, follower, {"followed": targets}, arguments.name):
            left = arguments.number
            while left is None or left > 0:
                _show(arrivals.get(), as_json=arguments.json)
                left = None if left is None else left - 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _follower(channels: Sequence[str], arrivals: queue.SimpleQueue[_Arrival]) -> Role:
    """A role with a handler for each of these events of the relationship `followed`."""

    def following(channel: str) -> Any:
        def take(self: Role, source: RoleInstanceID, args: Args, payloads: Payloads) -> None:
            arrivals.put(_Arrival(channel, str(source), args, sorted(payloads)))

        return EventHandler("followed", channel)(take)

    body = {f"on_{number}": following(channel) for number, channel in enumerate(channels)}
    follower: Role = type("Follower", (Role,), body)()
    return follower


def _show(arrival: _Arrival, *, as_json: bool) -> None:
    if as_json:
        line = {"time": time.time(), **arrival._asdict(), "args": dict(arrival.args)}
        print(json.dumps(line, default=str), flush=True)
        return
    args = ", ".join(f"{name}={_shown(value)}" for name, value in arrival.args.items())
    payloads = f" + {', '.join(arrival.payloads)}" if arrival.payloads else ""
    print(f"{time.strftime('%H:%M:%S')} {arrival.source} {arrival.channel}: {args}{payloads}", flush=True)


def _shown(value: object) -> str:
    """As Python shows it, but ids of roles as people write them."""
    if isinstance(value, RoleInstanceID):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)
