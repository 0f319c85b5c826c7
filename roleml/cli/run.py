"""`roleml run`: one actor in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from roleml.cli.command import CommandError
from roleml.cli.foreground import (
    prepare,
    profiled,
    require_viztracer,
    run_gracefully,
    tell,
    until_done,
    until_stopped,
)
from roleml.cli.launch import Launch, add_arguments, choose, read_launches, refuse_containers, with_arguments

__all__ = ["register", "run", "run_launch"]

DESCRIPTION = """\
Run one actor in this process, until it is stopped: by Ctrl-C or SIGTERM, which stop it gracefully (a second
one leaves at once), or by an actor that manages it."""

EXIT_CODES = """\
exit codes: 0 the actor was stopped by another one, or is done; 1 it failed to start, or run() of a role
failed; 2 the command line or the configuration is wrong; 3 the broker cannot be reached, or has an actor of
that name; 130 interrupted by Ctrl-C; 143 ended by SIGTERM"""


def register(commands: Any) -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser("run", help="run one actor", description=DESCRIPTION, epilog=EXIT_CODES)
    parser.add_argument("config", metavar="CONFIG", help="YAML or JSON file with the actor's configuration")
    parser.add_argument(
        "-a",
        "--actor",
        metavar="NAME",
        help="which one, where the file has a list of actors under 'profiles'",
    )
    parser.add_argument(
        "-n",
        "--name",
        metavar="NAME",
        help="the actor's name, instead of the configured one; {host} stands for that of this machine",
    )
    add_arguments(parser)
    parser.add_argument(
        "--ready-file",
        metavar="FILE",
        type=Path,
        help="a file that exists while the actor is in service, for health checks; it is made when all roles "
        "have started",
    )
    parser.add_argument(
        "--exit-when-done",
        action="store_true",
        help="stop when run() of all Runnable roles has returned; without it the actor stays in service",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the actor and return the exit code."""
    refuse_containers(arguments)
    try:
        launches = read_launches(arguments.config)
    except TypeError as error:
        raise CommandError(str(error), of=error) from error
    launch = with_arguments(choose(launches, arguments.actor, arguments.config), arguments)
    if arguments.name is not None:
        launch = launch.changed(name=arguments.name.replace("{host}", host_name()))
    require_viztracer(launch.profiling)
    try:
        return (
            run_launch(launch, exit_when_done=arguments.exit_when_done, ready_file=arguments.ready_file) or 0
        )
    except CommandError:
        raise
    except Exception as error:  # noqa: BLE001  # the program ends here; a traceback is in the log
        return tell("roleml run", error)


def host_name() -> str:
    """The name of this machine, as far as it can be part of an actor's name."""
    return re.sub("[^A-Za-z0-9_-]", "-", socket.gethostname())


def run_launch(launch: Launch, *, exit_when_done: bool = False, ready_file: Path | None = None) -> int | None:
    """Run one actor here; returns the exit code of the signal that ended it, None if none did.

    Raises what building and starting the actor raises; with `exit_when_done` also as `until_done`.
    """
    serve = partial(until_done if exit_when_done else until_stopped, ready_file=ready_file)
    with profiled(launch.name, launch.profiling), present_only_while_ready(ready_file):
        return run_gracefully(lambda: prepare(launch), serve)


@contextlib.contextmanager
def present_only_while_ready(ready_file: Path | None) -> Iterator[None]:
    """No file of an earlier life in the block, and none after it."""
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    try:
        yield
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
