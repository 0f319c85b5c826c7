"""`roleml batch`: several actors of one machine, a process each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from typing import Any

from roleml.cli.command import CommandError, positive
from roleml.cli.console import Console
from roleml.cli.foreground import Interruption, StopSignals, require_viztracer
from roleml.cli.launch import Launch, add_arguments, read_launches, refuse_containers, with_arguments
from roleml.cli.processes import STOP_TIMEOUT_S, ActorProcesses, EndedTooEarlyError, refuse_unreachable

__all__ = ["register", "run", "run_launches"]

DESCRIPTION = """\
Run actors as processes of this machine. All of them are built, then started in the order of the files. Their
output comes here, each line with the actor's name. Ctrl-C and SIGTERM stop all of them gracefully; a second
one ends them at once."""

EXIT_CODES = """\
exit codes: 0 all actors ended well, or are done; that of the first actor that did not, and 128 plus the
signal's number if a signal ended it (see 'roleml run --help'); 1 run() of a role failed, with
--exit-when-done; 2 the command line or a configuration is wrong; 130 interrupted by Ctrl-C; 143 ended by
SIGTERM"""


def register(commands: Any) -> None:
    """Add `batch` to the command line."""
    parser = commands.add_parser(
        "batch", help="run several actors, a process each", description=DESCRIPTION, epilog=EXIT_CODES
    )
    parser.add_argument(
        "configs",
        metavar="CONFIG",
        nargs="+",
        help="YAML or JSON file: the configuration of an actor, or a list of them under 'profiles'",
    )
    parser.add_argument(
        "-c", "--common-config", metavar="FILE", help="file with keys that replace those of every actor"
    )
    add_arguments(parser)
    parser.add_argument(
        "--exit-when-done",
        action="store_true",
        help="stop all actors when run() of all Runnable roles of all actors has returned",
    )
    parser.add_argument(
        "--stop-timeout",
        type=positive,
        default=STOP_TIMEOUT_S,
        metavar="SECONDS",
        help="how long actors may take to stop before they are ended (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the actors and return the exit code."""
    refuse_containers(arguments)
    return run_launches(
        launches_of(arguments),
        exit_when_done=arguments.exit_when_done,
        stop_timeout_s=arguments.stop_timeout,
    )


def launches_of(arguments: argparse.Namespace) -> list[Launch]:
    """The actors of all files. Raises CommandError for what is wrong with the files, and all of it."""
    try:
        found = [
            with_arguments(launch, arguments)
            for path in arguments.configs
            for launch in read_launches(path, arguments.common_config)
        ]
    except TypeError as error:
        raise CommandError(str(error), of=error) from error
    # the console adds the names
    return [launch.changed(log_console_type="single") for launch in found]


def run_launches(
    launches: Sequence[Launch],
    *,
    exit_when_done: bool = False,
    stop_timeout_s: float = STOP_TIMEOUT_S,
    context: BaseContext | None = None,
) -> int:
    """Run actors as processes, until they end or somebody interrupts; returns the exit code.

    Raises:
        CommandError: a configuration is wrong, or the actors could not reach each other.
    """
    check_forms(launches)
    refuse_unreachable(launches)
    require_viztracer(launches[0].profiling)
    processes = ActorProcesses(
        launches, console=Console([launch.name for launch in launches]), report=report, context=context
    )
    with StopSignals(again=lambda _: processes.kill()) as signals:
        try:
            processes.start()
            processes.wait(until_done=exit_when_done)
        except Interruption:
            report("stopping all actors; a second time ends them at once")
        except EndedTooEarlyError:
            report("stopping the others")
        finally:
            signals.hold()
            processes.stop(stop_timeout_s)
    if processes.failures:
        _, code = processes.failures[0]
        return 128 - code if code < 0 else code
    return signals.exit_code or 0


def check_forms(launches: Sequence[Launch]) -> None:
    """Raises CommandError with all that is wrong with the form of the configurations."""
    from roleml.core.builders.errors import ConfigError, Problem

    problems: dict[str, Problem] = {}
    for launch in launches:
        try:
            launch.builder()
        except ConfigError as error:
            problems.update((str(problem), problem) for problem in error.problems)
    if problems:
        found = ConfigError(*problems.values())
        raise CommandError(str(found), of=found)


def report(text: str) -> None:
    print(f"roleml batch: {text}", file=sys.stderr, flush=True)
