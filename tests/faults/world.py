"""Workers as real processes, a caller that never rests, and a broker to be mistreated."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context
from roleml.core.role.exceptions import RoleInteractionError
from tests.actors import in_thread, wait_until
from tests.broker.node import Node
from tests.faults.ledger import Ledger, Outcome
from tests.faults.proxy import Proxy
from tests.programs import ROOT

__all__ = ["LONG", "Worker", "World", "keep"]

#: Asked for by `make faults`: all faults, and a file for what comes of them.
LONG = os.environ.get("ROLEML_FAULTS", "")

DEADLINE_S = 60.0
PROGRAM = Path(__file__).with_name("worker.py")
FLOODER = Path(__file__).with_name("flooder.py")
#: Mostly small; some travel in pieces.
SIZES = (10, 10, 10, 200_000, 3_000_000)


class Worker:
    """A process with an actor. Killed and started again, it is the same actor."""

    def __init__(self, url: str, name: str, folder: Path, program: Path = PROGRAM) -> None:
        self.name = name
        self.role = rml.RoleInstanceID(name, "worker")
        self.journal = folder / f"{name}.journal"
        self._url = url
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(self._program), self._url, self.name, str(self.journal)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._hear("ready")

    def tell(self, command: str) -> Any:
        """Have the process do something to itself; what came of it."""
        assert self._process is not None
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        return json.loads(self._hear("done"))

    def _hear(self, wanted: str) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        word, _, rest = self._process.stdout.readline().strip().partition(" ")
        assert word == wanted, f"{self.name} said {word!r}, not {wanted}; exit code {self._process.poll()}"
        return rest

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def killed(self) -> bool:
        return self._process is not None and self._process.poll() == -signal.SIGKILL

    @property
    def frozen(self) -> bool:
        return is_frozen(self.pid)

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def runs_of(self, prefix: str) -> int:
        """How many runs of handlers are in the journal for calls whose ids begin like this."""
        return self.journal.read_text().count(f"\n{prefix}")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self.wait()

    def wait(self) -> None:
        """Wait for the end of the process."""
        assert self._process is not None
        self._process.wait(DEADLINE_S)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def restart(self) -> None:
        self.kill()
        self.start()

    def leave(self) -> None:
        """Have the actor stop, and its process end, as whoever starts it would have it."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.wait()
        assert self._process.returncode == 0, f"{self.name} ended with {self._process.returncode}"

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self.wait()


@contextlib.contextmanager
def flooded(url: str, worker: Worker, what: str) -> Iterator[None]:
    """Another member of the application publishes to this one as fast as it can: see flooder.py."""
    with subprocess.Popen(
        [sys.executable, str(FLOODER), url, worker.name, what],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0


def is_frozen(pid: int) -> bool:
    """Whether a process is stopped, by its line in /proc."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Caller(rml.Role):
    """Calls."""


class World:
    """Two workers and a caller at one broker, with a network for each of the sides. A context manager."""

    #: what the workers run
    program = PROGRAM

    def __init__(
        self,
        node: Node,
        vhost: str,
        folder: Path,
        *,
        threads: int = 6,
        caller: Caller | None = None,
        caller_node: int = 0,
    ) -> None:
        self.node = node
        self._caller_node = caller_node
        #: the network of the workers, and that of the caller
        self.proxy, self.caller_proxy = Proxy(node.port), Proxy(node.port)
        self.ledger = Ledger()
        self.caller = caller or Caller()
        #: how often a fault was put in, and seen to be there
        self.injected = 0
        self.vhost = vhost
        self._folder = folder
        self._threads = threads
        self._resting = threading.Event()
        self._numbers = itertools.count(1)
        self._callers: list[threading.Thread] = []
        self.actor: rml.Actor
        self.workers: list[Worker] = []

    def __enter__(self) -> World:
        for proxy in (self.proxy, self.caller_proxy):
            proxy.__enter__()
        self.workers = [self.worker(f"worker{i}") for i in (1, 2)]
        url = self._url(self.caller_proxy, self._caller_node)
        self.actor = rml.Actor(Context.build(ActorProfile("caller")), broker=url)
        self.actor.add_role("caller", self.caller)
        self.actor.start()
        for starting in [in_thread(worker.start) for worker in self.workers]:
            starting.result(DEADLINE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resting.set()
        for worker in self.workers:
            worker.close()
        in_thread(self.actor.stop).result(DEADLINE_S)
        for proxy in (self.proxy, self.caller_proxy):
            proxy.__exit__(None, None, None)

    def _url(self, proxy: Proxy, first: int = 0) -> str:
        """Through a proxy; in a cluster directly, beginning with this node."""
        if self.node.others:
            return self.node.url(vhost=self.vhost, first=first)
        return self.node.url(vhost=self.vhost).replace(f":{self.node.port}/", f":{proxy.port}/")

    def worker(self, name: str) -> Worker:
        """One more, not started, behind the proxy."""
        return Worker(self._url(self.proxy), name, self._folder, self.program)

    def took_effect(self, proof: Callable[[], Any]) -> None:
        """Wait until a fault shows, and count it."""
        wait_until(proof, DEADLINE_S)
        self.injected += 1

    def kill(self, worker: Worker) -> None:
        worker.kill()
        self.took_effect(lambda: worker.killed)

    def begin_calling(self) -> None:
        """Call both workers from several threads, one call after the other in each, until told to rest."""
        self._resting.clear()
        self._callers.clear()
        for number in range(self._threads):
            thread = threading.Thread(target=self._call_on, args=(number,), daemon=True)
            self._callers.append(thread)
            thread.start()
        self.wait_for_answers(self._threads)

    def connections_of(self, actor: str) -> int:
        """How many the broker has."""
        rows = self.node.list_connections(self.vhost)
        return sum(row["client_properties"].get("actor") == actor for row in rows)

    def wait_for_answers(self, number: int, since_s: float = 0.0) -> None:
        """Until so many calls that began after then were answered, by each worker."""
        end_s = time.monotonic() + DEADLINE_S
        while min(self.ledger.answered_since(since_s)[worker.name] for worker in self.workers) < number:
            assert time.monotonic() < end_s, "nobody is answered any more"
            self._resting.wait(0.02)

    def rejected(self, worker: Worker) -> int:
        """How many messages this actor has turned away, as it says itself."""
        report = self.actor.reports_of([worker.name])[worker.name]
        return sum(report["rejected"].values()) if isinstance(report, dict) else 0

    def flooded(self, worker: Worker, what: str) -> AbstractContextManager[None]:
        return flooded(self.node.url(vhost=self.vhost), worker, what)

    def begin_task(self, worker: Worker, seconds: float) -> Future[None]:
        """A task that takes so long, beside the others; done when it has an outcome."""
        return in_thread(self.call, "task", worker, partial(self._work, worker, seconds, b"long"))

    def rest(self, deadline_s: float = DEADLINE_S) -> None:
        """Begin no more calls, and give those under way the time to end."""
        self._resting.set()
        end_s = time.monotonic() + deadline_s
        for thread in self._callers:
            thread.join(max(0.0, end_s - time.monotonic()))

    def outcome(self, fault_s: float, healed_s: float) -> Outcome:
        return self.ledger.outcome([worker.journal for worker in self.workers], fault_s, healed_s)

    def call(self, kind: str, worker: Worker, work: Callable[[str], Any]) -> None:
        """One call, on record. `work(call id)` returns; a wrong answer is an AssertionError."""
        call_id = f"{kind}-{next(self._numbers)}"
        self.ledger.begin(call_id, kind, worker.name)
        try:
            work(call_id)
        except RoleInteractionError as e:
            self.ledger.end(call_id, f"{type(e).__name__}: {e}")
        except AssertionError as e:
            self.ledger.end(call_id, str(e), wrong=True)
        else:
            self.ledger.end(call_id)

    def _call_on(self, number: int) -> None:
        chance = random.Random(number)
        targets: Sequence[Worker] = self.workers
        while not self._resting.is_set():
            worker, data = chance.choice(targets), chance.randbytes(chance.choice(SIZES))
            if number % 2:
                self.call("service", worker, partial(self._ask, worker, data))
            else:
                self.call("task", worker, partial(self._work, worker, chance.choice((0.0, 0.02, 0.2)), data))
            self._resting.wait(0.01)

    def _ask(self, worker: Worker, data: bytes, call_id: str) -> None:
        answer = self.caller.call(worker.role, "ask", {"call_id": call_id}, {"data": data})
        assert answer == zlib.crc32(data), "the answer is wrong"

    def _work(self, worker: Worker, seconds: float, data: bytes, call_id: str) -> None:
        args = {"call_id": call_id, "seconds": seconds}
        result = self.caller.call_task(worker.role, "work", args, {"data": data}).result()
        assert result == (zlib.crc32(data), data), "the result is wrong"


def keep(fault: str, broker: str, injected: int, outcome: Outcome) -> None:
    """A line for the table, where `make faults` asks for it."""
    if LONG:
        line = {"fault": fault, "broker": broker, "injected": injected, **asdict(outcome)}
        with Path(LONG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
