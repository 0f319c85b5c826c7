"""Records an application from outside: an actor of its own, which follows all that log metrics."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from roleml.core.actor.actor import BaseActor
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.metrics import METRICS
from roleml.library.roles.recorder.base import MetricsRecorder
from roleml.library.roles.recorder.writers import DEFAULT_FORMATS

__all__ = ["ACTORS", "Recording"]

logger = logging.getLogger("roleml.recorder")

ACTORS = "actors.json"
"""The file with the last report of each actor, and when recording began and ended."""
ROLE = "recorder"
LAST_ENTRIES_S = 5.0
POLL_S = 0.01


class Recording:
    """Writes the metrics of the actors at a broker into a folder, and in the end a report of each actor.

    A context manager, for one thread: :meth:`follow` who is there, as often as wanted, and :meth:`finish`.

    Raises:
        MsgConnectionError: the broker cannot be used, or has an actor called ``name``.
    """

    def __init__(
        self,
        broker: str,
        folder: Path,
        formats: Sequence[str] = DEFAULT_FORMATS,
        *,
        name: str | None = None,
    ) -> None:
        self.folder = folder
        self._recorder = MetricsRecorder(str(folder), formats)
        self.actor = BaseActor(Context.build(ActorProfile(name or f"recorder-{os.getpid()}")), broker=broker)
        self._began = time.time()
        self._reports: dict[str, Any] = {}
        self._before: dict[RoleInstanceID, int] = {}

    def __enter__(self) -> Recording:
        self.actor.add_role(ROLE, self._recorder)
        self.actor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.actor.stop()

    @property
    def sources(self) -> Collection[RoleInstanceID]:
        """Whose metrics are recorded."""
        return self._before.keys()

    @property
    def entries(self) -> int:
        """How many entries were written."""
        return self._recorder.number

    def follow(self, actors: Collection[str], timeout_s: float = 5.0) -> None:
        """Record the roles of these actors that log metrics, from when this returns.

        Actors that do not answer in time are left for the next call. One that goes and comes back is recorded
        on.
        """
        for name, report in self._ask(actors, timeout_s).items():
            for role, told in report["roles"].items():
                source = RoleInstanceID(name, role)
                if METRICS in told.get("events", ()) and source not in self._before:
                    self._before[source] = told["events"][METRICS]
                    self.actor.ctx.relationships.add_to_relationship("recorded", source)
        deadline_s = time.monotonic() + timeout_s
        while self._not_subscribed() and time.monotonic() < deadline_s:
            time.sleep(POLL_S)

    def _not_subscribed(self) -> set[str]:
        return {str(source) for source in self._before} - {
            subscription["source"] for subscription in self.actor.report()["subscriptions"]
        }

    def finish(self, timeout_s: float = 5.0) -> None:
        """Wait for the metrics that were logged until now, and write down how each actor is.

        An actor that has gone is written down as it was when it was asked last.
        """
        reports = self._ask({source.actor_name for source in self._before} | self._reports.keys(), timeout_s)
        due: dict[RoleInstanceID, int] = {}
        for source, before in self._before.items():
            role = reports.get(source.actor_name, {}).get("roles", {}).get(source.instance_name, {})
            due[source] = role.get("events", {}).get(METRICS, 0) - before
        if not self._recorder.wait_for(due, LAST_ENTRIES_S):
            logger.warning("some metrics that were logged in the end are not in %s", self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        written = {"began": self._began, "ended": time.time(), "actors": self._reports}
        (self.folder / ACTORS).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")

    def _ask(self, actors: Collection[str], timeout_s: float) -> dict[str, Any]:
        answers = self.actor.reports_of(sorted(actors), timeout_s)
        found = {name: answer for name, answer in answers.items() if isinstance(answer, dict)}
        self._reports |= found
        return found
