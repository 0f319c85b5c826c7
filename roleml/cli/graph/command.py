"""`roleml graph`: who talks to whom, out of a configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from roleml.cli.command import CommandError

__all__ = ["register", "run"]

DESCRIPTION = """\
Draw the actors of a configuration, their roles, and who talks to whom: what roles call, where their code says
it in so many words, which events they listen to, and other relationships. Actors of one kind are drawn as
one. The modules that the configuration names are imported; nothing is run."""

EXIT_CODES = """\
exit codes: 0 done; 1 the configuration has mistakes, and what is right was drawn; 2 it cannot be read"""


def register(commands: Any) -> None:
    """Add `graph` to the command line."""
    parser = commands.add_parser(
        "graph",
        help="draw who talks to whom",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
    )
    parser.add_argument("config", metavar="CONFIG", help="an actor, a list of actors, or a run configuration")
    parser.add_argument(
        "-f",
        "--format",
        choices=["text", "mermaid", "dot", "svg"],
        default="text",
        help="svg needs Graphviz (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of the standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw it, and return the exit code."""
    from roleml.cli.check.files import read
    from roleml.cli.graph import draw
    from roleml.cli.graph.topology import Topology
    from roleml.shared.yml import YAMLError

    try:
        check = read(arguments.config)
    except FileNotFoundError as error:
        raise CommandError(f"{error.filename or arguments.config}: {error.strerror}") from error
    except (YAMLError, TypeError, OSError) as error:
        raise CommandError(str(error)) from error
    drawn = getattr(draw, arguments.format)(Topology.of(check.actors))
    if arguments.output is None:
        print(drawn)
    else:
        arguments.output.write_text(drawn + "\n", encoding="utf-8")
    mistakes = len(check.findings.errors)
    if mistakes:
        print(f"{mistakes} mistakes in it: roleml check {arguments.config}", file=sys.stderr)
    return 1 if mistakes else 0
