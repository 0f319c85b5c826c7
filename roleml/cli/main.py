"""`roleml`: reads the command line and hands over to the command's module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import roleml
from roleml.cli import batch, completion, run, simulate
from roleml.cli.broker import command as broker
from roleml.cli.check import command as check
from roleml.cli.command import INTERRUPTED, CommandError, notes
from roleml.cli.demo import command as demo
from roleml.cli.doctor import command as doctor
from roleml.cli.explain import command as explain
from roleml.cli.graph import command as graph
from roleml.cli.new import command as new
from roleml.cli.observe import call, logs, record, tail
from roleml.cli.output import surviving_its_reader
from roleml.cli.prometheus import command as prometheus
from roleml.cli.report import command as report
from roleml.cli.status import command as status

__all__ = ["main"]

COMMANDS = [
    demo,
    new,
    run,
    batch,
    simulate,
    check,
    graph,
    status,
    call,
    tail,
    logs,
    record,
    report,
    prometheus,
    doctor,
    broker,
    explain,
    completion,
]


def parser() -> argparse.ArgumentParser:
    """The whole command line, one subparser a command."""
    root = argparse.ArgumentParser(prog="roleml", description="Distributed machine learning with roles.")
    root.add_argument("--version", action="version", version=f"roleml {roleml.__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for command in COMMANDS:
        command.register(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrongly asked, 130 interrupted."""
    with surviving_its_reader():
        options = parser().parse_args(arguments)
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.run(options)
    except CommandError as error:
        text = f"roleml {options.command}: error: {error}"
        print("\n".join([text, *notes(error)]), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nroleml {options.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
