"""`roleml graph`: who talks to whom, out of a configuration, or of what runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError
from roleml.cli.foreground import telling
from roleml.cli.launch import add_surveying

if TYPE_CHECKING:
    from roleml.cli.graph.topology import Topology

__all__ = ["register", "run"]

DESCRIPTION = """\
Draw the actors of a configuration, their roles, and who talks to whom: what roles call, where their code says
it in so many words, which events they listen to, and other relationships. Actors of one kind are drawn as
one. The modules that the configuration names are imported; nothing is run.

With --live, draw the actors that run now: which calls they have made, and how many, and what they subscribed
to. Whom to ask is known to the broker's management plugin, or to the configuration."""

EXIT_CODES = """\
exit codes: 0 done; 1 the configuration has mistakes, and what is right was drawn; 2 it cannot be read, or the
command line is wrong; 3 with --live, as of roleml status"""


def register(commands: Any) -> None:
    """Add `graph` to the command line."""
    parser = commands.add_parser(
        "graph",
        help="draw who talks to whom",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", nargs="?", help="an actor, a list of actors, or a run configuration")
    add(
        "-f",
        "--format",
        choices=["text", "mermaid", "dot", "svg"],
        default="text",
        help="svg needs Graphviz (default: %(default)s)",
    )
    add("-o", "--output", type=Path, metavar="FILE", help="instead of the standard output")
    add("--live", action="store_true", help="draw what runs at a broker")
    add_surveying(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw it, and return the exit code."""
    if arguments.live:
        return _run_live(arguments)
    from roleml.cli.check.files import read_or_refuse
    from roleml.cli.graph.topology import Topology

    if arguments.config is None:
        raise CommandError("name a configuration, or draw what runs, with --live")
    check = read_or_refuse(arguments.config)
    _write(Topology.of(check.actors), arguments)
    mistakes = len(check.findings.errors)
    if mistakes:
        print(f"{mistakes} mistakes in it: roleml check {arguments.config}", file=sys.stderr)
    return 1 if mistakes else 0


@telling("roleml graph")
def _run_live(arguments: argparse.Namespace) -> int:
    from roleml.cli.graph.topology import Topology
    from roleml.cli.status.command import surveying

    with surveying(arguments) as surveyor:
        survey = surveyor.look(arguments.timeout)
    reports = {name: sight.report for name, sight in survey.actors.items() if sight.report is not None}
    for name in survey.actors.keys() - reports.keys():
        print(f"{name} is {survey.actors[name].presence}, and not drawn", file=sys.stderr)
    _write(Topology.live(reports), arguments)
    return 0


def _write(topology: Topology, arguments: argparse.Namespace) -> None:
    from roleml.cli.graph import draw

    drawn = getattr(draw, arguments.format)(topology)
    if arguments.output is None:
        print(drawn)
    else:
        arguments.output.write_text(drawn + "\n", encoding="utf-8")
