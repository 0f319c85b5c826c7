"""`roleml prometheus`: what Prometheus gets."""

from __future__ import annotations

import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import roleml.essentials as rml
from roleml.cli.main import main
from roleml.cli.prometheus.collector import families
from roleml.cli.status.survey import Backlog, Sight, Survey
from tests.actors import Actors, Probe
from tests.programs import Program

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """As Prometheus reads them: name and labels to value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def exposed(survey: Survey) -> Samples:
    class Once(Collector):
        def collect(self) -> Any:
            return families(survey)

    registry = CollectorRegistry()
    registry.register(Once())
    return samples(generate_latest(registry).decode())


class Server(rml.Role):
    done = rml.Event()

    @rml.Service(expand=True)
    def add(self, _: rml.RoleInstanceID, a: int) -> int:
        self.done.emit()
        return a + 1

    @rml.Service(expand=True)
    def fail(self, _: rml.RoleInstanceID) -> None:
        raise ValueError("no")


def test_the_figures_of_actors_are_those_of_their_reports() -> None:
    actors, probe = Actors(), Probe()
    try:
        server = actors.start("server", {"server": Server()})
        caller = actors.start("caller", {"probe": probe})
        for _ in range(3):
            probe.call(rml.RoleInstanceID("server", "server"), "add", {"a": 1})
        with pytest.raises(rml.HandlerError):
            probe.call(rml.RoleInstanceID("server", "server"), "fail")
        sights = {
            actor.profile.name: Sight(actor.profile.name, "online", actor.report())
            for actor in (server, caller)
        }
    finally:
        actors.stop()
    found = exposed(Survey(sights, None, 0.0))
    assert value(found, "roleml_actor_online", actor="server") == 1
    labels = {"actor": "server", "role": "server"}
    assert value(found, "roleml_role_ready", **labels) == 1
    assert value(found, "roleml_failures_total", **labels) == 1
    assert value(found, "roleml_emitted_events_total", channel="done", **labels) == 3
    assert value(found, "roleml_handling_seconds_count", channel="add", **labels) == 3
    assert value(found, "roleml_handling_seconds_bucket", channel="add", le="100.0", **labels) == 3
    assert value(found, "roleml_handling_seconds_sum", channel="add", **labels) > 0
    target = {"actor": "caller", "role": "probe", "target": "server/server"}
    assert value(found, "roleml_calls_total", channel="add", **target) == 3
    assert value(found, "roleml_link_bytes_total", actor="caller", target="server") > 0


def test_what_the_broker_holds_is_there_for_actors_that_are_offline() -> None:
    gone = Sight("c1", "offline", None, {"trainer": Backlog(services=1, tasks=2, running=3)}, set_aside=4)
    found = exposed(Survey({"c1": gone}, None, 0.0))
    assert value(found, "roleml_actor_online", actor="c1") == 0
    assert value(found, "roleml_queue_waiting", actor="c1", role="trainer", kind="task") == 2
    assert value(found, "roleml_queue_waiting", actor="c1", role="trainer", kind="service") == 1
    assert value(found, "roleml_tasks_unfinished", actor="c1", role="trainer") == 3
    assert value(found, "roleml_tasks_set_aside", actor="c1") == 4
    without = exposed(Survey({"c1": gone}, "no plugin", 0.0))
    assert {name for name, _ in without} == {"roleml_actor_online"}


@pytest.mark.timeout(60)
def test_it_is_scraped_until_it_is_stopped(broker_url: str, tmp_path: Path) -> None:
    actors = Actors()
    actors.broker = broker_url
    (tmp_path / "all.yaml").write_text("profiles: [{name: server, roles: {}}, {name: gone, roles: {}}]\n")
    nowhere = ["--management", "http://guest:guest@127.0.0.1:1"]
    try:
        actors.start("server", {"server": Server()})
        arguments = ["prometheus", "all.yaml", "--port", "0", "--broker", broker_url, *nowhere]
        with Program(tmp_path, "roleml", *arguments) as program:
            address = program.line_with("http://")
            for _ in range(2):
                with urllib.request.urlopen(address, timeout=20) as response:
                    found = samples(response.read().decode())
                assert value(found, "roleml_actor_online", actor="server") == 1
                assert value(found, "roleml_actor_online", actor="gone") == 0
                assert value(found, "roleml_survey_seconds") > 0
            program.interrupt()
            assert program.end() == 128 + signal.SIGINT, program.text
            assert "Traceback" not in program.text
    finally:
        actors.stop()


@pytest.mark.timeout(60)
def test_a_port_in_use_is_refused(
    broker_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "all.yaml"
    config.write_text("profiles: [{name: server, roles: {}}]\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        nowhere = ["--management", "http://guest:guest@127.0.0.1:1"]
        assert main(["prometheus", str(config), "--port", port, "--broker", broker_url, *nowhere]) == 2
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_what_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("roleml.cli.prometheus.command.find_spec", lambda name: None)
    assert main(["prometheus", "--broker", "amqp://localhost"]) == 2
    assert "pip install 'roleml[prometheus]'" in capsys.readouterr().err
