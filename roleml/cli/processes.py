"""Actors as processes of their own: started together, watched, and stopped together.

Life of one, as the two sides see it; `in order` means one actor after the other, as in one process:

    parent                          child
    start the process       ->      build the actor: roles, elements, connection to the broker
    wait for all            <-      "built"
    "start", in order       ->      start the roles
    wait for this one       <-      "started", and how many roles are Runnable
                            <-      "done" when the run() of all of these is over
    SIGTERM                 ->      stop the actor; a second SIGTERM ends the process at once

A child whose parent is gone stops as well.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, notes
from roleml.cli.console import Console
from roleml.cli.foreground import (
    FAILED,
    NO_BROKER,
    WRONGLY_ASKED,
    StopSignals,
    describe,
    exit_code,
    prepare,
    profiled,
    run_gracefully,
    wait_until_stopped,
    when_all_returned,
)
from roleml.cli.launch import Launch
from roleml.shared.errors import RoleMLError

if TYPE_CHECKING:
    from roleml.core.actor.actor import BaseActor

__all__ = ["ActorProcesses", "EndedTooEarlyError", "process_name", "refuse_unreachable"]

STOP_TIMEOUT_S = 10.0
TERMINATION_TIMEOUT_S = 3.0
CHUNK_BYTES = 64 * 1024

logger = logging.getLogger("roleml.cli")


def process_name(actor_name: str) -> str:
    """What the process of an actor is called, also in the log format 'shared'."""
    return f"python-roleml-{actor_name}"


def refuse_unreachable(launches: Sequence[Launch]) -> None:
    """Check the actors together, before anything is started.

    Raises:
        CommandError: two have one name, or they are several and some use the embedded broker.
        ConfigError: something is wrong with the form of one's configuration.
    """
    names = [launch.name for launch in launches]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CommandError(f"several actors are named {' and '.join(map(repr, twice))}: names are addresses")
    if len(launches) < 2:
        return
    alone = [launch.name for launch in launches if uses_embedded_broker(launch)]
    if alone:
        raise CommandError(
            f"{len(launches)} actors in processes of their own cannot reach each other through the embedded "
            f"broker, which ends at the process ({', '.join(alone)}): choose a broker with --broker "
            "amqp://user:password@host, with the environment variable ROLEML_BROKER, or with the key 'broker'"
        )


def uses_embedded_broker(launch: Launch) -> bool:
    url = launch.builder().broker_url()
    if launch.broker is not None and not url.startswith("disabled:"):
        url = launch.broker
    return url.startswith("embedded:")


class EndedTooEarlyError(RoleMLError):
    """An actor's process ended before all of them were started."""

    code = "RML-L005"

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} {explained(code)} before all actors were started")
        self.name = name
        self.exit_code = code


class _Stage(enum.IntEnum):
    LAUNCHED = 0
    BUILT = 1
    STARTED = 2
    ENDED = 3


@dataclass(eq=False)
class _Child:
    name: str
    process: BaseProcess
    control: Connection
    output: Connection
    stage: _Stage = _Stage.LAUNCHED
    runnables: int = 0
    done: bool = False
    open_ends: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open_ends = [self.control, self.output]


class ActorProcesses:
    """Several actors, a process each. Their output goes to `console`; `report` hears of ends, one line each.

    A context manager, which stops them on leaving. `context` decides how processes are made; by default
    afresh ("spawn"), since a forked copy of a process with threads may lock up.
    """

    def __init__(
        self,
        launches: Sequence[Launch],
        *,
        console: Console,
        report: Callable[[str], object],
        context: BaseContext | None = None,
    ) -> None:
        self._launches = launches
        self._console = console
        self._report = report
        self._context = context or multiprocessing.get_context("spawn")
        self._children: list[_Child] = []
        # not a condition variable: a signal may end a wait of the main thread at any moment
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = False
        self._watcher = threading.Thread(target=self._watch, name="roleml-processes", daemon=True)
        self.failures: list[tuple[str, int]] = []
        """Who ended badly without having been asked to end, and with which exit code, in this order."""

    def __enter__(self) -> ActorProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # any one thread

    def start(self) -> None:
        """Start all processes; when all actors are built, start these in the order given.

        Raises:
            EndedTooEarlyError: one of them ended before the last was started. Others may be running: `stop`.
        """
        with no_interruption():
            for launch in self._launches:
                self._children.append(self._launch(launch))
        self._watcher.start()
        self._await(lambda: all(child.stage >= _Stage.BUILT for child in self._children))
        for child in self._children:
            with contextlib.suppress(OSError):  # it has ended, as the next line finds out
                child.control.send("start")
            self._await(lambda child=child: child.stage >= _Stage.STARTED)  # type: ignore[misc]  # bound here

    def wait(self, *, until_done: bool = False) -> None:
        """Return when all processes have ended, or nobody reads the console any more.

        With `until_done`, return also when each actor that has `Runnable` roles has seen the end of their
        run(). Raises CommandError if there is no such actor.
        """
        if until_done and not any(child.runnables for child in self._children):
            raise CommandError("--exit-when-done: no actor has a Runnable role, so they would never be done")

        def over() -> bool:
            ended = all(child.stage is _Stage.ENDED for child in self._children)
            done = all(c.done or c.stage is _Stage.ENDED for c in self._children if c.runnables)
            return ended or self._console.closed or (until_done and done)

        self._wait_for(over)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask the actors to stop, and wait until their processes have ended. May be called again.

        Those that take longer than `timeout_s` are ended at once, and killed if that takes longer than 3 s.
        """
        self._stopping = True
        for timeout, end in (
            (timeout_s, BaseProcess.terminate),
            (TERMINATION_TIMEOUT_S, BaseProcess.terminate),
            (None, BaseProcess.kill),
        ):
            for child in self._alive():
                end(child.process)
            if self._wait_for(lambda: not self._alive(), timeout):
                break
            names = ", ".join(child.name for child in self._alive())
            self._report(f"not ended after {timeout:g} s: {names}; ending it now")
        if self._watcher.is_alive():
            self._watcher.join()

    def kill(self) -> None:
        """End all processes at once. Fit to be called by a signal handler; `stop` waits for it."""
        self._stopping = True
        for child in self._children:
            child.process.kill()

    # making processes

    def _launch(self, launch: Launch) -> _Child:
        control, its_control = self._context.Pipe()
        output, its_output = self._context.Pipe(duplex=False)
        process = self._context.Process(  # type: ignore[attr-defined]  # only its subclasses declare Process
            target=serve, args=(launch, its_control, its_output), name=process_name(launch.name)
        )
        try:
            process.start()
        finally:
            its_control.close()
            its_output.close()
        os.set_blocking(output.fileno(), False)
        return _Child(launch.name, process, control, output)

    def _alive(self) -> list[_Child]:
        return [child for child in self._children if child.stage is not _Stage.ENDED]

    def _await(self, reached: Callable[[], bool]) -> None:
        self._wait_for(lambda: reached() or len(self._alive()) < len(self._children))
        ended = next((child for child in self._children if child.stage is _Stage.ENDED), None)
        if ended is not None:
            raise EndedTooEarlyError(ended.name, ended.process.exitcode or 0)

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not condition():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=left)
        return True

    # the watcher's thread

    def _watch(self) -> None:
        while alive := self._alive():
            ends: dict[Any, _Child] = {child.process.sentinel: child for child in alive}
            ends.update((end, child) for child in alive for end in child.open_ends)
            for end in wait(list(ends)):
                child = ends[end]
                if child.stage is _Stage.ENDED:
                    continue
                if end is child.output:
                    self._copy_output(child)
                elif end is child.control:
                    self._listen(child)
                else:
                    self._ended(child)
            self._news.put(None)

    def _copy_output(self, child: _Child) -> None:
        """Take what there is now."""
        while child.output in child.open_ends:
            try:
                data = os.read(child.output.fileno(), CHUNK_BYTES)
            except BlockingIOError:
                return
            if not data:
                child.open_ends.remove(child.output)
                return
            self._console.feed(child.name, data)

    def _listen(self, child: _Child) -> None:
        try:
            word, value = child.control.recv()
        except (EOFError, OSError):
            child.open_ends.remove(child.control)
            return
        if word == "built":
            child.stage = _Stage.BUILT
        elif word == "started":
            child.runnables, child.stage = value, _Stage.STARTED
        else:
            if value:
                self.failures.append((child.name, FAILED))
            child.done = True

    def _ended(self, child: _Child) -> None:
        self._copy_output(child)
        self._console.end(child.name)
        while child.control in child.open_ends and child.control.poll():
            self._listen(child)
        child.process.join()
        code = child.process.exitcode or 0
        if not self._stopping or code not in (0, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL):
            self._report(f"{child.name} {explained(code)}")
            if code != 0:
                self.failures.append((child.name, code))
        child.stage = _Stage.ENDED
        child.control.close()
        child.output.close()


def explained(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    reasons = {0: "", WRONGLY_ASKED: ": its configuration is wrong", NO_BROKER: ": no place at the broker"}
    return f"ended with exit code {code}{reasons.get(code, '')}"


@contextlib.contextmanager
def no_interruption() -> Iterator[None]:
    """Processes started in the block ignore Ctrl-C from their first moment; their parent passes it on.

    A SIGTERM for the parent waits until the block is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)
    if noted:
        signal.raise_signal(signal.SIGTERM)


# in the child


def serve(launch: Launch, control: Connection, output: Connection) -> None:
    """Run an actor as the parent says; ends the process with an exit code like that of `roleml run`."""
    leaving = _Leaving()
    atexit.register(leaving)  # before anybody else, so that it comes after all of them
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    redirect(output)
    try:
        with profiled(launch.name, launch.profiling):
            code = run_gracefully(
                lambda: prepare(launch),
                lambda actor, signals: obey(actor, control, signals),
                StopSignals(numbers=(signal.SIGTERM,)),
            )
    except Exception as error:  # noqa: BLE001  # the process ends here; a traceback is in the log
        print("\n".join([f"error: {describe(error)}", *notes(error)]), file=sys.stderr)
        code = exit_code(error)
    leaving.exit_code = code or 0
    sys.exit(leaving.exit_code)


class _Leaving:
    """The last thing that is done at the exit: ends the process, without taking the interpreter apart first.

    That frees memory that is free a moment later. Where torch was imported it takes seconds, and where all
    actors of a machine do it at the same time, longer than they are given to end.
    """

    exit_code = FAILED

    def __call__(self) -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(self.exit_code)


def redirect(output: Connection) -> None:
    """Let everything that this process writes go to the parent, line by line."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def obey(actor: BaseActor, control: Connection, signals: StopSignals) -> None:
    """Start the actor at the parent's word, and return when it is stopped or the parent is gone."""
    lock = threading.Lock()

    def tell(word: str, value: int = 0) -> None:
        with lock, contextlib.suppress(OSError):
            control.send((word, value))

    tell("built")
    try:
        control.recv()
    except EOFError:
        return
    runnables = when_all_returned(actor, lambda failures: tell("done", len(failures)))
    threading.Thread(target=follow_parent, args=(control,), name="roleml-parent", daemon=True).start()
    with signals.postponed():
        actor.start()
        tell("started", runnables)
    wait_until_stopped(actor)


def follow_parent(control: Connection) -> None:
    """The parent says nothing more; its end closes the connection. Then this process ends, too.

    Its actor is asked to stop. It may not be able to: a handler may wait for an answer that does not come,
    because the broker is gone as well. There is nobody left who would end the process then.
    """
    with contextlib.suppress(EOFError, OSError):
        control.recv()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(STOP_TIMEOUT_S)
    os._exit(FAILED)
