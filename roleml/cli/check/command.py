"""`roleml check`: all that is wrong with configurations, without running anything."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, counted

if TYPE_CHECKING:
    from roleml.shared.yml import Mark

__all__ = ["register", "run"]

DESCRIPTION = """\
Find what is wrong with configurations, all of it at once, with file, line and column: those of actors, lists
of actors, and run configurations of the Conductor. The modules that they name are imported; nothing is built,
and no broker is needed."""

EXIT_CODES = """\
exit codes: 0 nothing is wrong (there may be warnings); 1 something is, or with --strict there are warnings;
2 a file cannot be read"""


def register(commands: Any) -> None:
    """Add `check` to the command line."""
    parser = commands.add_parser(
        "check", help="find mistakes in configurations", description=DESCRIPTION, epilog=EXIT_CODES
    )
    parser.add_argument("configs", metavar="CONFIG", nargs="+", help="YAML or JSON files")
    parser.add_argument("--strict", action="store_true", help="warnings are errors")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the files, print what was found, and return the exit code."""
    from roleml.cli.check.files import read_or_refuse

    rows: list[dict[str, Any]] = []
    unreadable = False
    for path in arguments.configs:
        try:
            found = read_or_refuse(path).findings.sorted()
        except CommandError as error:  # the other files are checked all the same
            rows += _unread(path, error)
            unreadable = True
        else:
            rows += [
                _row(severity, path, problem.mark, str(problem), problem.code) for severity, problem in found
            ]
    errors = sum(row["severity"] == "error" for row in rows)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            place = ":".join(str(row[key]) for key in ("file", "line", "column") if row[key] is not None)
            print(f"{place}: {row['severity']}: {row['text']} [{row['code']}]")
        checked, warnings = counted(len(arguments.configs), "file"), counted(len(rows) - errors, "warning")
        print(f"{checked} checked: {counted(errors, 'error')}, {warnings}")
    return 2 if unreadable else 1 if errors or (arguments.strict and rows) else 0


def _unread(path: str, error: CommandError) -> list[dict[str, Any]]:
    """The rows for a file that cannot be read: where, if the reason is within it."""
    from roleml.core.builders.errors import ConfigError
    from roleml.shared.yml import BrokenFileError

    cause = error.__cause__
    if isinstance(cause, ConfigError):
        return [_row("error", path, each.mark, str(each), each.code) for each in cause.problems]
    if isinstance(cause, BrokenFileError):
        return [_row("error", path, cause.mark, str(cause), cause.code)]
    return [_row("error", path, None, str(error), error.code)]


def _row(severity: str, path: str, mark: Mark | None, text: str, code: str) -> dict[str, Any]:
    return {
        "severity": severity,
        "code": code,
        "file": mark.file if mark else str(path),
        "line": mark.line if mark else None,
        "column": mark.column if mark else None,
        "text": text.removeprefix(f"{mark or path}: "),
    }
