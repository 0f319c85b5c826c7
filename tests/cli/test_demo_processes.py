"""The demo over a real broker: the same weights as over the embedded one, in one process and in many."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from roleml.cli.main import main
from tests.programs import Program, run_program

ROUNDS = "3"


def run_folder(output: Path) -> Path:
    (folder,) = output.iterdir()
    return folder


def results(folder: Path) -> list[object]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "seconds": None} for line in lines]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("embedded")
    assert main(["demo", "--rounds", ROUNDS, "--output", str(output)]) == 0
    return run_folder(output)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [(), ("--processes",)], ids=["one process", "a process per actor"])
def test_the_same_seed_gives_the_same_weights_over_a_broker(
    embedded: Path, tmp_path: Path, broker_url: str, how: tuple[str, ...]
) -> None:
    arguments = ("--rounds", ROUNDS, "--output", "runs", "--broker", broker_url, *how)
    code, text = run_program(tmp_path, "roleml", "demo", *arguments)
    assert code == 0, text
    assert f"round {ROUNDS}/{ROUNDS}" in text
    folder = run_folder(tmp_path / "runs")
    assert results(folder) == results(embedded)
    with np.load(embedded / "model.npz") as one, np.load(folder / "model.npz") as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])
    assert {"config.yaml", "metrics.csv", "metrics.png"} <= {path.name for path in folder.iterdir()}
    # it may contain a password
    assert broker_url not in (folder / "config.yaml").read_text()


@pytest.mark.timeout(180)
def test_the_written_configuration_runs_again_as_a_batch(
    embedded: Path, tmp_path: Path, broker_url: str
) -> None:
    before = results(embedded)
    code, text = run_program(
        tmp_path, "roleml", "batch", str(embedded / "config.yaml"), "--broker", broker_url, "--exit-when-done"
    )
    assert code == 0, text
    assert re.search(rf"conductor \| round {ROUNDS}/{ROUNDS}", text)
    assert results(embedded) == before


@pytest.mark.timeout(180)
def test_an_interruption_keeps_what_the_processes_have(tmp_path: Path, broker_url: str) -> None:
    arguments = ("--rounds", "100000", "--output", "runs", "--broker", broker_url, "--processes")
    with Program(tmp_path, "roleml", "demo", *arguments) as program:
        program.line_with("round")
        program.line_with("round")
        program.interrupt()
        assert program.end() == 128 + signal.SIGINT, program.text
    assert "interrupted; what was trained until then is in" in program.text
    assert "Traceback" not in program.text
    assert (run_folder(tmp_path / "runs") / "model.npz").exists()


def test_processes_without_a_broker_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--processes", "--output", str(tmp_path / "runs")]) == 2
    assert "--processes needs a broker that connects processes" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("how", [(), ("--processes",)])
def test_a_broker_that_is_not_there_is_exit_code_3(tmp_path: Path, how: tuple[str, ...]) -> None:
    code, text = run_program(
        tmp_path, "roleml", "demo", "--broker", "amqp://127.0.0.1:9", "--clients", "2", *how
    )
    assert code == 3, text
    assert "cannot connect to amqp://guest@127.0.0.1:9" in text
    assert "Traceback" not in text
