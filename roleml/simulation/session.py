"""All actors of an experiment in this process."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.actor.native import NativeRole
from roleml.core.builders.actor import ActorBuilder
from roleml.core.builders.errors import ConfigError, Problem, WrongTypeError
from roleml.library.roles.conductor.base import Conductor
from roleml.library.roles.recorder.recording import Recording
from roleml.messaging.traffic import Sent
from roleml.messaging.transport import Transport, wrapped_transports
from roleml.shared.errors import RoleMLError
from roleml.shared.interfaces import Runnable
from roleml.simulation.devices import device_of, warn_of_unmatched
from roleml.simulation.experiment import CONDUCTOR, Experiment
from roleml.simulation.network import SimulatedTransport
from roleml.simulation.pacing import Pacer
from roleml.simulation.timeline import Timeline

__all__ = ["Outcome", "RunEndedError", "conduct", "conductor_of", "run", "total"]


@dataclass(frozen=True)
class Outcome:
    """How an experiment went."""

    #: what the last command returned that returned something
    result: Any
    #: from the first command to the end of the last one
    seconds: float
    #: the Conductor's included
    actors: int
    #: those that were deployed
    roles: int
    #: through the broker, by all actors, the deployment included
    bytes_sent: int
    messages_sent: int


def run(experiment: Experiment, *, broker: str | None = None, record: Path | None = None) -> Outcome:
    """Run an experiment in this process, and stop all of its actors.

    The actors meet at an embedded broker of their own, or at the one of ``broker``. With a Conductor the run
    ends with the last command; without commands in the experiment, the Conductor reads them from the standard
    input. Without a Conductor it ends when ``run()`` of all ``Runnable`` roles has returned.

    With ``record``, a further actor writes the metrics of all others into that folder: see `Recording`.

    Raises:
        ConfigError: what is wrong with the configuration, or with what it names.
        AbsentError, DeploymentError: see `Conductor.configure`.
        RunEndedError: without a Conductor, ``run()`` of a role raised.
        Exception: what a command raises.
    """
    url = broker or f"embedded://simulation-{uuid.uuid4().hex}"
    with recorded(url, record) as recording, actors_of(experiment, url) as (actors, timeline):

        def begin() -> None:
            recording.follow(actors)
            timeline.begin()

        def end() -> Sent:
            recording.finish()
            return total(actor.sent for actor in actors.values())

        if not experiment.conducted:
            return run_until_returned(actors, begin, end)
        conductor = conductor_of(actors[CONDUCTOR])
        for actor in actors.values():
            actor.start()
        return conduct(experiment, conductor, end, begin)


class _Unrecorded:
    """Stands for a recording where none is wanted."""

    def follow(self, actors: Collection[str]) -> None: ...

    def finish(self) -> None: ...


def recorded(broker: str, folder: Path | None) -> AbstractContextManager[Recording | _Unrecorded]:
    """A recording, where there is a folder for it."""
    return nullcontext(_Unrecorded()) if folder is None else Recording(broker, folder)


@contextmanager
def actors_of(experiment: Experiment, url: str) -> Iterator[tuple[Mapping[str, Actor], Timeline]]:
    """All actors of an experiment, not started yet, on their devices; they are stopped in the end."""
    names = [*experiment.actor_names, *([CONDUCTOR] if experiment.conducted else [])]
    warn_of_unmatched(experiment.devices, names)
    actors: dict[str, Actor] = {}
    timeline = Timeline()
    try:
        for name in names:
            actors[name] = _build(experiment, name, url, timeline)
        yield actors, timeline
    finally:
        timeline.hurry()
        # the Conductor last: whoever waits for another learns that it is gone, and ends as well
        for actor in actors.values():
            actor.stop()
        timeline.stop()


def conductor_of(actor: BaseActor) -> Conductor:
    """The Conductor that an actor hosts, which takes commands from us and not from the standard input.

    Raises:
        ConfigError: the role of that name is no Conductor.
    """
    conductor = actor.roles[CONDUCTOR]
    if not isinstance(conductor, Conductor):
        text = f"{type(conductor).__qualname__} is no subclass of {Conductor.__module__}.Conductor"
        raise WrongTypeError(Problem(("experiment", "conductor"), text, WrongTypeError))
    conductor.takes_input = False
    return conductor


def conduct(
    experiment: Experiment,
    conductor: Conductor,
    sent: Callable[[], Sent],
    begin: Callable[[], object] = lambda: None,
) -> Outcome:
    """Deploy from the Conductor, whose actor runs, and give its commands. Raises as `run`.

    ``begin`` is called in between.
    """
    conductor.take_charge()
    spec = conductor.deploy(experiment.run_spec())
    begin()
    began_s, result = time.monotonic(), None
    if experiment.commands is None:
        conductor.cli.on_eof = lambda: None  # the end of the input is the end of the experiment
        conductor.cli.run()
    for line in experiment.commands or ():
        value = conductor.cli.execute(line)
        result = value if value is not None else result
    seconds = time.monotonic() - began_s
    messages, nbytes = sent()
    return Outcome(
        result=result,
        seconds=seconds,
        actors=len(experiment.actor_names) + 1,
        roles=sum(len(roles) for roles in (spec.get("roles") or {}).values()),
        bytes_sent=nbytes,
        messages_sent=messages,
    )


def run_until_returned(
    actors: Mapping[str, Actor], begin: Callable[[], object], end: Callable[[], Sent]
) -> Outcome:
    """Start actors in their order, and return when all their ``Runnable`` roles have. Raises as `run`."""
    running = {
        (name, role) for name, actor in actors.items() for role, it in actor.roles.items() if _runs(it)
    }
    if not running:
        text = "no role of any of these actors is Runnable, so the experiment would never end"
        raise ConfigError(Problem((), text, ConfigError))
    returned: queue.SimpleQueue[tuple[str, str, BaseException | None]] = queue.SimpleQueue()
    for name, actor in actors.items():
        actor.when_returned(lambda role, error, name=name: returned.put((name, role, error)))  # type: ignore[misc]  # a lambda with a default
    roles = sum(len(actor.roles) - 1 for actor in actors.values())  # without the native ones
    begin()
    began_s = time.monotonic()
    for actor in actors.values():
        actor.start()
    while running:
        name, role, error = returned.get()
        running.discard((name, role))
        if error is not None:
            raise RunEndedError(f"run() of {name}/{role} failed: {type(error).__name__}: {error}") from error
    seconds = time.monotonic() - began_s
    messages, nbytes = end()
    return Outcome(None, seconds, len(actors), roles, nbytes, messages)


class RunEndedError(RoleMLError, RuntimeError):
    """``run()`` of a role raised, in an experiment that is over when all have returned."""

    code = "RML-D003"


def total(sent: Iterable[tuple[int, int]]) -> Sent:
    """What several actors have sent together."""
    messages, nbytes = 0, 0
    for each in sent:
        messages, nbytes = messages + each[0], nbytes + each[1]
    return Sent(messages, nbytes)


def _runs(role: object) -> bool:
    return isinstance(role, Runnable) and not isinstance(role, NativeRole)


def _build(experiment: Experiment, name: str, url: str, timeline: Timeline) -> Actor:
    device = device_of(name, experiment.devices, experiment.seed)
    builder = _Builder(url)
    builder.load_config(experiment.actor_config(name))

    def wrap(transport: Transport) -> Transport:
        return SimulatedTransport(transport, device, timeline) if device.delays_messages else transport

    with wrapped_transports(wrap):
        actor = builder.build()
    if device.slows_handlers:
        actor.pace_with(Pacer(device, timeline))
    return actor


class _Builder(ActorBuilder):
    """Builds actors for one broker, whatever the environment says."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def broker_url(self) -> str:
        return self._url
