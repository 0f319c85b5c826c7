"""Channels that are lent for a sequence of operations, such as making an actor's queues.

The broker refuses by closing the channel. So each sequence has one to itself while it runs, and gives it back
if it is open then. However many actors a connection serves, it has few of these. Everything here runs in the
connection's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pika
import pika.channel
import pika.exceptions

from roleml.messaging.exceptions import MsgConnectionError

__all__ = ["STEP_TIMEOUT_S", "ChannelSteps", "Channels", "Steps", "together"]

#: a broker in the minority of a cluster accepts connections and then never answers
STEP_TIMEOUT_S = 15.0
#: Sequences at a time. More would not make the broker faster, and channels are few.
LENT = 8

#: Yields functions that begin an operation of a channel, and call their ``callback`` when it is done.
Steps = Generator[Callable[..., Any], Any, None]
ChannelSteps = Callable[[pika.channel.Channel], Steps]
Done = Callable[[BaseException | None], None]


def together(*operations: Callable[..., Any]) -> Callable[..., Any]:
    """Several operations on one channel as one step: the broker does them in order, so we wait for the last.

    If it refuses one, it closes the channel and does no later one.
    """

    def begin(*, callback: Callable[..., Any]) -> None:
        for operation in operations[:-1]:
            operation()
        operations[-1](callback=callback)

    return begin


class Channels:
    """The channels of one connection that are to be had for a while. They end with it.

    ``later(delay_s, action)`` and ``cancel(timer)`` are the connection's timers.
    """

    def __init__(
        self,
        connection: pika.SelectConnection,
        later: Callable[[float, Callable[[], Any]], Any],
        cancel: Callable[[Any], None],
    ) -> None:
        self._connection = connection
        self.later = later
        self.cancel = cancel
        self._idle: list[_Lent] = []
        self._running = 0
        self._lending = False
        self._queue: deque[tuple[ChannelSteps, Done]] = deque()

    def run(self, make_steps: ChannelSteps, done: Done) -> None:
        """Run a sequence on a channel; ``done(error)`` hears how it ended.

        A step that the broker does not answer within 15 s, and a channel that it closes, end the sequence. If
        the connection is lost, ``done`` hears of it, too. At most `LENT` sequences run at a time, the others
        wait for their turn.
        """
        self._queue.append((make_steps, done))
        self._next()

    def aside(self, make_steps: ChannelSteps) -> Callable[..., Any]:
        """A step of another sequence, on a channel of its own: the step's answer is the error, or None."""

        def begin(*, callback: Callable[[BaseException | None], Any]) -> None:
            self._lend(make_steps, callback)

        return begin

    def _next(self) -> None:
        if self._lending:  # a sequence that ended as it began; the loop goes on by itself
            return
        self._lending = True
        try:
            while self._queue and self._running < LENT:
                make_steps, done = self._queue.popleft()
                self._running += 1
                self._lend(make_steps, partial(self._ended, done))
        finally:
            self._lending = False

    def _ended(self, done: Done, error: BaseException | None) -> None:
        self._running -= 1
        done(error)
        self._next()

    def _lend(self, make_steps: ChannelSteps, done: Done) -> None:
        sequence = _Sequence(self, make_steps, done)
        while self._idle:
            lent = self._idle.pop()
            if lent.channel.is_open:
                sequence.begin(lent)
                return
        try:
            channel = self._connection.channel(on_open_callback=lambda _: sequence.advance(None))
        except pika.exceptions.AMQPError as e:  # none is free, or the connection is just being closed
            done(e)
            return
        lent = _Lent(channel)
        channel.add_on_close_callback(lent.closed)
        sequence.wait_for_open(lent)

    def give_back(self, lent: _Lent) -> None:
        self._idle.append(lent)


class _Lent:
    """A channel, and the sequence that has it now."""

    def __init__(self, channel: pika.channel.Channel) -> None:
        self.channel = channel
        self.sequence: _Sequence | None = None

    def closed(self, _: pika.channel.Channel, reason: BaseException) -> None:
        if self.sequence is not None:
            self.sequence.end(reason)


class _Sequence:
    """Operations under way on a lent channel."""

    def __init__(self, channels: Channels, make_steps: ChannelSteps, done: Done) -> None:
        self._channels = channels
        self._make_steps = make_steps
        self._done = done
        self._lent: _Lent | None = None
        self._steps: Steps | None = None
        self._timer: Any = None

    def wait_for_open(self, lent: _Lent) -> None:
        self._lent, lent.sequence = lent, self
        self._timer = self._channels.later(STEP_TIMEOUT_S, self._too_late)

    def begin(self, lent: _Lent) -> None:
        self.wait_for_open(lent)
        self.advance(None)

    def advance(self, answer: Any) -> None:
        """Begin the next step, with the answer to the one before."""
        if self._lent is None:
            return
        self._channels.cancel(self._timer)
        self._timer = self._channels.later(STEP_TIMEOUT_S, self._too_late)
        if self._steps is None:
            self._steps = self._make_steps(self._lent.channel)
        try:
            self._steps.send(answer)(callback=self.advance)
        except StopIteration:
            self.end(None)
        except (pika.exceptions.AMQPError, MsgConnectionError) as e:
            self.end(e)

    def end(self, error: BaseException | None) -> None:
        lent, self._lent = self._lent, None
        if lent is None:
            return
        lent.sequence = None
        self._channels.cancel(self._timer)
        if lent.channel.is_open:
            self._channels.give_back(lent)
        self._done(error)

    def _too_late(self) -> None:
        if self._lent is not None:
            channel = self._lent.channel
            self.end(TimeoutError("the broker does not answer"))
            if channel.is_open:
                channel.close()  # an answer that comes yet would not be for whoever has it next
