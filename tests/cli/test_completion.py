"""`roleml completion`, in a real bash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from roleml.cli.completion import SHELLS
from roleml.cli.main import COMMANDS, main, parser

# What bash does when the tab key is pressed: it finds the function of the command, sets these, and calls it.
PRESS_TAB = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
complete -p roleml > /dev/null || exit 1
function=$(complete -p roleml | sed -E 's/.*-F ([^ ]+).*/\1/')
"$function" roleml "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "roleml"
    with file.open("w", encoding="utf-8") as stream:
        subprocess.run(
            [sys.executable, "-m", "roleml", "completion", "bash"],
            stdout=stream,
            check=True,
            cwd=Path(__file__).parents[2],
        )
    return file


def offered(script: Path, *words: str, folder: Path | None = None) -> set[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", PRESS_TAB, "press-tab", str(script), "roleml", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert not done.stderr
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


def test_bash_offers_all_commands(script: Path) -> None:
    assert len(offered(script, "")) >= len(COMMANDS)
    assert offered(script, "") >= {"demo", "new", "run", "check", "explain", "doctor", "broker", "completion"}
    assert offered(script, "che") == {"check"}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("run", "--exit"), {"--exit-when-done"}),
        (("doctor", "--str"), {"--strict"}),
        (("broker", ""), {"up", "down", "load", "provision"}),
        (("broker", "up", "--man"), {"--management"}),
        (("new", ""), {"fl", "gossip", "blank"}),
        (("explain", "RML-D"), {"RML-D001", "RML-D002", "RML-D003"}),
    ],
)
def test_bash_offers_options_and_choices(script: Path, words: tuple[str, ...], wanted: set[str]) -> None:
    assert offered(script, *words) >= wanted


def test_bash_offers_files_where_a_configuration_is_wanted(script: Path, tmp_path: Path) -> None:
    (tmp_path / "client1.yaml").touch()
    (tmp_path / "client2.yaml").touch()
    assert offered(script, "check", "cli", folder=tmp_path) == {"client1.yaml", "client2.yaml"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_knows_each_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    (commands,) = (action for action in parser()._actions if action.dest == "command")
    assert commands.choices is not None
    assert all(command in text for command in commands.choices)


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'roleml[completion]'" in capsys.readouterr().err
