"""`roleml record`: writes down the metrics of an application that runs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, positive
from roleml.cli.foreground import Interruption, StopSignals, telling
from roleml.cli.launch import add_expected, add_management, add_observing

if TYPE_CHECKING:
    from roleml.cli.status.survey import Surveyor
    from roleml.library.roles.recorder.recording import Recording

__all__ = ["register", "run"]

DESCRIPTION = """\
Write what the roles of a running application log as metrics into a folder, until Ctrl-C, and make a page of
it (report.html). Actors that come later are recorded, too. Whom to ask is known to the broker's management
plugin, or to a configuration."""

EXIT_CODES = """\
exit codes: 0 recorded until Ctrl-C, SIGTERM or for as long as asked; 2 the command line is wrong; 3 the
broker cannot be reached, or nobody tells who there is"""

#: How often to look for actors that are new.
LOOK_S = 2.0


def register(commands: Any) -> None:
    """Add `record` to the command line."""
    parser = commands.add_parser(
        "record", help="write down metrics", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add_expected(parser)
    add("-o", "--output", metavar="FOLDER", type=Path, required=True, help="made if it is not there")
    add(
        "-f",
        "--format",
        dest="formats",
        metavar="NAME",
        action="append",
        help="jsonl, csv, tensorboard or mlflow; may be repeated (default: jsonl and csv)",
    )
    add("--for", dest="seconds", metavar="SECONDS", type=positive, help="end after so many")
    add_observing(parser)
    add_management(parser)
    parser.set_defaults(run=run)


@telling("roleml record")
def run(arguments: argparse.Namespace) -> int:
    """Record, and return the exit code."""
    from roleml.cli.observe.observer import observer_name, reachable_broker
    from roleml.cli.status.command import expected_actors, surveyor_of
    from roleml.library.roles.recorder.recording import Recording
    from roleml.library.roles.recorder.writers import DEFAULT_FORMATS, FORMATS
    from roleml.shared.suggestions import did_you_mean

    formats = arguments.formats or list(DEFAULT_FORMATS)
    for name in formats:
        if name not in FORMATS:
            raise CommandError(f"unknown format {name!r}{did_you_mean(name, FORMATS)}")
    expected, broker = expected_actors(arguments), reachable_broker(arguments.broker)
    with (
        StopSignals() as signals,
        Recording(broker, arguments.output, formats, name=arguments.name or observer_name()) as recording,
    ):
        try:
            surveyor = surveyor_of(recording.actor, arguments, expected)
            _follow(recording, surveyor, arguments.seconds)
        except Interruption:
            signals.hold()
        recording.finish()
    print(f"{recording.entries} entries of {len(recording.sources)} roles: {arguments.output}")
    if "jsonl" in formats and recording.entries:
        _report(arguments.output)
    return 0


def _follow(recording: Recording, surveyor: Surveyor, seconds: float | None) -> None:
    end_s = None if seconds is None else time.monotonic() + seconds
    known = 0
    while end_s is None or time.monotonic() < end_s:
        recording.follow(surveyor.connected())
        if len(recording.sources) != known:
            known = len(recording.sources)
            print(f"recording {known} roles; Ctrl-C ends it", file=sys.stderr, flush=True)
        left_s = LOOK_S if end_s is None else min(LOOK_S, max(0.0, end_s - time.monotonic()))
        time.sleep(left_s)


def _report(folder: Path) -> None:
    from roleml.cli.report.command import require_plots

    try:
        require_plots()
    except CommandError as error:
        print(error, file=sys.stderr)
        return
    from roleml.cli.report.page import write

    print(write(folder))
