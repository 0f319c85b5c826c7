"""`roleml explain`: the page of an error, without a network."""

from __future__ import annotations

import argparse
from typing import Any

from roleml.cli.command import CommandError
from roleml.cli.explain.pages import codes, page, title
from roleml.shared.suggestions import did_you_mean

__all__ = ["register", "run"]

DESCRIPTION = """\
Print the page of an error or finding: what it means, how it looks, and what to do. Without a code, list all
of them. The pages are part of the installation, and the same as those in docs/errors."""


def register(commands: Any) -> None:
    """Add `explain` to the command line."""
    parser = commands.add_parser(
        "explain",
        help="say more about an error",
        description=DESCRIPTION,
        epilog="exit codes: 0 done; 2 there is no such code",
    )
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as RML-C003; c003 will do")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a page, or what pages there are."""
    if arguments.code is None:
        print("\n".join(f"{code}  {title(code)}" for code in codes()))
        return 0
    code = f"RML-{arguments.code.upper().removeprefix('RML-')}"
    if code not in codes():
        hint = did_you_mean(code, codes())
        raise CommandError(
            f"there is no error {arguments.code}{hint}; roleml explain lists all that there are"
        )
    print(page(code), end="")
    return 0
