"""The figures of an application, as Prometheus wants them, collected whenever it asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from roleml.cli.status.survey import Survey, Surveyor
from roleml.core.actor.handled import BUCKETS_S

__all__ = ["ApplicationCollector", "families"]


class ApplicationCollector(Collector):
    """Asks all actors, and the broker's management pages, at each scrape."""

    def __init__(self, surveyor: Surveyor, timeout_s: float) -> None:
        self._surveyor = surveyor
        self._timeout_s = timeout_s
        self._one_at_a_time = threading.Lock()

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: nobody has to be there when the exporter starts."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        began_s = time.monotonic()
        with self._one_at_a_time:
            survey = self._surveyor.look(self._timeout_s)
        yield from families(survey)
        took = GaugeMetricFamily("roleml_survey_seconds", "How long it took to ask everybody.")
        took.add_metric([], time.monotonic() - began_s)
        yield took


def families(survey: Survey) -> Iterator[Metric]:
    """What is known of all actors. Those that are offline have few figures, and do not vanish."""
    yield from _of_the_broker(survey)
    reports = {name: sight.report for name, sight in survey.actors.items() if sight.report is not None}
    yield from _of_actors(reports)
    yield from _of_roles(reports)


def _of_the_broker(survey: Survey) -> Iterator[Metric]:
    online = GaugeMetricFamily(
        "roleml_actor_online", "1 where the actor answers, 0 where it is silent or offline.", labels=["actor"]
    )
    waiting = GaugeMetricFamily(
        "roleml_queue_waiting", "Requests that nobody has taken.", labels=["actor", "role", "kind"]
    )
    running = GaugeMetricFamily(
        "roleml_tasks_unfinished", "Tasks that were taken and are not done.", labels=["actor", "role"]
    )
    aside = GaugeMetricFamily(
        "roleml_tasks_set_aside", "Tasks that killed the actor three times.", labels=["actor"]
    )
    for name, sight in survey.actors.items():
        online.add_metric([name], sight.presence == "online")
        if survey.without_queues is None:
            aside.add_metric([name], sight.set_aside)
            for role, backlog in sight.backlogs.items():
                waiting.add_metric([name, role, "service"], backlog.services)
                waiting.add_metric([name, role, "task"], backlog.tasks)
                running.add_metric([name, role], backlog.running)
    yield from (online, waiting, running, aside)


def _of_actors(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    up = GaugeMetricFamily("roleml_actor_up_seconds", "Since the actor started.", labels=["actor", "version"])
    messages = CounterMetricFamily("roleml_sent_messages", "Handed to the broker.", labels=["actor"])
    nbytes = CounterMetricFamily("roleml_sent_bytes", "Of these, without headers.", labels=["actor"])
    links = CounterMetricFamily(
        "roleml_link_bytes", "For each receiver, without events.", labels=["actor", "target"]
    )
    calls = CounterMetricFamily(
        "roleml_calls", "Services and tasks called.", labels=["actor", "role", "target", "channel"]
    )
    unanswered = GaugeMetricFamily("roleml_calls_unanswered", "Calls without an answer.", labels=["actor"])
    oldest = GaugeMetricFamily(
        "roleml_calls_unanswered_seconds", "How long the oldest of them has waited.", labels=["actor"]
    )
    arriving = GaugeMetricFamily("roleml_arriving_bytes", "Of payloads under way.", labels=["actor"])
    rejected = CounterMetricFamily("roleml_rejected_messages", "Turned away.", labels=["actor", "reason"])
    redelivered = CounterMetricFamily(
        "roleml_redelivered_messages", "Delivered before, as the broker says.", labels=["actor"]
    )
    for name, report in reports.items():
        up.add_metric([name, report["version"]], report["up_s"])
        messages.add_metric([name], report["sent"]["messages"])
        nbytes.add_metric([name], report["sent"]["nbytes"])
        for target, number in report["links"].items():
            links.add_metric([name, target], number)
        for call in report["calls"]:
            calls.add_metric([name, call["role"], call["target"], call["channel"]], call["number"])
        unanswered.add_metric([name], report["waiting"])
        oldest.add_metric([name], max((each["for_s"] for each in report["waiting_for"]), default=0.0))
        arriving.add_metric([name], sum(each["nbytes"] for each in report["arriving"]))
        for reason, number in report["rejected"].items():
            rejected.add_metric([name, reason], number)
        redelivered.add_metric([name], report["redelivered"])
    yield from (
        up, messages, nbytes, links, calls, unanswered, oldest, arriving, rejected, redelivered
    )  # fmt: skip


def _of_roles(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    ready = GaugeMetricFamily(
        "roleml_role_ready", "1 where the role is in service.", labels=["actor", "role"]
    )
    executing = GaugeMetricFamily("roleml_executing", "Handlers at work.", labels=["actor", "role"])
    failures = CounterMetricFamily(
        "roleml_failures", "Handlers, and run(), that raised.", labels=["actor", "role"]
    )
    emitted = CounterMetricFamily(
        "roleml_emitted_events", "Events emitted.", labels=["actor", "role", "channel"]
    )
    handling = HistogramMetricFamily(
        "roleml_handling_seconds",
        "How long handlers of services, tasks and events took that returned.",
        labels=["actor", "role", "channel"],
    )
    for name, report in reports.items():
        for role_name, role in report["roles"].items():
            if "class" not in role:  # it has just ended
                continue
            ready.add_metric([name, role_name], role["status"] == "READY")
            executing.add_metric([name, role_name], role["executing"])
            failures.add_metric([name, role_name], role["failures"])
            for channel, number in role["events"].items():
                emitted.add_metric([name, role_name, channel], number)
            for channel, durations in role["durations"].items():
                total, buckets = 0, []
                for limit, number in zip((*map(str, BUCKETS_S), "+Inf"), durations["buckets"], strict=True):
                    total += number
                    buckets.append((limit, total))
                handling.add_metric([name, role_name, channel], buckets, durations["seconds"])
    yield from (ready, executing, failures, emitted, handling)
