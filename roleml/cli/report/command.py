"""`roleml report`: makes the page of a run from what was recorded."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from roleml.cli.command import CommandError

__all__ = ["register", "run"]

DESCRIPTION = """\
Make one self-contained HTML page of a run that was recorded into a folder: curves, who worked when, who took
part, who talks to whom, bytes from whom to whom, configuration and versions. The commands that record make
it, too; this makes it again, also while the run goes on."""


def register(commands: Any) -> None:
    """Add `report` to the command line."""
    parser = commands.add_parser(
        "report",
        help="make a page of a recorded run",
        description=DESCRIPTION,
        epilog="exit codes: 0 it is there; 2 the folder holds no record, or a damaged one",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="with record.jsonl")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: report.html in the folder"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make it, say where it is, and return the exit code."""
    require_plots()
    from roleml.cli.report.page import write

    try:
        print(write(arguments.folder, arguments.output))
    except OSError as error:
        raise CommandError(f"{error.filename or arguments.folder}: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(str(error)) from error
    return 0


def require_plots() -> None:
    """Raises CommandError where what draws is not installed."""
    if find_spec("matplotlib") is None:
        raise CommandError("a report needs matplotlib: pip install 'roleml[plot]'")
