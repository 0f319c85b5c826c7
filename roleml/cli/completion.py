"""`roleml completion`: what a shell needs to complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from roleml.cli.command import CommandError
from roleml.cli.explain.pages import codes

__all__ = ["register", "run"]

DESCRIPTION = """\
Print a script by which a shell completes the commands and options of roleml, and the files that they take. It
is static: completing starts no Python. Print it anew after an update."""

INSTALL = """\
bash: roleml completion bash > ~/.local/share/bash-completion/completions/roleml
zsh:  roleml completion zsh > a folder of $fpath, as the file _roleml
tcsh: roleml completion tcsh > ~/.roleml.tcsh, and source that in ~/.tcshrc
exit codes: 0 done; 2 shtab is not installed"""

SHELLS = ("bash", "zsh", "tcsh")


def register(commands: Any) -> None:
    """Add `completion` to the command line."""
    parser = commands.add_parser(
        "completion",
        help="completion for your shell",
        description=DESCRIPTION,
        epilog=INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise CommandError("completion needs shtab: pip install 'roleml[completion]'") from error
    from roleml.cli.main import parser

    root = parser()
    for action in _actions(root):
        if action.metavar in ("CONFIG", "FILE"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads it
        elif action.metavar == "FOLDER":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # shtab reads it
        elif action.metavar == "CODE":
            action.choices = codes()
    print(shtab.complete(root, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """What a command line may consist of, those of all commands included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
