"""One actor in the foreground of a process: until it ends, or somebody interrupts it."""

from __future__ import annotations

import _weakrefset
import argparse
import contextlib
import functools
import logging
import os
import queue
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from roleml.cli.command import INTERRUPTED, CommandError, notes
from roleml.cli.launch import Launch, Profiling, broker_chosen
from roleml.shared.errors import RoleMLError

if TYPE_CHECKING:
    from roleml.core.actor.actor import BaseActor

__all__ = [
    "FAILED",
    "NO_BROKER",
    "WRONGLY_ASKED",
    "Interruption",
    "Milestone",
    "RunFailedError",
    "StopSignals",
    "describe",
    "exit_code",
    "prepare",
    "profiled",
    "require_viztracer",
    "run_gracefully",
    "tell",
    "telling",
    "until_done",
    "until_stopped",
    "wait_until_stopped",
    "when_all_returned",
]

FAILED = 1
"""The actor could not start, or the run that was waited for failed."""
WRONGLY_ASKED = 2
"""The command line or a configuration is wrong."""
NO_BROKER = 3
"""The broker cannot be reached, or does not take the actor."""

VIZTRACER_HINT = "profiling needs viztracer: pip install 'roleml[profiling]'"

logger = logging.getLogger("roleml.actor")

Command = Callable[[argparse.Namespace], int]

#: How long a signal waits that came where an exception would be lost.
SWALLOWED_PAUSE_S = 0.01
_WEAK_FILES = (weakref.__file__, _weakrefset.__file__)


class Interruption(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """What a shell reports for a program that this signal ended: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal_number


class StopSignals:
    """While entered, the first SIGINT or SIGTERM raises `Interruption` in the main thread.

    A second one, from a user who does not want to wait, calls `again`, which by default ends the process at
    once.
    In another thread than the main one this does nothing, as signals are none of its business.
    """

    def __init__(
        self,
        again: Callable[[int], object] | None = None,
        numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM),
    ) -> None:
        self.received: int | None = None
        self._numbers = numbers
        self._again = again or leave_at_once
        self._raises = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """Do not raise any more: the process is stopping already, and must not be kept from that."""
        self._raises = False

    @contextlib.contextmanager
    def postponed(self) -> Iterator[None]:
        """Raise at the end of the block instead of in it: for what must not be left half done."""
        raises, self._raises = self._raises, False
        try:
            yield
        finally:
            self._raises = raises
        if raises and self.received is not None:
            raise Interruption(self.received)

    @property
    def exit_code(self) -> int | None:
        return None if self.received is None else 128 + self.received

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if _is_swallowing(frame):
            main = threading.main_thread().ident or 0
            again = threading.Timer(SWALLOWED_PAUSE_S, signal.pthread_kill, (main, number))
            again.daemon = True
            again.start()
            return
        if self.received is not None:
            self._again(number)
            return
        self.received = number
        if self._raises:
            raise Interruption(number)


def _is_swallowing(frame: FrameType | None) -> bool:
    """Whether an exception would end here: Python only prints those of weak references and finalizers."""
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename in _WEAK_FILES:
            return True
        frame = frame.f_back
    return False


def leave_at_once(number: int) -> None:
    """End the process without waiting for anybody."""
    os.write(2, b"interrupted again: leaving at once\n")
    os._exit(128 + number)


def run_gracefully(
    prepare: Callable[[], BaseActor],
    serve: Callable[[BaseActor, StopSignals], object] | None = None,
    signals: StopSignals | None = None,
) -> int | None:
    """Make an actor, run it, and stop it whatever happens, also by Ctrl-C or SIGTERM.

    `serve(actor, signals)` starts the actor and returns when it shall stop; by default when it was stopped.
    Returns the exit code of the signal that ended it, None if none did. Raises what making and running the
    actor raises.
    """
    with signals or StopSignals() as signals:
        actor: BaseActor | None = None
        try:
            actor = prepare()
            (serve or until_stopped)(actor, signals)
        except Interruption as interruption:
            name = signal.Signals(interruption.signal_number).name
            logger.info("%s: stopping; a second one leaves at once", name)
        finally:
            signals.hold()
            if actor is not None:
                actor.stop()
        return signals.exit_code


def prepare(launch: Launch) -> BaseActor:
    """Build the actor. Raises as `BaseActorBuilder.build`."""
    builder = launch.builder()
    with broker_chosen(launch.broker):
        actor: BaseActor = builder.build()
    return actor


class Milestone:
    """Something that is reached once, and that the main thread can wait for.

    An exception that a signal raises in the midst of `threading.Event.wait` may leave its lock behind locked;
    a simple queue knows no such moment.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def reach(self) -> None:
        self._queue.put(None)

    def wait(self) -> None:
        self._queue.get()


def until_stopped(actor: BaseActor, signals: StopSignals, ready_file: Path | None = None) -> None:
    """Start the actor, make the file that says so, and return when it was stopped from elsewhere."""
    with signals.postponed():
        actor.start()
    _touch(ready_file)
    wait_until_stopped(actor)


def wait_until_stopped(actor: BaseActor) -> None:
    stopped = Milestone()

    def watch() -> None:
        actor.wait()
        stopped.reach()

    threading.Thread(target=watch, name="roleml-end", daemon=True).start()
    stopped.wait()


def until_done(actor: BaseActor, signals: StopSignals, ready_file: Path | None = None) -> None:
    """As `until_stopped`, and return when all of its `Runnable` roles have returned from run().

    Raises:
        CommandError: it has no such role.
        RunFailedError: one of them raised; the text names it.
    """
    outcome: dict[str, BaseException] = {}
    done = Milestone()

    def finish(failures: dict[str, BaseException]) -> None:
        outcome.update(failures)
        done.reach()

    if not when_all_returned(actor, finish):
        raise CommandError(
            f"--exit-when-done: actor {actor.profile.name} has no Runnable role, so it would never be done"
        )
    with signals.postponed():
        actor.start()
    _touch(ready_file)
    done.wait()  # it is over, too, when the actor is stopped from elsewhere: that asks its roles to return
    if outcome:
        raise RunFailedError(outcome)


def _touch(ready_file: Path | None) -> None:
    if ready_file is not None:
        ready_file.touch()


def when_all_returned(actor: BaseActor, then: Callable[[dict[str, BaseException]], object]) -> int:
    """Call `then` once, with what was raised, when the run() of all `Runnable` roles is over.

    For an actor that was not started. Roles that others deploy later do not count.
    Returns how many such roles it has.
    """
    from roleml.shared.interfaces import Runnable

    waiting = {name for name, role in actor.roles.items() if isinstance(role, Runnable)}
    number = len(waiting)
    failures: dict[str, BaseException] = {}
    lock = threading.Lock()

    def returned(name: str, error: BaseException | None) -> None:
        with lock:
            if name not in waiting:
                return
            waiting.discard(name)
            if error is not None:
                failures[name] = error
            last = not waiting
        if last:
            then(failures)

    actor.when_returned(returned)
    return number


class RunFailedError(RoleMLError):
    """The run() of some roles raised."""

    code = "RML-L003"

    def __init__(self, failures: dict[str, BaseException]) -> None:
        self.failures = failures
        super().__init__(
            ", ".join(f"run() of role {name} failed: {describe(error)}" for name, error in failures.items())
        )


@contextlib.contextmanager
def profiled(name: str, profiling: Profiling | None) -> Iterator[None]:
    """Trace the block into `<folder>/profiler-<name>.json`, replacing an earlier one.

    Raises:
        ModuleNotFoundError: viztracer is not installed.
    """
    if profiling is None:
        yield
        return
    try:
        import viztracer
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(VIZTRACER_HINT) from error
    profiling.folder.mkdir(parents=True, exist_ok=True)
    tracer = viztracer.VizTracer(tracer_entries=profiling.entries, verbose=0)
    tracer.start()
    try:
        yield
    finally:
        tracer.stop()
        tracer.save(str(profiling.folder / f"profiler-{name}.json"))


def require_viztracer(profiling: Profiling | None) -> None:
    """Raises CommandError where profiling is asked for and viztracer is not installed."""
    if profiling is not None and find_spec("viztracer") is None:
        raise CommandError(VIZTRACER_HINT)


def exit_code(error: BaseException) -> int:
    """The exit code for what reading, building or running an actor raised."""
    from roleml.core.builders.errors import ConfigError
    from roleml.messaging.exceptions import MsgConnectionError

    if isinstance(error, CommandError | ConfigError):
        return WRONGLY_ASKED
    if isinstance(error, MsgConnectionError):
        return NO_BROKER
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED


def tell(program: str, error: BaseException) -> int:
    """Say what happened, and return the exit code for it."""
    print("\n".join([f"{program}: error: {describe(error)}", *notes(error)]), file=sys.stderr)
    return exit_code(error)


def telling(program: str) -> Callable[[Command], Command]:
    """A command that tells what it raised, and returns the exit code for it.

    What is wrong with the command line, and an interruption, are for `roleml.cli.main` to tell.
    """

    def decorate(run: Command) -> Command:
        @functools.wraps(run)
        def told(arguments: argparse.Namespace) -> int:
            try:
                return run(arguments)
            except CommandError:
                raise
            except Exception as error:  # noqa: BLE001  # the program ends here
                return tell(program, error)

        return told

    return decorate


def describe(error: BaseException) -> str:
    """The error in one line, or as many as it has problems."""
    from roleml.core.builders.errors import ConfigError
    from roleml.messaging.exceptions import MessagingError

    if isinstance(error, CommandError | ConfigError | MessagingError | RunFailedError):
        return str(error)
    return f"{type(error).__name__}: {error}"
