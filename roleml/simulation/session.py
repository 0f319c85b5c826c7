"""All actors of an experiment in this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.builders.actor import ActorBuilder
from roleml.library.roles.conductor.base import Conductor
from roleml.messaging.transport import Transport, wrapped_transports
from roleml.simulation.devices import device_of
from roleml.simulation.experiment import CONDUCTOR, Experiment
from roleml.simulation.network import Pacer, SimulatedTransport, Timeline

__all__ = ["Outcome", "conduct", "conductor_of", "run"]


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
    #: through the broker, by all actors
    bytes_sent: int


def run(experiment: Experiment, *, broker: str | None = None) -> Outcome:
    """Run an experiment in this process, and stop all of its actors.

    The actors meet at an embedded broker of their own, or at the one of ``broker``. Without commands in the
    experiment, the Conductor reads them from the standard input.

    Raises:
        ConfigError: what is wrong with the configuration, or with what it names.
        AbsentError, DeploymentError: see `Conductor.configure`.
        Exception: what a command raises.
    """
    url = broker or f"embedded://simulation-{uuid.uuid4().hex}"
    timeline = Timeline()
    actors: dict[str, Actor] = {}
    try:
        for name in [*experiment.actor_names, CONDUCTOR]:
            actors[name] = _build(experiment, name, url, timeline)
        conductor = conductor_of(actors[CONDUCTOR])
        for actor in actors.values():
            actor.start()
        return conduct(experiment, conductor, lambda: sum(actor.sent.nbytes for actor in actors.values()))
    finally:
        # the Conductor last: whoever waits for another learns that it is gone, and ends as well
        for actor in actors.values():
            actor.stop()
        timeline.stop()


def conductor_of(actor: BaseActor) -> Conductor:
    """The Conductor that an actor hosts, which takes commands from us and not from the standard input."""
    conductor = cast(Conductor, actor.roles[CONDUCTOR])
    conductor.takes_input = False
    return conductor


def conduct(experiment: Experiment, conductor: Conductor, bytes_sent: Callable[[], int]) -> Outcome:
    """Deploy from the Conductor, whose actor runs, and give its commands. Raises as `run`."""
    conductor.take_charge()
    spec = conductor.deploy(experiment.run_spec())
    began_s, result = time.monotonic(), None
    if experiment.commands is None:
        conductor.cli.on_eof = lambda: None  # the end of the input is the end of the experiment
        conductor.cli.run()
    for line in experiment.commands or ():
        value = conductor.cli.execute(line)
        result = value if value is not None else result
    seconds = time.monotonic() - began_s
    return Outcome(
        result=result,
        seconds=seconds,
        actors=len(experiment.actor_names) + 1,
        roles=sum(len(roles) for roles in (spec.get("roles") or {}).values()),
        bytes_sent=bytes_sent(),
    )


def _build(experiment: Experiment, name: str, url: str, timeline: Timeline) -> Actor:
    device = device_of(name, experiment.devices, experiment.seed)
    builder = _Builder(url)
    builder.load_config(experiment.actor_config(name))

    def wrap(transport: Transport) -> Transport:
        return SimulatedTransport(transport, device, timeline) if device.delays_messages else transport

    with wrapped_transports(wrap):
        actor = builder.build()
    if device.slows_handlers:
        actor.pace_with(Pacer(device))
    return actor


class _Builder(ActorBuilder):
    """Builds actors for one broker, whatever the environment says."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def broker_url(self) -> str:
        return self._url
