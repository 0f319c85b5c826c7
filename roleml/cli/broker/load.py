"""`roleml broker load`: vhosts, policies and the like from a file, into a broker that runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from roleml.cli.broker.updown import read_definitions
from roleml.cli.command import CommandError

__all__ = ["ADMIN_PASSWORD", "apply", "register", "run"]

ADMIN_PASSWORD = "ROLEML_BROKER_ADMIN_PASSWORD"

DESCRIPTION = f"""\
Adds what a file of definitions lists (vhosts, policies, exchanges, queues) to a RabbitMQ, by the API of
its management plugin. What is there under the same name is replaced. The password of the administrator comes
from the URL or from the environment variable {ADMIN_PASSWORD}."""


def register(actions: Any) -> None:
    """Add `load` to the actions of `roleml broker`."""
    parser = actions.add_parser("load", help="load a file of definitions into it", description=DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE", help="such as brokers/definitions.json")
    parser.add_argument("--to", required=True, metavar="URL", help="http[s]://user@host:15672")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read and apply."""
    definitions = read_definitions(arguments.file)
    assert definitions is not None
    apply(arguments.to, definitions)
    print(
        f"loaded {arguments.file}: {', '.join(f'{len(each)} {kind}' for kind, each in definitions.items())}"
    )
    return 0


def apply(url: str, definitions: dict[str, Any]) -> None:
    """Raises CommandError where the broker is not there, or refuses."""
    from roleml.messaging.exceptions import MsgConnectionError
    from roleml.messaging.rabbitmq.management import import_definitions

    try:
        import_definitions(url, definitions, password=os.environ.get(ADMIN_PASSWORD))
    except (ValueError, MsgConnectionError) as e:
        raise CommandError(str(e)) from e
