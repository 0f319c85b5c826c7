from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import roleml
from roleml.cli.demo.options import TRAINING_DIGITS
from roleml.cli.main import main
from roleml.library.workload.datasets.zoo.image.digits import DigitsDataset

CONFIG = str(Path(__file__).resolve().parents[2] / "examples" / "fedavg" / "config.yaml")


def asked_wrongly(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    return capsys.readouterr().err


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"roleml {roleml.__version__}\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "demo" in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    error = asked_wrongly(capsys, "demmo")
    assert "demmo" in error
    assert "demo" in error.replace("demmo", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clients", "0"], "argument --clients: must be at least 1, not 0"),
        (["--clients", "few"], "argument --clients: expected a whole number, not 'few'"),
        (["--rounds", "-3"], "argument --rounds: must be at least 1, not -3"),
        (["--epochs", "1.5"], "argument --epochs: expected a whole number, not '1.5'"),
        (["--select-ratio", "1.2"], "argument --select-ratio: must be above 0 and at most 1"),
        (["--select-ratio", "nan"], "argument --select-ratio: must be above 0 and at most 1"),
        (["--alpha", "0"], "argument --alpha: must be above 0, not 0"),
        (["--alpha", "inf"], "argument --alpha: must be finite, not inf"),
        (["--seed", "-1"], "argument --seed: must be at least 0, not -1"),
    ],
)
def test_an_option_out_of_range_is_refused_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in asked_wrongly(capsys, "demo", *arguments)


def test_more_clients_than_digits_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(DigitsDataset("train")) == TRAINING_DIGITS
    assert main(["demo", "--clients", str(TRAINING_DIGITS + 1)]) == 2
    assert "--clients 1438 is too many: there are 1437 training digits" in capsys.readouterr().err


def test_a_ratio_that_selects_nobody_is_refused_with_the_smallest_that_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--clients", "4", "--select-ratio", "0.1"]) == 2
    error = capsys.readouterr().err
    assert "--select-ratio 0.1 of 4 clients selects nobody" in error
    assert "at least 0.25" in error


@pytest.mark.parametrize("arguments", [["graph", CONFIG], ["explain", "RML-C008"], ["completion", "bash"]])
def test_a_command_that_only_writes_ends_when_nobody_reads_it(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        command = [sys.executable, "-m", "roleml", *arguments]
        done = subprocess.run(
            command, stdout=stream, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.stderr == ""
    assert done.returncode == 141
