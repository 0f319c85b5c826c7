"""The recorder: what roles log, in each format."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

import roleml.essentials as rml
from roleml.core.role.channels import Event
from roleml.library.roles.recorder.base import MetricsRecorder
from roleml.library.roles.recorder.entries import Entry, read_record
from roleml.library.roles.recorder.writers import FORMATS
from tests.actors import Actors, wait_until


class Learner(rml.Role):
    progress = rml.Metrics()

    @rml.Service(expand=True)
    def learn(self, _: rml.RoleInstanceID, epochs: int) -> None:
        for epoch in range(1, epochs + 1):
            self.progress.log(epoch, loss=np.float32(1 / epoch), lr=0.1, phase="warm-up", seconds=0.5)


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


def record(actors: Actors, folder: Path, *formats: str, epochs: int = 3) -> list[Entry]:
    """Two learners, recorded; the recorder has ended."""
    for name in ("client1", "client2"):
        actors.start(name, {"learner": Learner()})
    recorder = MetricsRecorder(str(folder), formats or ("jsonl", "csv"))
    recorded = {"recorded": ["client1/learner", "client2/learner"]}
    actor = actors.start("server", {"recorder": recorder}, relationships=recorded)
    for name in ("client1", "client2"):
        actor.call("recorder", rml.RoleInstanceID(name, "learner"), "learn", ({"epochs": epochs}, {}))
    wait_until(lambda: actor.call("recorder", "recorder", "count", ({}, {})) == 2 * epochs)
    actor.stop()
    path = folder / "record.jsonl"
    return read_record(path) if path.exists() else []


def test_the_channel_is_called_metrics_whatever_the_attribute_is_called() -> None:
    assert set(Learner.events) == {"metrics"}
    assert isinstance(Learner.progress, rml.Metrics)
    assert isinstance(Learner.progress, Event)


def test_everything_that_is_logged_is_in_the_record(actors: Actors, tmp_path: Path) -> None:
    entries = record(actors, tmp_path / "run")
    assert {(str(entry.source), entry.step) for entry in entries} == {
        (f"client{i}/learner", step) for i in (1, 2) for step in (1, 2, 3)
    }
    last = max(entries, key=lambda entry: entry.time)
    assert last.values == {"loss": pytest.approx(1 / 3), "lr": 0.1, "phase": "warm-up", "seconds": 0.5}
    assert dict(last.numbers()) == {"loss": pytest.approx(1 / 3), "lr": 0.1, "seconds": 0.5}
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)


def test_the_table_has_a_row_for_each_number(actors: Actors, tmp_path: Path) -> None:
    record(actors, tmp_path, epochs=1)
    with (tmp_path / "record.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["source"], row["step"], row["name"], float(row["value"])) for row in rows} == {
        (f"client{i}/learner", "1", name, value)
        for i in (1, 2)
        for name, value in [("loss", 1.0), ("lr", 0.1), ("seconds", 0.5)]
    }


def test_a_further_run_in_the_same_folder_is_added(actors: Actors, tmp_path: Path) -> None:
    assert len(record(actors, tmp_path, epochs=1)) == 2
    again = Actors()
    try:
        assert len(record(again, tmp_path, epochs=2)) == 6
    finally:
        again.stop()
    assert (tmp_path / "record.csv").read_text(encoding="utf-8").count("time,source") == 1


def test_tensorboard_gets_a_run_for_each_role(actors: Actors, tmp_path: Path) -> None:
    record(actors, tmp_path, "tensorboard")
    files = sorted(path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("events.out.tfevents.*"))
    assert files == [("tensorboard", "client1-learner"), ("tensorboard", "client2-learner")]
    scalars = [value for path in tmp_path.rglob("events.out.tfevents.*") for value in scalars_in(path)]
    assert len(scalars) == 2 * 3 * 3
    assert {name for name, _ in scalars} == {"loss", "lr", "seconds"}
    assert (pytest.approx(0.5), 2) in [(value, step) for name, (value, step) in scalars if name == "loss"]


def scalars_in(path: Path) -> Iterator[tuple[str, tuple[float, int]]]:
    """As TensorBoard reads them: records of length, check sum, event, check sum."""
    from tensorboardX.proto.event_pb2 import Event as Record

    data, at = path.read_bytes(), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        event = Record.FromString(data[at + 12 : at + 12 + size])
        at += 16 + size
        for value in event.summary.value:
            yield value.tag, (value.simple_value, event.step)


@pytest.mark.filterwarnings("default")  # of MLflow, about its use of SQLAlchemy
def test_mlflow_gets_one_run_with_the_metrics_of_all(
    actors: Actors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record(actors, tmp_path / "trial", "mlflow")
    client = MlflowClient(f"sqlite:///{tmp_path / 'trial' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("RoleML")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("trial", "FINISHED")
    losses = client.get_metric_history(run.info.run_id, "client1/learner/loss")
    assert [(each.step, each.value) for each in sorted(losses, key=lambda each: each.step)] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
    ]


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_what_is_not_installed_says_how_to_get_it(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'roleml\[{name}\]'"):
        FORMATS[name](tmp_path)


def test_an_unknown_format_is_named(actors: Actors, tmp_path: Path) -> None:
    recorder = MetricsRecorder(str(tmp_path / "run"), ["jsonl", "cvs"])
    actors.start("server", {"recorder": recorder})
    with pytest.raises(ValueError, match="unknown format of a record 'cvs'; did you mean 'csv'"):
        recorder.write(Entry(1.0, rml.RoleInstanceID("a", "b"), 1, {}))
    assert not (tmp_path / "run").exists()


def test_a_record_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    whole = Entry(1.0, rml.RoleInstanceID("a", "b"), None, {"x": [1, 2]}).to_json()
    path.write_text(f'{whole}\n{{"time": 2', encoding="utf-8")
    assert read_record(path) == [Entry(1.0, rml.RoleInstanceID("a", "b"), None, {"x": [1, 2]})]


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"time": "x", "source": "a/b", "step": 1}', "nonsense"])
def test_what_is_no_record_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text(f"{line}\n{json.dumps({'more': 1})}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"record.jsonl:1: "):
        read_record(path)


def test_what_json_does_not_know_is_written_as_text() -> None:
    values: dict[str, Any] = {"a": np.float64(0.5), "b": np.int8(3), "c": Path("/x"), "d": np.arange(2)}
    text = Entry(1.0, rml.RoleInstanceID("a", "b"), 1, values).to_json()
    assert json.loads(text) == {
        "a": 0.5, "b": 3, "c": "/x", "d": "[0 1]", "time": 1.0, "source": "a/b", "step": 1
    }  # fmt: skip
