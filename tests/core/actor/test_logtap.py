"""The log of an actor, as others hear it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.core.actor import logtap
from roleml.core.actor.logtap import LogBuffer
from tests.actors import Actors, Probe, at, wait_until


class Talker(rml.Role):
    @rml.Service(expand=True)
    def say(self, _: rml.RoleInstanceID, text: str, times: int = 1) -> None:
        for _i in range(times):
            self.logger.info("%s", text)

    @rml.Service(expand=True)
    def fail(self, _: rml.RoleInstanceID) -> None:
        try:
            raise ValueError("no data")
        except ValueError:
            self.logger.exception("it went wrong")


@pytest.fixture(autouse=True)
def everything_from_info() -> Iterator[None]:
    root = logging.getLogger("roleml")
    level = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(level)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtap, "BATCH_EVERY_S", 0.01)


def listening(actors: Actors, *names: str) -> list[tuple[str, dict[str, Any]]]:
    """What the logs of these actors say from now on, as `(actor, args)`."""
    heard: list[tuple[str, dict[str, Any]]] = []
    probe = Probe()
    actors.start("listener", {"probe": probe})
    for name in names:
        probe.subscribe(
            at(f"{name}/actor"), "log", lambda source, args, _: heard.append((source[0], dict(args)))
        )
    return heard


def texts(heard: list[tuple[str, dict[str, Any]]], actor: str) -> list[str]:
    return [record["text"] for name, args in heard if name == actor for record in args["records"]]


def test_what_an_actor_logs_is_heard_as_its_own_also_where_several_share_a_process(actors: Actors) -> None:
    for name in ("a", "b"):
        actors.start(name, {"talker": Talker()})
    heard = listening(actors, "a", "b")
    probe = Probe()
    actors.start("caller", {"probe": probe})
    for name in ("a", "b"):
        probe.call(at(f"{name}/talker"), "say", {"text": f"I am {name}"})
    wait_until(lambda: len(texts(heard, "a")) == len(texts(heard, "b")) == 1)
    assert (texts(heard, "a"), texts(heard, "b")) == (["I am a"], ["I am b"])
    (record,) = heard[0][1]["records"]
    assert (record["level"], record["logger"]) == ("INFO", "roleml.roles.talker")
    assert record["time"] > 1e9


def test_an_exception_comes_with_its_traceback(actors: Actors) -> None:
    actors.start("a", {"talker": Talker()})
    heard = listening(actors, "a")
    probe = Probe()
    actors.start("caller", {"probe": probe})
    probe.call(at("a/talker"), "fail")
    wait_until(lambda: texts(heard, "a"))
    assert texts(heard, "a")[0].startswith("it went wrong\nTraceback")
    assert texts(heard, "a")[0].endswith("ValueError: no data")


def test_what_is_beyond_the_rate_is_counted_and_told(actors: Actors) -> None:
    actors.start("a", {"talker": Talker()})
    heard = listening(actors, "a")
    probe = Probe()
    actors.start("caller", {"probe": probe})
    probe.call(at("a/talker"), "say", {"text": "again", "times": 1000})
    wait_until(lambda: sum(args["dropped"] for _, args in heard) > 0)
    probe.call(at("a/talker"), "say", {"text": "more"})
    wait_until(lambda: len(texts(heard, "a")) + sum(args["dropped"] for _, args in heard) >= 1000)
    assert logtap.BURST <= len(texts(heard, "a")) < 500


def test_an_actor_that_does_not_want_it_passes_nothing_on(actors: Actors) -> None:
    actors.start("a", {"talker": Talker()}, log_remote=False)
    actors.start("b", {"talker": Talker()})
    heard = listening(actors, "a", "b")
    probe = Probe()
    actors.start("caller", {"probe": probe})
    for name in ("a", "b"):
        probe.call(at(f"{name}/talker"), "say", {"text": "hello"})
    wait_until(lambda: texts(heard, "b"))
    assert texts(heard, "a") == []


def test_where_nobody_listens_nothing_is_kept() -> None:
    emitted: list[dict[str, Any]] = []
    buffer = LogBuffer("a", lambda: False, emitted.append)
    buffer.put(logging.makeLogRecord({"msg": "x"}))
    buffer.flush()
    assert emitted == []


def test_what_passing_on_itself_logs_is_not_passed_on() -> None:
    emitted: list[dict[str, Any]] = []

    def emit(lines: dict[str, Any]) -> None:
        emitted.append(lines)
        buffer.put(logging.makeLogRecord({"msg": "passing on"}))

    buffer = LogBuffer("a", lambda: True, emit)
    buffer.put(logging.makeLogRecord({"msg": "x"}))
    buffer.flush()
    buffer.flush()
    assert [record["text"] for lines in emitted for record in lines["records"]] == ["x"]


def test_what_moves_records_is_heard_from_warnings_on(actors: Actors) -> None:
    actor = actors.start("a")
    heard = listening(actors, "a")
    with actor.ctx.activate():
        logging.getLogger("roleml.messaging").info("moved")
        logging.getLogger("roleml.messaging").warning("stuck")
    wait_until(lambda: texts(heard, "a"))
    assert texts(heard, "a") == ["stuck"]
