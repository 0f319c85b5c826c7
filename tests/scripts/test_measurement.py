from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from roleml.scripts.runner.recipes.measurement import MeasurementSession, base
from roleml.scripts.runner.recipes.measurement.resource import ResourceMeasurementSession
from roleml.scripts.runner.recipes.measurement.resource import run as resource
from roleml.scripts.runner.recipes.measurement.temperature_rpi import RPITemperatureMeasurementSession
from roleml.scripts.runner.recipes.measurement.temperature_rpi import run as temperature_rpi
from tests.actors import wait_until

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}"


@pytest.fixture(autouse=True)
def at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure often, wait for no baseline, write into the test's folder."""
    monkeypatch.setattr(base, "INTERVAL_S", 0.001)
    monkeypatch.setattr(MeasurementSession.begin, "__defaults__", (0.0,))
    monkeypatch.chdir(tmp_path)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_cpu_and_memory_are_appended_below_a_header(tmp_path: Path) -> None:
    path = tmp_path / "resource.log"
    path.write_text("earlier\n")
    with ResourceMeasurementSession(app_name="fedavg"):
        wait_until(lambda: len(lines(path)) > 3)
    earlier, header, *measured = lines(path)
    assert (earlier, header) == ("earlier", "BELOW IS FEDAVG")
    for line in measured:
        assert re.fullmatch(rf"{TIME} -- CPU: \d+\.\d%; RAM: VSZ \d+kB, RSS \d+kB", line)


def test_measuring_without_psutil_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'roleml\[metrics\]'"):
        ResourceMeasurementSession()


def test_the_temperature_is_measured_for_a_while(tmp_path: Path) -> None:
    sensor = tmp_path / "temp"
    sensor.write_text("48312\n")
    path = tmp_path / "temperature_rpi.log"
    session = RPITemperatureMeasurementSession(seconds=0.05, sensor=sensor)
    session.begin()
    session._thread.join()
    session.end()
    session.end()
    header, *measured = lines(path)
    assert header == "BELOW IS APP"
    assert measured
    for line in measured:
        assert re.fullmatch(rf"{TIME} -- Temperature: 48\.3'C", line)


def test_a_machine_without_the_sensor_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RPITemperatureMeasurementSession(sensor=tmp_path / "none").begin()
    assert not (tmp_path / "temperature_rpi.log").exists()


def test_the_file_stays_where_the_session_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ResourceMeasurementSession()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with session:
        pass
    assert lines(tmp_path / "resource.log")[0] == "BELOW IS APP"


def test_the_recipes_run_an_actor_from_the_remaining_arguments_while_they_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    for recipe in (resource, temperature_rpi):
        monkeypatch.setattr(recipe, "run_actor_from_cli", lambda **options: calls.append(options))
    sensor = tmp_path / "temp"
    sensor.write_text("50000")
    made: list[float] = []

    class Session(RPITemperatureMeasurementSession):
        def __init__(self, *, app_name: str, seconds: float) -> None:
            made.append(seconds)
            super().__init__(app_name=app_name, seconds=seconds, sensor=sensor)

    monkeypatch.setattr(temperature_rpi, "RPITemperatureMeasurementSession", Session)
    resource.run_with_resource_measurements(default_config_file="a.yaml")
    monkeypatch.setattr(sys, "argv", ["program", "--rpi:time", "7", "-c", "a.yaml"])
    temperature_rpi.run_with_temperature_rpi_measurements("gossip")
    monkeypatch.setattr(sys, "argv", ["program"])
    temperature_rpi.run_with_temperature_rpi_measurements("gossip", default_time=9)
    assert calls == [
        {"default_config_file": "a.yaml"},
        {"arguments": ["-c", "a.yaml"]},
        {"arguments": []},
    ]
    assert made == [7, 9]
    assert lines(tmp_path / "resource.log")[0] == "BELOW IS DML"
    assert lines(tmp_path / "temperature_rpi.log")[0] == "BELOW IS GOSSIP"
