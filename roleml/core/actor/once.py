"""Tasks that are one and the same run once: whoever asks again gets the answer of the first. No I/O."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Address
from roleml.messaging.exceptions import EncodeError

__all__ = ["Once", "TaskName"]

logger = logging.getLogger("roleml.managers.task")

#: Where an answer is kept: caller, role and channel. A newer one takes the place of an older one.
Place = tuple[Address, str, str]
#: So many are kept at most: callers may make up names of roles.
MOST_ANSWERS = 1000


class TaskName(NamedTuple):
    """What a task is known by: the key that its caller chose, or the id of the only call of it."""

    caller: Address
    role: str
    channel: str
    key: str

    @property
    def place(self) -> Place:
        return self.caller, self.role, self.channel


class _Running(NamedTuple):
    """A task that runs, and the ids of the calls that wait for it."""

    outcome: Future[Any]
    ids: list[str]


class Once:
    """The tasks of one actor that may be asked for again, and their last answers.

    A task that runs is joined. One that is done is answered from memory where answers are kept: the last one
    of each caller, role and channel, as it was when the handler returned. One that failed runs again.
    """

    def __init__(self, codec: Codec, *, keeps_answers: bool) -> None:
        self._codec = codec
        self._keeps_answers = keeps_answers
        self._lock = threading.Lock()
        self._running: dict[TaskName, _Running] = {}
        self._answers: dict[Place, tuple[str, bytes]] = {}

    def run(
        self,
        task: TaskName,
        task_id: str,
        work: Callable[[], Any],
        save: Callable[[], Any],
        quiescent: AbstractContextManager[Any],
    ) -> Any:
        """What ``work`` returns, now or earlier. ``save`` follows it, in the same ``quiescent`` block."""
        with self._lock:
            key, frame = self._answers.get(task.place, ("", b""))
            first = task not in self._running
            running = None if key == task.key else self._running.setdefault(task, _Running(Future(), []))
            if running is not None:
                running.ids.append(task_id)
        if running is None:
            logger.info("%s.%s was done for %s already", task.role, task.channel, "/".join(task.caller))
            return self._codec.decode(Body.from_frame(frame))
        if not first:
            logger.info("%s.%s is running for %s already", task.role, task.channel, "/".join(task.caller))
            return running.outcome.result()
        try:
            with quiescent:
                value = work()
                self._keep(task, value, save)
        except BaseException as e:
            running.outcome.set_exception(e)
            raise
        else:
            running.outcome.set_result(value)
            return value
        finally:
            with self._lock:
                del self._running[task]

    def _keep(self, task: TaskName, value: Any, save: Callable[[], Any]) -> None:
        frame = self._encoded(task, value) if self._keeps_answers else None
        if frame is None:
            save()
            return
        with self._lock:
            before = self._answers.pop(task.place, None)
            self._answers[task.place] = task.key, frame
            if len(self._answers) > MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
        try:
            save()
        except BaseException:
            with self._lock:  # it was not saved, so it is not done
                if before is None:
                    del self._answers[task.place]
                else:
                    self._answers[task.place] = before
            raise

    def _encoded(self, task: TaskName, value: Any) -> bytes | None:
        try:
            return self._codec.encode(value).to_frame()
        except EncodeError as e:
            logger.warning("the answer of %s.%s cannot be kept: %s", task.role, task.channel, e)
            return None

    @property
    def running(self) -> list[tuple[str, str]]:
        """The calls that wait for what runs: the actors that made them, and the ids these gave them."""
        with self._lock:
            running = list(self._running.items())
            return [(task.caller[0], task_id) for task, each in running for task_id in each.ids]

    def answers(self, role: str) -> dict[Place, tuple[str, bytes]]:
        """Those of one role."""
        with self._lock:
            return {place: answer for place, answer in self._answers.items() if place[1] == role}

    def restore(self, answers: Mapping[Place, tuple[str, bytes]]) -> None:
        """Take over the answers of an earlier process."""
        with self._lock:
            self._answers.update(answers)
