"""Which tasks this actor holds, so that each runs, and none runs twice here. Decisions only: no sockets.

The broker keeps a task until its result is safe. A delivery of a task is one of these:

::

    first delivery            -> RUN
    again, and running here   -> HOLD    the connection was lost: hold the new delivery instead of the old one
    again, and finished here  -> DROP    only the acknowledgement was lost; or a copy that counts more
    again, made progress      -> RUN     an earlier process died in the middle of it, and not of it
    again, not known here     -> COUNT   an earlier process of this actor died with it: put it back, with the
                                         number of deaths in a header, and run that copy
    the copy, died too often  -> SET_ASIDE
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from roleml.messaging.rabbitmq.seen import Seen

__all__ = ["MAX_CRASHES", "Decision", "Held", "TaskLedger"]

#: A task that ended so many processes of its actor is set aside.
MAX_CRASHES = 3


class Decision(Enum):
    RUN = "run"
    HOLD = "hold"
    DROP = "drop"
    COUNT = "count"
    SET_ASIDE = "set aside"


@dataclass
class Held:
    """The deliveries that the broker keeps for one task, its message first. Valid within one connection."""

    tags: list[int]
    generation: int
    #: of the message, as it came
    headers: Mapping[str, Any]


class TaskLedger:
    """The tasks of one actor process. Ids are those of `owned`: of a task and who asked for it."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._finished = Seen()
        self._counted: dict[str, int] = {}
        self._forgiven: set[str] = set()

    def forgive(self, task_ids: Iterable[str]) -> None:
        """These survive the next death without its being counted."""
        self._forgiven.update(task_ids)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, task_id: str) -> bool:
        """Whether the task runs here. For any thread."""
        return task_id in self._held

    def decide(self, task_id: str, *, redelivered: bool, crashes: int) -> Decision:
        if task_id in self._held:
            return Decision.HOLD
        if task_id in self._finished:
            return Decision.DROP
        # A process may die before it has let go of the delivery that it replaced by a copy: of several
        # copies, only the one that counted most deaths goes on.
        counted = self._counted.get(task_id, 0)
        if redelivered and task_id in self._forgiven:
            self._forgiven.discard(task_id)
            return Decision.RUN
        if redelivered:
            if crashes < counted:
                return Decision.DROP
            self._counted[task_id] = crashes + 1
            return Decision.COUNT
        if crashes < counted:
            return Decision.DROP
        self._counted.pop(task_id, None)
        if crashes < MAX_CRASHES:
            return Decision.RUN
        self._finished.first_time(task_id)
        return Decision.SET_ASIDE

    def hold(self, task_id: str, held: Held) -> None:
        """The task runs here, and these are its deliveries; older ones are void."""
        self._held[task_id] = held

    def release(self, task_id: str) -> Held | None:
        """The task was not begun, and will not be; returns the deliveries that another one replaces."""
        return self._held.pop(task_id, None)

    def finish(self, task_id: str) -> Held | None:
        """The result is safe; returns the deliveries to acknowledge. Another id is ignored."""
        held = self._held.pop(task_id, None)
        if held is not None:
            self._finished.first_time(task_id)
        return held
