"""How the actors of an application are: what the broker holds for them, and what they tell of themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from roleml.core.actor.actor import BaseActor
from roleml.messaging.exceptions import MessagingError, MsgConnectionError
from roleml.messaging.rabbitmq.management import ManagementAPI

__all__ = ["Backlog", "Sight", "Survey", "Surveyor"]

_REQUESTS = re.compile(r"q\.(?P<actor>[^.]+)\.(?P<role>[^.@]+)\.(?P<kind>services|tasks)")
_OWN = re.compile(r"q\.(?P<actor>[^.]+)\.@(?P<kind>alive|inbox|dead)")
_COLUMNS = ["name", "messages_ready", "messages_unacknowledged"]


@dataclass
class Backlog:
    """What the broker holds for one role."""

    #: requests that nobody has taken yet
    services: int = 0
    tasks: int = 0
    #: tasks that were taken and are not done
    running: int = 0


@dataclass
class Sight:
    """What is known of one actor."""

    name: str
    #: ``online``; ``silent``: connected, and does not answer; ``offline``
    presence: str
    report: Mapping[str, Any] | None = None
    backlogs: dict[str, Backlog] = field(default_factory=dict)
    #: tasks that killed the actor three times
    set_aside: int = 0
    #: seconds since a surveyor saw it go, if it did
    gone_s: float | None = None

    @property
    def tasks_waiting(self) -> int:
        return sum(backlog.tasks for backlog in self.backlogs.values())


@dataclass(frozen=True)
class Survey:
    """All actors, by name, at one time."""

    actors: Mapping[str, Sight]
    #: why there are no figures of queues, if there are none
    without_queues: str | None
    #: when it was made, by a clock that only counts
    at_s: float


class Surveyor:
    """Looks again and again.

    Args:
        actor: asks the others, and is left out itself.
        api: of the broker's management pages, which know of queues, and who is there at all.
        expected: actors that should be there.
    """

    def __init__(
        self, actor: BaseActor, api: ManagementAPI, vhost: str, expected: Collection[str] = ()
    ) -> None:
        self._actor = actor
        self._api = api
        self._vhost = vhost
        self._expected = list(expected)
        self._online: set[str] = set()
        self._gone_s: dict[str, float] = {}

    def connected(self) -> list[str]:
        """Who is connected, or without the management pages, who is expected. Raises as `look`."""
        try:
            return sorted(self._queues({}))
        except MsgConnectionError:
            if not self._expected:
                raise
            return self._expected

    def look(self, timeout_s: float) -> Survey:
        """How everybody is now. ``timeout_s`` is for actors to answer.

        Raises:
            MsgConnectionError: nothing is known of anybody: the management pages cannot be had, and nobody
                is expected.
        """
        sights = {name: Sight(name, "offline") for name in self._expected}
        failure: str | None = None
        try:
            connected = self._queues(sights)
        except MsgConnectionError as e:
            if not self._expected:
                raise
            failure, connected = str(e), set(self._expected)
        self._ask(sights, connected, timeout_s)
        self._remember(sights)
        return Survey(dict(sorted(sights.items())), failure, time.monotonic())

    def _queues(self, sights: dict[str, Sight]) -> set[str]:
        """Fill in what the broker holds; returns who is connected."""
        connected = set()
        for queue in self._api.get("queues", self._vhost, columns=_COLUMNS):
            match = _REQUESTS.fullmatch(queue["name"]) or _OWN.fullmatch(queue["name"])
            if match is None or match["actor"] == self._actor.profile.name:
                continue
            sight = sights.setdefault(match["actor"], Sight(match["actor"], "offline"))
            ready = queue.get("messages_ready") or 0
            if match["kind"] == "alive":
                connected.add(sight.name)
            elif match["kind"] == "dead":
                sight.set_aside = ready
            elif match["kind"] in ("services", "tasks"):
                backlog = sight.backlogs.setdefault(match["role"], Backlog())
                setattr(backlog, match["kind"], ready)
                if match["kind"] == "tasks":
                    backlog.running = queue.get("messages_unacknowledged") or 0
        return connected

    def _ask(self, sights: Mapping[str, Sight], connected: set[str], timeout_s: float) -> None:
        answers = self._actor.reports_of(sorted(connected), timeout_s)
        for name, answer in answers.items():
            sight = sights[name]
            if isinstance(answer, MessagingError):
                sight.presence = "offline"
            elif answer is None:
                sight.presence = "silent"
            else:
                sight.presence, sight.report = "online", answer

    def _remember(self, sights: Mapping[str, Sight]) -> None:
        now = time.monotonic()
        for name in self._online - {n for n, sight in sights.items() if sight.presence == "online"}:
            self._gone_s.setdefault(name, now)
        for name, sight in sights.items():
            if sight.presence == "online":
                self._online.add(name)
                self._gone_s.pop(name, None)
            elif name in self._gone_s:
                sight.gone_s = now - self._gone_s[name]
