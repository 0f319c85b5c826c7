"""What an actor tells of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

import roleml
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, EventHandler, Service, Task
from roleml.core.role.exceptions import HandlerError
from roleml.core.role.types import Message
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.traffic import MOST_CALLS, Called, Traffic
from roleml.shared.interfaces import Runnable
from tests.actors import DEADLINE_S, Actors, Gate, Probe, at, in_thread, wait_until


class Trainer(Role):
    trained = Event()

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Service()
    def ping(self, *_: Any) -> str:
        return "pong"

    @Task()
    def train(self, *_: Any) -> None:
        self.gate.pass_through()

    @Service()
    def fail(self, *_: Any) -> None:
        raise ValueError("no data")


class Server(Role):
    @EventHandler("trainer", "trained")
    def on_trained(self, *_: Any) -> None:
        raise KeyError("round 7")


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


def test_a_report_tells_of_roles_calls_and_relationships_in_json(actors: Actors) -> None:
    trainer = Trainer()
    trainer.gate.open()
    client = actors.start("client", {"trainer": trainer})
    server = actors.start("server", {"server": Server()}, relationships={"trainer": ["client/trainer"]})
    probe = Probe()
    server.add_role("probe", probe)
    server.start_role("probe")
    for _ in range(3):
        assert probe.call("trainer", "ping") == "pong"

    report = json.loads(json.dumps(client.report()))
    durations = report["roles"]["trainer"].pop("durations")["ping"]
    assert (durations["number"], sum(durations["buckets"])) == (3, 3)
    assert durations["seconds"] > 0
    assert (report["actor"], report["version"], report["pid"]) == ("client", roleml.__version__, os.getpid())
    assert report["roles"]["trainer"] == {
        "class": f"{Trainer.__module__}.Trainer",
        "status": "READY",
        "executing": 0,
        "handled": 3,
        "failures": 0,
        "services": ["fail", "ping"],
        "tasks": ["train"],
        "events": {"trained": 0},
    }
    assert report["last_failure"] is None
    told = json.loads(json.dumps(server.report()))
    assert told["relationships"]["trainer"] == ["client/trainer"]
    assert told["calls"] == [{"role": "probe", "target": "client/trainer", "channel": "ping", "number": 3}]
    assert told["subscriptions"] == [{"role": "server", "source": "client/trainer", "channel": "trained"}]
    assert told["sent"]["messages"] > 3
    assert set(told["links"]) == {"client"}
    assert 0 < told["links"]["client"] <= told["sent"]["nbytes"]


def test_a_report_tells_what_runs_and_who_is_waited_for(actors: Actors) -> None:
    trainer, probe = Trainer(), Probe()
    client = actors.start("client", {"trainer": trainer})
    caller = actors.start("caller", {"probe": probe})
    task = probe.call_task(at("client/trainer"), "train")
    trainer.gate.entered()
    assert client.report()["roles"]["trainer"]["executing"] == 1
    (waiting,) = caller.report()["waiting_for"]
    assert (waiting["kind"], waiting["target"], waiting["accepted"]) == ("task", "client/trainer.train", True)
    assert waiting["for_s"] >= 0
    trainer.gate.open()
    task.result(DEADLINE_S)
    assert caller.report()["waiting"] == 0
    wait_until(lambda: client.report()["roles"]["trainer"]["executing"] == 0)


def test_a_report_tells_the_last_failure_of_a_call_an_event_or_run(actors: Actors) -> None:
    trainer, probe = Trainer(), Probe()
    client = actors.start("client", {"trainer": trainer})
    server = actors.start("server", {"server": Server()}, relationships={"trainer": ["client/trainer"]})
    actors.start("caller", {"probe": probe})
    with pytest.raises(HandlerError, match="no data"):
        probe.call(at("client/trainer"), "fail")
    failure = client.report()["last_failure"]
    assert (failure["where"], failure["type"]) == ("client/trainer.fail", "ValueError")
    assert (failure["text"], client.report()["roles"]["trainer"]["failures"]) == ("no data", 1)

    client.emit("trainer", "trained", Message({}, {}))
    wait_until(lambda: server.report()["last_failure"])
    assert client.report()["roles"]["trainer"]["events"] == {"trained": 1}
    assert server.report()["last_failure"]["where"] == "server/server on client/trainer.trained"
    assert server.report()["roles"]["server"]["failures"] == 1

    class Runs(Role, Runnable):
        def run(self) -> None:
            raise RuntimeError("out of memory")

    client.add_role("runs", Runs())
    client.start_role("runs")
    wait_until(lambda: client.report()["last_failure"]["type"] == "RuntimeError")
    assert client.report()["last_failure"]["where"] == "client/runs.run()"


def test_others_are_asked_all_at_once_and_those_that_are_not_there_are_named(actors: Actors) -> None:
    actors.start("client", {"trainer": Trainer()})
    asking = actors.start("asking")
    answers = asking.reports_of(["client", "nobody", "asking"], timeout_s=DEADLINE_S)
    assert isinstance(answers["client"], dict)
    assert "trainer" in answers["client"]["roles"]
    assert isinstance(answers["asking"], dict)
    assert isinstance(answers["nobody"], MsgConnectionError)
    assert "no actor of that name" in str(answers["nobody"])


def test_an_actor_that_is_silent_is_not_asked_again_before_it_has_answered(actors: Actors) -> None:
    client = actors.start("client")
    asking = actors.start("asking")
    gate = Gate()
    whole = client.report
    client.report = lambda: gate.pass_through() or whole()
    assert asking.reports_of(["client"], timeout_s=0)["client"] is None
    gate.entered()
    later = in_thread(asking.reports_of, ["client"], DEADLINE_S)
    gate.open()
    answer = later.result(DEADLINE_S)["client"]
    assert isinstance(answer, dict)
    assert asking.report()["waiting"] == 0


def test_calls_beyond_what_is_told_apart_are_counted_together() -> None:
    traffic = Traffic()
    for number in range(MOST_CALLS + 5):
        traffic.called("role", ("actor", "role"), f"channel{number}")
    assert len(traffic.calls) == MOST_CALLS + 1
    assert traffic.calls[Called("role", ("", ""), "")] == 5


def test_receivers_are_told_apart_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roleml.messaging.traffic.MOST_ACTORS", 3)
    traffic = Traffic()
    for number in (1, 2, 3, 4, 5, 3):
        traffic.count(10, [f"actor{number}"])
    assert traffic.links == {"actor1": 10, "actor2": 10, "actor3": 20, "": 20}
