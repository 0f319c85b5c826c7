from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import roleml.essentials as rml
from roleml.cli import session
from roleml.cli.main import main
from roleml.shared.yml import load_yaml

# the first test of a module-wide run bears its time, also on a busy machine
pytestmark = pytest.mark.timeout(120)


def run_folder(output: Path) -> Path:
    (folder,) = output.iterdir()
    return folder


def metrics(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def without_seconds(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("default")
    assert main(["demo", "--output", str(output)]) == 0
    return run_folder(output)


def test_the_default_run_reaches_the_promised_accuracy(default_run: Path) -> None:
    assert metrics(default_run)[-1]["accuracy"] >= 0.95


def test_every_round_is_on_record_with_who_took_part(default_run: Path) -> None:
    records = metrics(default_run)
    assert [record["round"] for record in records] == list(range(1, 31))
    for record in records:
        assert set(record) == {"round", "accuracy", "loss", "participants", "seconds"}
        assert len(record["participants"]) == 3
        assert set(record["participants"]) <= {f"client{number}" for number in range(1, 6)}
        assert record["seconds"] >= 0


def test_a_run_leaves_metrics_plot_configuration_and_model(default_run: Path) -> None:
    with (default_run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [record["accuracy"] for record in metrics(default_run)]
    assert (default_run / "metrics.png").read_bytes().startswith(b"\x89PNG")
    with np.load(default_run / "model.npz") as model:
        assert model.files
        assert all(np.isfinite(model[name]).all() for name in model.files)


def test_the_same_seed_gives_the_same_weights_and_metrics(tmp_path: Path) -> None:
    arguments = ["demo", "--rounds", "5", "--alpha", "0.5", "--seed", "7"]
    folders = []
    for name in ("first", "second"):
        assert main([*arguments, "--output", str(tmp_path / name)]) == 0
        folders.append(run_folder(tmp_path / name))
    first, second = folders
    assert without_seconds(metrics(first)) == without_seconds(metrics(second))
    with np.load(first / "model.npz") as one, np.load(second / "model.npz") as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])


def test_another_seed_gives_other_metrics(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        assert main(["demo", "--rounds", "2", "--seed", seed, "--output", str(tmp_path / seed)]) == 0
    one, other = (metrics(run_folder(tmp_path / seed)) for seed in ("1", "2"))
    assert without_seconds(one) != without_seconds(other)


def test_one_client_alone_is_a_valid_federation(tmp_path: Path) -> None:
    assert (
        main(["demo", "--clients", "1", "--rounds", "1", "--select-ratio", "1", "--output", str(tmp_path)])
        == 0
    )
    assert metrics(run_folder(tmp_path))[0]["participants"] == ["client1"]


def test_the_written_configuration_runs_again_with_the_same_result(tmp_path: Path) -> None:
    assert main(["demo", "--rounds", "3", "--output", str(tmp_path)]) == 0
    folder = run_folder(tmp_path)
    before = metrics(folder)
    profiles = load_yaml(str(folder / "config.yaml"))["profiles"]
    with session.running(profiles) as actors:
        actors["conductor"].roles["conductor"].outcome.result(timeout=20)
    assert without_seconds(metrics(folder)) == without_seconds(before)


def test_a_run_that_fails_says_so_and_where_the_reason_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from roleml.library.roles.trainer.epoch import EpochTrainer

    @rml.Task(expand=True)
    def train(self: EpochTrainer, _: rml.RoleInstanceID, **options: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(EpochTrainer, "train", train)
    assert main(["demo", "--rounds", "1", "--output", str(tmp_path)]) == 1
    assert "roleml demo: the run failed: " in capsys.readouterr().err
    (log,) = run_folder(tmp_path).glob("*.log")
    assert "the disk is full" in log.read_text(encoding="utf-8")


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["demo", "--output", str(tmp_path / "taken")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


@contextlib.contextmanager
def started_demo(output: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "roleml", "demo", "--output", str(output), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=output
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # a test that fails leaves nothing running


def test_the_output_of_a_pipe_is_plain_lines_that_name_the_plot(tmp_path: Path) -> None:
    with started_demo(tmp_path, "--rounds", "2") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    assert "\x1b" not in out
    assert "round 2/2" in out
    assert out.count("client1") == 2, out  # no table of what was shown already
    (plot,) = [line.removeprefix("plot: ") for line in out.splitlines() if line.startswith("plot: ")]
    assert (tmp_path / plot).is_file()


def test_a_run_whose_output_nobody_reads_any_more_goes_on_without_complaints(tmp_path: Path) -> None:
    with started_demo(tmp_path, "--rounds", "3") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "5 clients, 3 rounds\n"
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert len(metrics(run_folder(tmp_path))) == 3
    assert (run_folder(tmp_path) / "report.html").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_cleanly_and_keeps_what_there_is(tmp_path: Path, number: int) -> None:
    with started_demo(tmp_path, "--rounds", "100000") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("round"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "interrupted" in out
    assert "Traceback" not in out + err
    folder = run_folder(tmp_path)
    assert metrics(folder)
    assert (folder / "model.npz").exists()
