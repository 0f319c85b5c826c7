"""What an actor tells of itself to whoever asks: its roles, what they do, and what went wrong last.

Every actor answers, on every transport, without a role for it. A report holds names, states and numbers, and
the text of the last error; never args, payloads or elements.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import roleml
from roleml.core.actor.events import Events
from roleml.core.actor.handled import Handled
from roleml.core.actor.status import RoleStatusManager
from roleml.core.context import Context
from roleml.core.role.base import Role
from roleml.core.status import Status
from roleml.messaging.envelope import Kind
from roleml.messaging.exceptions import MessagingError
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.pending import Pending

__all__ = ["REPORT", "Inquiry", "Report", "Reports"]

#: Of the calls that wait for an answer, as many are listed, the oldest ones.
MOST_WAITING = 50
#: The control that asks for a report.
REPORT = "report"

Report = dict[str, Any]


@dataclass(frozen=True)
class Reports:
    """Makes the reports of one actor."""

    ctx: Context
    mailbox: Mailbox
    statuses: RoleStatusManager
    events: Events
    handled: Handled
    roles: Mapping[str, Role]
    since_s: float

    def make(self) -> Report:
        """A report, in types of JSON. Ages and durations are in seconds."""
        now, transport, sent = time.monotonic(), self.mailbox.transport, self.mailbox.traffic.sent
        waiting = self.mailbox.unanswered
        return {
            "actor": self.ctx.profile.name,
            "version": roleml.__version__,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "up_s": now - self.since_s,
            "roles": {name: self._role(name) for name in list(self.roles)},
            "relationships": {
                name: sorted(map(str, self.ctx.relationships.get_relationship_view(name)))
                for name in self.ctx.relationships.all_relationships()
            },
            "subscriptions": [
                {"role": each.subscriber, "source": str(each.origin.source), "channel": each.origin.channel}
                for each in self.events.subscriptions()
            ],
            "calls": [
                {
                    "role": call.source,
                    "target": "/".join(call.target),
                    "channel": call.channel,
                    "number": number,
                }
                for call, number in self.mailbox.traffic.calls.items()
            ],
            "waiting": len(waiting),
            "waiting_for": [
                {
                    "kind": pending.kind.value,
                    "target": str(pending),
                    "accepted": pending.accepted,
                    "for_s": now - pending.since,
                }
                for pending in waiting[:MOST_WAITING]
            ],
            "sent": sent._asdict(),
            "links": dict(self.mailbox.traffic.links),
            "arriving": [each._asdict() for each in transport.arriving],
            "rejected": dict(transport.rejected),
            "redelivered": transport.redelivered,
            "last_failure": self._last_failure(now),
        }

    def _role(self, name: str) -> dict[str, Any]:
        control, role = self.statuses.ctrls.get(name), self.roles.get(name)
        if control is None or role is None:  # it has just ended
            return {"status": Status.TERMINATED.name}
        done, failures = self.handled.of(name)
        cls = type(role)
        return {
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "status": control.status.name,
            "executing": control.executing,
            "handled": done,
            "failures": failures,
            "durations": self.handled.durations(name),
            "services": sorted(cls.services),
            "tasks": sorted(cls.tasks),
            "events": self.events.emitted(name),
        }

    def _last_failure(self, now: float) -> dict[str, Any] | None:
        last = self.handled.last_failure
        if last is None:
            return None
        return {
            "where": last.where, "type": last.error_type, "text": last.text, "ago_s": now - last.at_s
        }  # fmt: skip


class Inquiry:
    """Asks other actors for their reports, as often as wanted: one that owes a report is not asked again."""

    def __init__(self, name: str, mailbox: Mailbox) -> None:
        self._me = (name, "")
        self._mailbox = mailbox
        self._asked: dict[str, Pending] = {}

    def ask(self, actors: Collection[str], timeout_s: float) -> dict[str, Report | MessagingError | None]:
        """Of each actor its report, the error if it is not there, or ``None``: it is, and does not answer.

        Waits ``timeout_s`` for all of them together.
        """
        new = [name for name in actors if name not in self._asked]
        targets = [(name, "") for name in new]
        self._asked |= zip(
            new, self._mailbox.post(Kind.CONTROL, self._me, targets, REPORT, None), strict=True
        )
        deadline_s = time.monotonic() + timeout_s
        return {name: self._answer(name, deadline_s - time.monotonic()) for name in actors}

    def _answer(self, name: str, timeout_s: float) -> Report | MessagingError | None:
        if not self._asked[name].wait(max(timeout_s, 0)):
            return None
        pending = self._asked.pop(name)
        try:
            report: Report = pending.value()
        except MessagingError as e:
            return e
        return report
