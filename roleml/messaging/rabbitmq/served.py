"""What became of the requests that came, other than tasks. For any thread; no sockets.

Their small answers are not written to the broker's disk, which takes it as long as all the rest of a call.
So a broker that is killed or restarted may lose one that it has confirmed. Whoever waits for it asks what
became of the request, and is given the answer again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from enum import Enum
from typing import Generic, TypeVar

__all__ = ["KEPT_ANSWERS", "SMALL_ANSWER_BYTES", "Fate", "Served"]

#: Requests of which is known that they came.
REMEMBERED = 20_000
#: Answers that are kept: a broker holds fewer that it has confirmed and not delivered.
KEPT_ANSWERS = 1_000
#: Larger ones are left to the broker's disk.
SMALL_ANSWER_BYTES = 4_096

Message = TypeVar("Message")


class Fate(Enum):
    """Of a request whose answer is not at hand."""

    NEVER_CAME = "it never came here"
    AT_WORK = "it has no answer yet"
    ANSWERED = "its answer was sent, and is not kept"


class Served(Generic[Message]):
    """The last requests of one actor, and the last of their answers."""

    def __init__(self, remembered: int = REMEMBERED, kept: int = KEPT_ANSWERS) -> None:
        self._remembered = remembered
        self._kept = kept
        self._lock = threading.Lock()
        self._requests: OrderedDict[str, Fate] = OrderedDict()  # not a dict, which forgets its first slowly
        self._answers: OrderedDict[str, Message] = OrderedDict()
        self._at_work = 0

    @property
    def at_work(self) -> int:
        """Requests that have no answer yet."""
        return self._at_work

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._requests

    def came(self, request_id: str) -> None:
        with self._lock:
            if request_id in self._requests:
                return
            self._requests[request_id] = Fate.AT_WORK
            self._at_work += 1
            if len(self._requests) > self._remembered:
                _, fate = self._requests.popitem(last=False)
                self._at_work -= fate is Fate.AT_WORK

    def answered(self, request_id: str, answer: Message | None) -> None:
        """The answer has been sent; ``None`` where it need not, or cannot, be kept."""
        with self._lock:
            fate = self._requests.get(request_id)
            if fate is None:
                return
            self._at_work -= fate is Fate.AT_WORK
            self._requests[request_id] = Fate.ANSWERED
            if answer is not None:
                self._answers[request_id] = answer
                if len(self._answers) > self._kept:
                    self._answers.popitem(last=False)

    def what_became_of(self, request_id: str) -> Message | Fate:
        """The answer, while it is kept."""
        with self._lock:
            if request_id in self._answers:
                return self._answers[request_id]
            return self._requests.get(request_id, Fate.NEVER_CAME)
