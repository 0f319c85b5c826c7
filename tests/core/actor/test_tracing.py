"""Traces: a span for each call, and below it one for whoever serves it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import roleml.essentials as rml
from roleml.core.actor.tracing import OpenTelemetryTracing
from roleml.core.role.types import Message
from roleml.messaging.envelope import Kind
from tests.actors import DEADLINE_S, Actors, Probe, at, wait_until


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Of the process: OpenTelemetry lets the provider be set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture
def actors(spans: InMemorySpanExporter) -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


class Trainer(rml.Role):
    @rml.Task(expand=True)
    def train(self, _: rml.RoleInstanceID) -> str:
        return "update"

    @rml.Service(expand=True)
    def fail(self, _: rml.RoleInstanceID) -> None:
        raise ValueError("no data")


class Server(rml.Role):
    @rml.Task(expand=True)
    def run(self, _: rml.RoleInstanceID) -> Any:
        return self.call_task("trainer", "train").result(DEADLINE_S)


def named(spans: InMemorySpanExporter, number: int) -> dict[tuple[str, SpanKind], ReadableSpan]:
    wait_until(lambda: len(spans.get_finished_spans()) >= number)
    return {(span.name, span.kind): span for span in spans.get_finished_spans()}


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


@pytest.mark.parametrize("traced", [True, False])
def test_a_call_is_followed_from_actor_to_actor(
    actors: Actors, spans: InMemorySpanExporter, traced: bool
) -> None:
    probe = Probe()
    actors.start("client", {"trainer": Trainer()}, tracing=traced)
    trainer = {"trainer": ["client/trainer"]}
    actors.start("server", {"server": Server()}, relationships=trainer, tracing=traced)
    actors.start("caller", {"probe": probe}, tracing=traced)
    assert probe.call_task(at("server/server"), "run").result(DEADLINE_S) == "update"
    if not traced:
        assert spans.get_finished_spans() == ()
        return
    found = named(spans, 4)
    asked, ran = found["server.run", SpanKind.PRODUCER], found["server.run", SpanKind.CONSUMER]
    asked_next, trained = found["trainer.train", SpanKind.PRODUCER], found["trainer.train", SpanKind.CONSUMER]
    assert parent(asked) is None
    assert [parent(span) for span in (ran, asked_next, trained)] == [
        span.context.span_id for span in (asked, ran, asked_next)
    ]
    assert len({span.context.trace_id for span in found.values()}) == 1
    assert dict(trained.attributes or {}) == {
        "roleml.kind": "task",
        "roleml.source": "server/server",
        "roleml.target": "client/trainer",
        "roleml.channel": "train",
    }


def test_what_a_handler_raises_is_on_both_spans(actors: Actors, spans: InMemorySpanExporter) -> None:
    probe = Probe()
    actors.start("client", {"trainer": Trainer()}, tracing=True)
    actors.start("caller", {"probe": probe}, tracing=True)
    with pytest.raises(rml.HandlerError):
        probe.call(at("client/trainer"), "fail")
    found = named(spans, 2)
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        span = found["trainer.fail", kind]
        assert span.status.status_code is StatusCode.ERROR
        assert "no data" in str(dict(span.events[0].attributes or {})["exception.message"])


def test_a_group_is_one_span_with_all_its_members_below(actors: Actors, spans: InMemorySpanExporter) -> None:
    probe = Probe()
    for name in ("a", "b"):
        actors.start(name, {"trainer": Trainer()}, tracing=True)
    caller = actors.start("caller", {"probe": probe}, tracing=True)
    results: list[Any] = []
    members = [at("a/trainer"), at("b/trainer")]
    caller.call_task_group(
        "probe", members, "train", message=Message.empty(), on_result=lambda who, task: results.append(who)
    )
    wait_until(lambda: len(results) == 2 and len(spans.get_finished_spans()) == 3)
    (group,) = [span for span in spans.get_finished_spans() if span.kind is SpanKind.PRODUCER]
    below = [span for span in spans.get_finished_spans() if span.kind is SpanKind.CONSUMER]
    assert (group.attributes or {})["roleml.targets"] == ("a/trainer", "b/trainer")
    assert [parent(span) for span in below] == [group.context.span_id] * 2


def test_a_trace_that_is_none_begins_a_new_one(spans: InMemorySpanExporter) -> None:
    tracing = OpenTelemetryTracing()
    for text in ("garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000):
        with tracing.serving(Kind.SERVICE, ("a", "r"), ("b", "r"), "c", text):
            pass
    assert [parent(span) for span in spans.get_finished_spans()] == [None] * 3


def test_what_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'roleml\[otel\]'"):
        OpenTelemetryTracing()
