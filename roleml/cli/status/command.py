"""`roleml status` and `roleml top`: once, and again and again."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roleml.cli.command import INTERRUPTED, CommandError, at_least, positive
from roleml.cli.foreground import telling
from roleml.cli.launch import add_expected, add_surveying, chosen_broker

if TYPE_CHECKING:
    from roleml.cli.status.survey import Survey, Surveyor
    from roleml.core.actor.actor import BaseActor

__all__ = ["expected_actors", "register", "run_status", "run_top", "surveying", "surveyor_of"]

SOURCES = """\
Who there is, and what waits, is known to the broker's management plugin; the rest the actors tell themselves.
With a configuration, its actors are expected, and the plugin is not needed to find them."""

STATUS = f"""\
Show the actors of an application: who is online, the status of each role, what waits for it and what it does,
and what went wrong last. {SOURCES}"""

TOP = f"""\
The same as `roleml status`, again and again, with rates, until Ctrl-C. {SOURCES}"""

STATUS_CODES = """\
exit codes: 0 shown; 1 with --strict, an actor is not online; 2 the command line is wrong; 3 neither the
management pages nor a configuration tell who there is, or the broker cannot be reached"""

TOP_CODES = """\
exit codes: 0 shown as often as asked for; 2 the command line is wrong; 3 as of status; 130 interrupted"""


def register(commands: Any) -> None:
    """Add `status` and `top` to the command line."""
    status = commands.add_parser(
        "status", help="who is there, and doing what", description=STATUS, epilog=STATUS_CODES
    )
    add_expected(status)
    add_surveying(status)
    status.add_argument("--strict", action="store_true", help="exit code 1 if an actor is not online")
    status.add_argument("--json", action="store_true", help="print everything that is known as JSON")
    status.set_defaults(run=run_status)
    top = commands.add_parser("top", help="the same, live", description=TOP, epilog=TOP_CODES)
    add_expected(top)
    add_surveying(top)
    top.add_argument(
        "-i", "--interval", metavar="SECONDS", type=positive, default=2.0, help="default: %(default)s"
    )
    top.add_argument("-n", "--number", metavar="N", type=at_least(1), help="end after so many times")
    top.set_defaults(run=run_top)


@telling("roleml status")
def run_status(arguments: argparse.Namespace) -> int:
    """Look once, print, and return the exit code."""
    from roleml.cli.status.table import lines

    try:
        with surveying(arguments) as surveyor:
            survey = surveyor.look(arguments.timeout)
            if arguments.json:
                print(json.dumps(asdict(survey)["actors"], indent=2))
            else:
                print("\n".join(lines(survey)))
    except KeyboardInterrupt:
        return INTERRUPTED
    absent = any(sight.presence != "online" for sight in survey.actors.values())
    return 1 if arguments.strict and absent else 0


@telling("roleml top")
def run_top(arguments: argparse.Namespace) -> int:
    """Look until interrupted, and return the exit code."""
    from roleml.cli.status.screen import screen

    before: Survey | None = None
    left = arguments.number
    try:
        with surveying(arguments) as surveyor, screen() as draw:
            while left is None or left > 0:
                began_s = time.monotonic()
                survey = surveyor.look(arguments.timeout)
                draw(survey, before)
                before, left = survey, None if left is None else left - 1
                if left != 0:
                    time.sleep(max(0.0, began_s + arguments.interval - time.monotonic()))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


@contextmanager
def surveying(arguments: argparse.Namespace) -> Iterator[Surveyor]:
    """Somebody at the broker who looks, until the block ends.

    Raises:
        CommandError: the broker or the configuration is none that can be used.
        MsgConnectionError: the broker cannot be reached.
    """
    from roleml.cli.observe.observer import Observer, observing

    expected = expected_actors(arguments)
    with observing(arguments.broker, Observer(), name=arguments.name) as actor:
        yield surveyor_of(actor, arguments, expected)


def surveyor_of(actor: BaseActor, arguments: argparse.Namespace, expected: Sequence[str]) -> Surveyor:
    """Lets an actor look for others. Raises CommandError: the broker is none that can be used."""
    from roleml.cli.status.survey import Surveyor
    from roleml.messaging.rabbitmq.endpoints import BrokerURL
    from roleml.messaging.rabbitmq.management import ManagementAPI

    try:
        url = BrokerURL.parse(chosen_broker(arguments.broker), actor.profile.name)
        api = ManagementAPI.beside(url, arguments.management)
    except ValueError as error:
        raise CommandError(str(error)) from error
    return Surveyor(actor, api, url.vhost, expected)


def expected_actors(arguments: argparse.Namespace) -> list[str]:
    """Whom the configuration names, if there is one. Raises CommandError for one that cannot be read."""
    if arguments.config is None:
        return []
    from roleml.cli.check.files import read_or_refuse

    return list(read_or_refuse(arguments.config).actors)
