"""`roleml logs`: the logs of all actors in one place."""

from __future__ import annotations

import argparse
import json
import logging
import queue
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from roleml.cli.command import INTERRUPTED, at_least, positive
from roleml.cli.foreground import telling
from roleml.cli.launch import add_expected, add_management, add_observing
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import EventHandler
from roleml.core.role.types import Args, Payloads

if TYPE_CHECKING:
    from roleml.cli.status.survey import Surveyor
    from roleml.core.actor.actor import BaseActor

__all__ = ["register", "run"]

DESCRIPTION = """\
Show what the actors of a running application log, as it comes, until Ctrl-C. It comes through the broker: no
actor has to be reached, and nothing is installed. Each actor passes on at most 50 lines in a second, and
tells how many it left out. Whom to ask is known to the broker's management plugin, or to a configuration."""

EXIT_CODES = """\
exit codes: 0 as many as asked for came, or the time is over; 2 the command line is wrong; 3 the broker cannot
be reached, or nobody tells who there is; 130 interrupted"""

#: How often to look for actors that are new.
LOOK_S = 2.0


class _Lines(NamedTuple):
    actor: str
    records: list[Mapping[str, Any]]
    dropped: int


class _Listener(Role):
    """Follows the logs of the relationship `logged`."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: queue.SimpleQueue[_Lines] = queue.SimpleQueue()

    @EventHandler("logged", "log")
    def on_log(self, source: RoleInstanceID, args: Args, _: Payloads) -> None:
        self.arrived.put(_Lines(source.actor_name, args["records"], args["dropped"]))


def register(commands: Any) -> None:
    """Add `logs` to the command line."""
    parser = commands.add_parser(
        "logs", help="follow the logs of all actors", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add_expected(parser)
    add("--actor", metavar="NAME", action="append", help="only of this one; may be repeated")
    add(
        "--level",
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        default="INFO",
        help="the lowest that is shown; what an actor does not log at all cannot be (default: %(default)s)",
    )
    add("-n", "--number", metavar="N", type=at_least(1), help="end after so many lines")
    add("--for", dest="seconds", metavar="SECONDS", type=positive, help="end after so many")
    add("--json", action="store_true", help="one JSON object a line")
    add_observing(parser)
    add_management(parser)
    parser.set_defaults(run=run)


@telling("roleml logs")
def run(arguments: argparse.Namespace) -> int:
    """Follow, print, and return the exit code."""
    from roleml.cli.observe.observer import observing
    from roleml.cli.status.command import expected_actors, surveyor_of

    listener, expected = _Listener(), expected_actors(arguments)
    try:
        with observing(arguments.broker, listener, name=arguments.name) as actor:
            surveyor = surveyor_of(actor, arguments, expected)
            _follow(actor, surveyor, listener, arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _follow(actor: BaseActor, surveyor: Surveyor, listener: _Listener, arguments: argparse.Namespace) -> None:
    now = time.monotonic()
    end_s, look_s = None if arguments.seconds is None else now + arguments.seconds, now
    left, followed = arguments.number, set[str]()
    while (left is None or left > 0) and (end_s is None or now < end_s):
        if now >= look_s:
            names = arguments.actor or surveyor.connected()
            for name in set(names) - followed:
                actor.ctx.relationships.add_to_relationship("logged", RoleInstanceID(name, "actor"))
            followed.update(names)
            look_s = now + LOOK_S
        try:
            lines = listener.arrived.get(timeout=max(0.0, min(look_s, end_s or look_s) - now))
        except queue.Empty:
            pass
        else:
            shown = _show(lines, arguments, left)
            left = None if left is None else left - shown
        now = time.monotonic()


def _show(lines: _Lines, arguments: argparse.Namespace, most: int | None) -> int:
    lowest = logging.getLevelName(arguments.level)
    records = [each for each in lines.records if logging.getLevelName(each["level"]) >= lowest][:most]
    for record in records:
        if arguments.json:
            print(json.dumps({"actor": lines.actor, **record}, default=str), flush=True)
        else:
            at = time.strftime("%H:%M:%S", time.localtime(record["time"]))
            print(f"{at} {lines.actor} {record['level']} [{record['logger']}] {record['text']}", flush=True)
    if lines.dropped:
        print(f"{lines.actor} left out {lines.dropped} lines", file=sys.stderr, flush=True)
    return len(records)
