"""Who is there, and what became of what one asked of them.

Actors say when they come and go; a will says that one was lost; a ping to the queue that exists exactly while
an actor is connected comes back if it is not. What all that cannot tell is whether a request was lost on its
way, with a broker or a process. So whoever waits asks for it, by the way that the request took.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from roleml.messaging.envelope import Address, Envelope, Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.connection import Connection, Timer
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.wire import headers_of
from roleml.messaging.transport import Presence

__all__ = ["QUESTIONS", "Peers", "is_ping"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: When an actor that is new to us is looked for again, as is one whose will was read: it may be dying, with
#: its will published before we watched it; or frozen, with its connection there until a heartbeat is missed.
ASKED_AGAIN_S = (1.0, 5.0, 15.0, 30.0, 60.0)
#: Requests that one question is about.
QUESTIONS = 1000
#: How long an actor whose connection was lost may take to come back before it counts as down.
GRACE_S = 0.8
#: The same after this process itself was disconnected: the broker may have been down for everyone.
RETURN_S = 15.0

_PING = "ping"


def is_ping(envelope: Envelope) -> bool:
    return envelope.kind is Kind.CONTROL and envelope.channel == _PING


class Peers:
    """The other actors, as one actor knows them.

    ``changed(actor, state)`` hears, in the consuming connection's thread, that one is ready or gone, and that
    the actor itself is back. Until :meth:`stop`, what is planned is done in that thread.
    """

    def __init__(
        self,
        name: str,
        boot: str,
        publish: Callable[[Outgoing], Any],
        consuming: Connection,
        changed: Callable[[str, Presence], Any],
    ) -> None:
        self._name = name
        self._boot = boot
        self._publish = publish
        self._consuming = consuming
        self._changed = changed
        self._stopped = False
        self._reachable: set[str] = set()
        #: who said that it is there since it was pinged last: that ping may come back all the same
        self._heard_of: set[str] = set()
        #: what was asked and is not answered, other than tasks: the broker may lose it when it is killed
        self._asked: dict[str, Envelope] = {}
        #: of these, what has not been handed to the publisher yet: a question would overtake it
        self._unsent: set[str] = set()
        # below: only in the consuming connection's thread
        self._patient_until_s = 0.0
        self._doubtful: dict[tuple[str, str], Timer] = {}

    def stop(self) -> None:
        self._stopped = True

    # what is asked, and answered; any thread

    @property
    def unanswered(self) -> int:
        """Requests other than tasks that have no answer yet."""
        return len(self._asked)

    def asking(self, envelope: Envelope) -> None:
        """It is about to be sent: `sent` is called when it has been."""
        self._unsent.add(envelope.id)
        self._asked[envelope.id] = envelope
        if envelope.target[0] not in self._reachable:
            self._get_to_know(envelope.target[0])

    def sent(self, request_ids: Iterable[str]) -> None:
        self._unsent.difference_update(request_ids)

    def answered(self, request_id: str) -> None:
        """It needs no answer any more."""
        self._asked.pop(request_id, None)

    # who is there; any thread

    def announce(self, state: str) -> None:
        """Tell those who watch this actor."""
        headers = {"kind": "presence", "actor": self._name, "state": state, "boot": self._boot}
        self._publish(Outgoing(names.PRESENCE, names.presence_key(self._name, state), headers))

    def ping_came_back(self, actor: str) -> None:
        """Nobody of that name is connected."""
        self._consuming.post(lambda: self._no_answer(actor))

    def _get_to_know(self, actor: str) -> None:
        self._ping(actor)

        def ask_again() -> None:
            if actor in self._reachable and not self._stopped:
                self._ping(actor)
                self._ask_what_became_of_requests(actor)

        def plan() -> None:
            for delay_s in ASKED_AGAIN_S:
                self._consuming.after(delay_s, ask_again)

        self._consuming.post(plan)

    def _ping(self, actor: str) -> None:
        """Find out whether a connected actor of that name exists; if not, its absence comes back."""
        self._reachable.add(actor)
        self._heard_of.discard(actor)
        envelope = Envelope(Kind.CONTROL, "", (self._name, ""), (actor, ""), _PING)
        self._publish(Outgoing(names.CALL, names.alive_key(actor), headers_of(envelope), b"", envelope))

    # in the consuming connection's thread

    def disconnected(self) -> None:
        self._patient_until_s = float("inf")

    def connected_again(self, watched: Iterable[str]) -> None:
        """Say so, and find out who of those that are watched left meanwhile.

        The others may have lost the same broker, and get the time to come back, too.
        """
        self.announce("back")
        self._patient_until_s = time.monotonic() + RETURN_S
        for actor in watched:
            self._ping(actor)
        self._ask_what_became_of_requests()
        self._changed(self._name, Presence.READY)

    def _ask_what_became_of_requests(self, actor: str | None = None) -> None:
        """Have those who were asked something, or one of them, say what they never got.

        A killed broker loses requests and answers, and a killed process those that it has acknowledged. The
        question goes the way of the requests, so whoever gets it has got all that were sent before.
        """
        questions: defaultdict[tuple[Kind, Address, str], list[str]] = defaultdict(list)
        for envelope in list(self._asked.values()):
            if envelope.id in self._unsent or (actor is not None and envelope.target[0] != actor):
                continue
            key = (envelope.kind, envelope.target, envelope.channel)
            questions[key].append(f"{envelope.id} {envelope.source[1]}\n")
        for (kind, target, channel), lines in questions.items():
            envelope = Envelope(kind, "", (self._name, ""), target, channel)
            headers = headers_of(envelope) | {"question": 1}
            for start in range(0, len(lines), QUESTIONS):
                body = "".join(lines[start : start + QUESTIONS]).encode()
                self._publish(Outgoing(names.CALL, names.call_key(envelope), headers, body))

    def _no_answer(self, actor: str) -> None:
        if actor in self._heard_of:
            self._ping(actor)
        elif time.monotonic() < self._patient_until_s:
            self._consuming.after(GRACE_S, lambda: self._ping(actor))
        else:
            self._gone(actor, "nobody of that name is connected")

    def said(self, actor: str, state: str, boot: str) -> None:
        """``ready`` and ``down`` an actor says itself. ``lost`` says its will, ``back`` the actor after that.

        An actor that lost only its connection is back in a moment, with everything it was about to answer;
        one that was killed is not. So a will counts once that moment has passed.
        """
        if state == "lost":
            self._doubtful[actor, boot] = self._consuming.after(GRACE_S, lambda: self._lost(actor, boot))
            return
        timer = self._doubtful.pop((actor, boot), None)
        if timer is not None:
            self._consuming.forget(timer)
        if state == "down":
            self._gone(actor, "it said so")
        elif state in ("ready", "back"):
            self._reachable.add(actor)
            self._heard_of.add(actor)
            self._changed(actor, Presence.READY)  # who is back may have been taken for lost
            if state == "back":  # the node that keeps its queues may have been away, with what was in them
                self._ask_what_became_of_requests(actor)

    def _lost(self, actor: str, boot: str) -> None:
        if self._doubtful.pop((actor, boot), None) is not None:
            # it may have a successor already, which knows nothing of what the other one had
            self._get_to_know(actor)
            self._ask_what_became_of_requests(actor)

    def _gone(self, actor: str, why: str) -> None:
        logger.debug("%s: actor %s is down: %s", self._name, actor, why)
        self._reachable.discard(actor)
        self._heard_of.discard(actor)
        for envelope in list(self._asked.values()):
            if envelope.target[0] == actor:
                self._asked.pop(envelope.id, None)
        self._changed(actor, Presence.DOWN)
