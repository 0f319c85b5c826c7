"""`roleml new`: an application to begin with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from roleml.cli.new.project import KINDS, create

__all__ = ["register", "run"]

DESCRIPTION = """\
Write a small application that runs: roles, a configuration, a test and a README, in a new folder. Nothing is
downloaded."""

EXIT_CODES = "exit codes: 0 done; 2 the folder is there already, or the name cannot be used"


def register(commands: Any) -> None:
    """Add `new` to the command line."""
    kinds = "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
    parser = commands.add_parser(
        "new", help="begin an application", description=DESCRIPTION, epilog=EXIT_CODES
    )
    parser.add_argument("kind", metavar="KIND", choices=list(KINDS), help=kinds)
    parser.add_argument("folder", metavar="NAME", type=Path, help="of the application, and of its folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files, and say what to do next."""
    folder: Path = arguments.folder
    for file in create(arguments.kind, folder):
        print(f"  {file}")
    print(f"\nrun it:   cd {folder} && roleml simulate config.yaml\nlearn:    {folder / 'README.md'}")
    return 0
