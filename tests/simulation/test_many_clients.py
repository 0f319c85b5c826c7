"""The example with hundreds of clients, with fewer of them."""

from __future__ import annotations

import dataclasses
import sys
import threading
from pathlib import Path

import pytest

from roleml.shared.yml import load_yaml
from roleml.simulation import Experiment, run
from roleml.simulation.devices import check_devices

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "simulation"


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Two rounds with a tenth of 100 clients."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    whole = Experiment.load(EXAMPLE / "config.yaml")
    config = {**whole.config, "profiles": whole.config["profiles"][:101]}
    fewer = dataclasses.replace(whole, config=config)
    return fewer.changed(commands=["start --num_rounds 2 --select_ratio 0.1"]).quieter()


def test_the_example_has_500_clients() -> None:
    assert Experiment.load(EXAMPLE / "config.yaml").actor_names == [
        "server",
        *(f"client{number}" for number in range(1, 501)),
    ]


def test_a_tenth_of_100_clients_trains_without_a_thread_for_each(experiment: Experiment) -> None:
    most = 0

    class Counting(threading.Thread):
        def start(self) -> None:
            nonlocal most
            super().start()
            most = max(most, threading.active_count())

    with pytest.MonkeyPatch.context() as patch:
        before = threading.active_count()
        patch.setattr(threading, "Thread", Counting)
        outcome = run(experiment)
    assert (outcome.actors, outcome.roles) == (102, 104)
    assert outcome.result["rounds"] == 2
    assert outcome.result["accuracy"] > 0.1
    assert 0 < most < before + 102


def test_slow_devices_change_nothing_of_what_is_learnt(experiment: Experiment) -> None:
    devices = {"client.*": {"seconds": {"train": [0.0, 0.1]}, "up_mbps": [10, 50], "jitter_ms": 10}}
    assert run(experiment.changed(devices=devices)).result == run(experiment).result


def test_the_devices_of_the_example_are_valid() -> None:
    check_devices(load_yaml(EXAMPLE / "devices.yaml"))
