"""`roleml check`: all that is wrong with configurations, without running anything."""

from __future__ import annotations

import argparse
import json
from typing import Any

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
    for path in arguments.configs:
        findings = read_or_refuse(path).findings
        rows += [
            {
                "severity": severity,
                "code": problem.code,
                "file": problem.mark.file if problem.mark else str(path),
                "line": problem.mark.line if problem.mark else None,
                "column": problem.mark.column if problem.mark else None,
                "text": str(problem).removeprefix(f"{problem.mark}: ") if problem.mark else str(problem),
            }
            for severity, problem in findings.sorted()
        ]
    errors = sum(row["severity"] == "error" for row in rows)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            place = f"{row['file']}:{row['line']}:{row['column']}"
            print(f"{place}: {row['severity']}: {row['text']} [{row['code']}]")
        number = f"{len(arguments.configs)} file{'s' if len(arguments.configs) > 1 else ''}"
        print(f"{number} checked: {errors} errors, {len(rows) - errors} warnings")
    return 1 if errors or (arguments.strict and rows) else 0
