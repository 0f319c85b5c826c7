"""The world of the soak: a moderate load, rounds of it with one mischief each, and what came of each."""

from __future__ import annotations

import itertools
import os
import random
import time
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import roleml.essentials as rml
from roleml.core.role.types import ErrorHandlingStrategy
from tests.actors import in_thread, wait_until
from tests.broker.node import Node
from tests.faults.faults import KILLED, KILLS, LOSES, at_once, close_connections, cut, restart_broker
from tests.faults.hearing import Hearing
from tests.faults.ledger import Ledger, Outcome
from tests.faults.world import DEADLINE_S, Caller, Worker, World

__all__ = ["RARE", "ROUNDS", "Mischief", "Result", "SoakWorld"]

#: Of payloads, in bytes: mostly small; a few travel in pieces.
SIZES = [10] * 12 + [20_000] * 4 + [200_000] * 3 + [3_000_000]
EVENT_SIZES = [10] * 19 + [200_000]
#: Between the end of a call and the next one of the same thread.
PAUSE_S = 0.15
#: Between two events.
TICK_S = 0.2
#: Calls of each worker at a time, while warming up.
FLOOD = 10


class TickingCaller(Caller):
    """Calls, emits numbered events, and hears those that answer them."""

    tick = rml.Event()

    def __init__(self) -> None:
        super().__init__()
        #: by actor and process
        self.echoes: dict[tuple[str, int], Hearing] = {}

    @rml.EventHandler("worker", "echo", expand=True)
    def on_echo(self, source: rml.RoleInstanceID, number: int, life: int) -> None:
        self.echoes.setdefault((source.actor_name, life), Hearing()).hear(number)


@dataclass(frozen=True)
class Mischief:
    """What is done once in the middle of a round; ``strike`` returns when it began and is over."""

    name: str
    strike: Callable[[SoakWorld], float]
    services_may_fail: bool = False
    tasks_may_repeat: bool = False
    #: whether somebody's connection is lost: events under way go with it
    disconnects: bool = False


@dataclass
class Result:
    """Of one round."""

    mischief: Mischief
    outcome: Outcome
    emitted: int = 0
    heard: int = 0
    missed: int = 0
    #: of these, without a connection that was lost
    missed_without_cause: int = 0
    disordered: int = 0
    #: all that must not be
    problems: list[str] = field(default_factory=list)


class SoakWorld(World):
    """Two workers that listen, the second of which is never restarted, and visitors that come and go."""

    program = Path(__file__).with_name("listener.py")

    def __init__(self, node: Node, vhost: str, folder: Path) -> None:
        self.ticking = TickingCaller()
        super().__init__(node, vhost, folder, threads=4, caller=self.ticking)
        self.ticks = 0
        self.visitors = 0
        self._left: list[Worker] = []
        self._hearings: dict[tuple[str, str, str], Hearing] = {}
        #: how many lines of each listener's file were taken over
        self._lines: dict[str, int] = {}
        self._failures: list[str] = []
        self._seeds = itertools.count()

    def __enter__(self) -> SoakWorld:
        super().__enter__()
        for worker in self.workers:
            self._welcome(worker)
        return self

    def close_visitors(self) -> None:
        for worker in self._left:
            worker.close()

    def _welcome(self, worker: Worker) -> None:
        self.actor.ctx.relationships.add_to_relationship("worker", worker.role)

    @property
    def steady(self) -> Worker:
        return self.workers[1]

    # ---- the load

    def _call_on(self, number: int) -> None:
        chance = random.Random(next(self._seeds))
        act = (self._service, self._task, self._group, self._tick)[number]
        pause_s = TICK_S if number == 3 else PAUSE_S
        try:
            while not self._resting.wait(pause_s):
                act(chance)
        except BaseException:
            self._failures.append(traceback.format_exc())

    def _service(self, chance: random.Random) -> None:
        worker, data = self._someone(chance), chance.randbytes(chance.choice(SIZES))
        self.call("service", worker, partial(self._ask, worker, data))

    def _task(self, chance: random.Random) -> None:
        worker, data = self._someone(chance), chance.randbytes(chance.choice(SIZES))
        self.call("task", worker, partial(self._work, worker, chance.choice((0.0, 0.02, 0.2)), data))

    def _group(self, chance: random.Random) -> None:
        """A service of all workers with one payload; each is a call of its own in the ledger."""
        members = {worker.role: worker for worker in tuple(self.workers)}
        data, group = chance.randbytes(chance.choice(SIZES)), f"group-{next(self._numbers)}"
        for worker in members.values():
            self.ledger.begin(f"{group}@{worker.name}", "service", worker.name)
        answers = self.caller.call_group(
            list(members), "ask_each", {"call_id": group}, {"data": data}, on_error=ErrorHandlingStrategy.KEEP
        )
        for role, answer in answers:
            call_id = f"{group}@{members.pop(role).name}"
            if isinstance(answer, Exception):
                self.ledger.end(call_id, f"{type(answer).__name__}: {answer}")
            elif answer != zlib.crc32(data):
                self.ledger.end(call_id, "the answer is wrong", wrong=True)
            else:
                self.ledger.end(call_id)
        assert not members, f"the group call {group} said nothing about {members}"

    def _tick(self, chance: random.Random) -> None:
        number = self.ticks + 1
        data = chance.randbytes(chance.choice(EVENT_SIZES))
        self.ticking.tick.emit({"number": number, "even": number % 2 == 0}, {"data": data})
        self.ticks = number

    def _someone(self, chance: random.Random) -> Worker:
        return chance.choice(tuple(self.workers))

    def flood(self, number: int) -> None:
        """So many of the smallest services to each worker fill what remembers a fixed number of calls."""

        def call(worker: Worker) -> None:
            for _ in range(number // FLOOD):
                self.caller.call(worker.role, "ask", {"call_id": "flood"}, {"data": b""})

        for each in [in_thread(call, worker) for worker in self.workers for _ in range(FLOOD)]:
            each.result(10 * DEADLINE_S)
        self._forget()

    # ---- rounds

    def round(self, mischief: Mischief, load_s: float) -> Result:
        """One round of load with the mischief in its middle, until every call has an outcome."""
        begin_s, first = time.monotonic(), self.ticks
        self.ledger = Ledger()
        self.begin_calling()
        self._resting.wait(load_s / 3)
        heard = self._read_heard()
        struck_s = mischief.strike(self)
        healed_s, healed = time.monotonic(), self.ticks
        self.wait_for_answers(2, healed_s)
        wait_until(lambda: self._heard_by_all(healed), DEADLINE_S)
        last_lost = self.ticks
        self._resting.wait(max(0.0, load_s - (time.monotonic() - begin_s)))
        self.rest()
        outcome = self.ledger.outcome(self.journals, struck_s, healed_s)
        result = Result(mischief, outcome, self.ticks - first)
        self._judge_calls(result)
        self._judge_events(result, (heard + 1, last_lost) if mischief.disconnects else (0, -1))
        self._forget()
        return result

    @property
    def journals(self) -> list[Path]:
        return [worker.journal for worker in (*self.workers, *self._left)]

    def _judge_calls(self, result: Result) -> None:
        outcome, mischief = result.outcome, result.mischief
        strays = self.ledger.strays(self.journals)
        for what, found in (
            ("without an outcome", outcome.hung),
            ("tasks lost", outcome.lost),
            ("wrong answers", outcome.wrong),
            ("services failed", () if mischief.services_may_fail else outcome.refused),
            ("runs of tasks beyond the first", 0 if mischief.tasks_may_repeat else outcome.repeated),
            ("runs of services beyond the first", outcome.repeated_services),
            ("runs beyond the first in one process", outcome.repeated_in_process),
            ("runs of what nobody called", strays),
            ("failures of this program", self._failures),
        ):
            if found:
                result.problems.append(f"{mischief.name}: {what}: {found}")
        self._failures = []

    def _judge_events(self, result: Result, lost: tuple[int, int]) -> None:
        """``lost`` are the first and the last event that a lost connection may have taken with it."""
        name = result.mischief.name
        deadline_s = time.monotonic() + 10.0
        while not self._heard_by_all(self.ticks - 1) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        self._read_heard()
        last = {("tick", 1): self.ticks, ("even", 2): self.ticks - self.ticks % 2}
        for (actor, channel, life), hearing in self._hearings.items():
            if life == str(self._pid_of(actor)):
                hearing.hear(last[channel, hearing.step] + hearing.step)  # what is missing at the end shows
                hearing.last, hearing.heard = last[channel, hearing.step], hearing.heard - 1
            self._note(result, f"{actor} of {channel}", hearing, hearing.gaps_outside(*lost))
        for (actor, life), hearing in list(self.ticking.echoes.items()):
            gaps = [] if result.mischief.disconnects else hearing.gaps
            self._note(result, f"the caller of {actor}'s echo", hearing, gaps)
            if life == self._pid_of(actor) and not hearing.heard:
                result.problems.append(f"{name}: the caller hears no echo of {actor}")
        for worker in self.workers:
            if (worker.name, worker.pid) not in self.ticking.echoes:
                result.problems.append(f"{name}: the caller never heard the new {worker.name}")

    @staticmethod
    def _note(result: Result, who: str, hearing: Hearing, gaps: list[tuple[int, int]]) -> None:
        result.heard += hearing.heard
        result.missed += hearing.missed()
        result.missed_without_cause += sum((last - first) // hearing.step + 1 for first, last in gaps)
        result.disordered += len(hearing.wrong)
        if gaps:
            result.problems.append(f"{result.mischief.name}: {who}: missed {gaps}")
        if hearing.wrong:
            result.problems.append(f"{result.mischief.name}: {who}: {hearing.wrong}")

    def _pid_of(self, actor: str) -> int | None:
        return next((worker.pid for worker in self.workers if worker.name == actor), None)

    def _read_heard(self) -> int:
        """Take over what listeners have noted; the last event that each living worker has heard at least."""
        for worker in (*self.workers, *self._left):
            file = self._heard_file(worker)
            lines = file.read_text().splitlines() if file.exists() else []
            done = self._lines.get(worker.name, 0)
            for line in lines[done:]:
                channel, number, life = line.split()
                step = 2 if channel == "even" else 1
                self._hearings.setdefault((worker.name, channel, life), Hearing(step)).hear(int(number))
            self._lines[worker.name] = len(lines)
        lasts = [self._last_heard(worker) for worker in self.workers]
        return min(lasts)

    def _last_heard(self, worker: Worker) -> int:
        hearing = self._hearings.get((worker.name, "tick", str(worker.pid)))
        return 0 if hearing is None or hearing.last is None else hearing.last

    def _heard_by_all(self, number: int) -> bool:
        """Whether every worker has heard an event after that one."""
        return self._read_heard() > number

    @staticmethod
    def _heard_file(worker: Worker) -> Path:
        return worker.journal.with_name(f"{worker.journal.name}.heard")

    def _forget(self) -> None:
        """Begin to count anew, and keep nothing of processes that are gone: this program must not grow."""
        for worker in (*self.workers, *self._left):
            for file in (worker.journal, self._heard_file(worker)):
                if file.exists():
                    os.truncate(file, 0)
        self._lines.clear()
        self._left.clear()
        for table in (self._hearings, self.ticking.echoes):
            for key in list(table):
                if str(self._pid_of(key[0])) != str(key[-1]):
                    del table[key]
        for hearing in (*self._hearings.values(), *self.ticking.echoes.values()):
            hearing.forget()

    # ---- mischief of its own

    def visit(self) -> None:
        """An actor with a new name comes, is called and heard, and leaves for ever."""
        self.visitors += 1
        visitor = self.worker(f"visitor{self.visitors}")
        visitor.start()
        self._welcome(visitor)
        began_s = time.monotonic()
        self.workers.append(visitor)
        wait_until(lambda: self.ledger.answered_since(began_s)[visitor.name] >= 3, DEADLINE_S)
        self.workers.remove(visitor)
        self._left.append(visitor)
        wait_until(lambda: all(call.callee != visitor.name for call in self.ledger.open()), DEADLINE_S)
        self.actor.ctx.relationships.remove_from_relationship("worker", visitor.role)
        visitor.tell("end role")  # with it go tasks that would wait for it for a week
        visitor.leave()

    def restart_cleanly(self) -> None:
        self.workers[0].leave()
        self.workers[0].start()

    def leave(self) -> None:
        """Everybody ends their roles and leaves; what is on the broker now stays there."""
        for worker in self.workers:
            worker.tell("end role")
            worker.leave()
        self.actor.stop()


def nothing(_: SoakWorld) -> None:
    """For comparison."""


def _mischief(name: str, strike: Callable[[Any], float], **kinds: bool) -> Mischief:
    return Mischief(name, strike, **kinds)


CUT = {**LOSES, "disconnects": True}
VISIT, CLOSED = at_once(lambda world: world.visit()), at_once(close_connections)
#: In this order, again and again.
ROUNDS = [
    _mischief("a visitor comes and goes", VISIT),
    _mischief("kill -9 of an actor, which is started again", KILLED, **KILLS),
    _mischief("an actor is restarted", at_once(lambda world: world.restart_cleanly()), **LOSES),
    _mischief("the broker closes all connections", CLOSED, **CUT),
    _mischief("the network is cut for 3 s", cut(3.0), **CUT),
    _mischief("nothing happens", at_once(nothing)),
]
RARE = _mischief("the broker is restarted", at_once(restart_broker), **CUT)
