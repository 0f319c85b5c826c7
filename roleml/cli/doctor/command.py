"""`roleml doctor`: is the broker as actors need it, and is something wrong with those that are connected?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError
from roleml.cli.launch import add_management, broker_url, rabbitmq_chosen

if TYPE_CHECKING:
    from roleml.messaging.rabbitmq.endpoints import BrokerURL
    from roleml.messaging.rabbitmq.probing import Finding

__all__ = ["register", "run"]

DESCRIPTION = """\
Try what actors need of a RabbitMQ (connection, permissions, messages of all sizes), and look, through its
management plugin, for alarms, work that nobody takes, and actors of different versions. Each finding says
what to do. Nothing stays behind on the broker."""

EXIT_CODES = """\
exit codes: 0 all is well (there may be warnings); 1 something is not, or with --strict there are warnings;
2 the command line is wrong"""

_SIGNS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


def register(commands: Any) -> None:
    """Add `doctor` to the command line."""
    parser = commands.add_parser(
        "doctor", help="find what is wrong with a broker", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add(
        "--broker", metavar="URL", type=broker_url, help="amqp://user:password@host/vhost; else ROLEML_BROKER"
    )
    add_management(parser)
    add("--actor", metavar="NAME", help="also whether an actor of that name could connect now")
    add("--strict", action="store_true", help="warnings count, too")
    add("--json", action="store_true", help="print the findings as a JSON list")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine, print, and return the exit code."""
    broker = rabbitmq_chosen(arguments.broker, arguments.actor or "")
    try:
        found = []
        for finding in _examine(broker, arguments.management, arguments.actor):
            found.append(finding)
            if not arguments.json:
                _show(finding)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if arguments.json:
        print(json.dumps([{"code": each.code, **asdict(each)} for each in found], indent=2))
    bad = {"error", "warning"} if arguments.strict else {"error"}
    return 1 if any(finding.level in bad for finding in found) else 0


def _examine(broker: BrokerURL, management: str | None, actor: str | None) -> Iterator[Finding]:
    from roleml.cli.doctor.overview import findings
    from roleml.messaging.rabbitmq.management import ManagementAPI
    from roleml.messaging.rabbitmq.probing import probe

    connected = True
    for finding in probe(broker, actor):
        connected = connected and finding.subject != "connection"
        yield finding
    if connected or management is not None:
        yield from findings(ManagementAPI.beside(broker, management), broker.vhost)


def _show(finding: Finding) -> None:
    print(f"{_SIGNS[finding.level]} {finding.subject}: {finding.text}")
    if finding.remedy:
        print(f"        -> {finding.remedy} [{finding.code}]")
