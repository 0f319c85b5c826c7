"""The manual's page of the command line names what there is."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from roleml.cli.main import parser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def options(command: str) -> list[str]:
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return [
        option
        for action in commands.choices[command]._actions
        for option in action.option_strings
        if action.help != argparse.SUPPRESS and option not in ("-h", "--help")
    ]


@pytest.mark.parametrize("command", ["run", "batch"])
def test_every_option_is_in_the_manual(command: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [option for option in options(command) if f"`{option}" not in text]
    assert not missing
