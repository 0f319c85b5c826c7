"""Many actors from their configurations: all in this process, or a process for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import roleml.essentials as rml
from roleml.cli.console import Console
from roleml.cli.launch import Launch, broker_chosen
from roleml.cli.processes import ActorProcesses, refuse_unreachable

__all__ = ["running", "running_apart"]


@contextmanager
def running(
    configs: Sequence[rml.ActorBootstrapSpec],
    broker: str | None = None,
    before_start: Callable[[Mapping[str, rml.Actor]], object] = lambda actors: None,
) -> Iterator[Mapping[str, rml.Actor]]:
    """Build all actors, start them in the order given, and yield them by name; stop them on leaving.

    They are stopped in the same order. List those first for whom others wait: whoever waits then learns that
    they are gone, and ends as well. Raises what building or starting an actor raises, with none left running.
    `broker` goes before the one of the environment, which goes before the configured ones.
    """
    actors: dict[str, rml.Actor] = {}
    try:
        for config in configs:
            builder = rml.ActorBuilder()
            builder.load_config(config)
            with broker_chosen(broker):
                actors[config["name"]] = builder.build()
        before_start(actors)
        for actor in actors.values():
            actor.start()
        yield actors
    finally:
        for actor in actors.values():
            actor.stop()


@contextmanager
def running_apart(
    configs: Sequence[rml.ActorBootstrapSpec],
    here: str,
    broker: str | None,
    report: Callable[[str], object],
    before_start: Callable[[Mapping[str, rml.Actor]], object] = lambda actors: None,
) -> Iterator[Mapping[str, rml.Actor]]:
    """Like `running`, with a process for each actor except `here`, which starts last, and which is yielded.

    What the processes write appears in lines of this one, and `report` hears of those that end.

    Raises:
        CommandError: the broker is the embedded one, which does not connect processes.
        EndedTooEarlyError: one of the actors could not start.
    """
    launches = [Launch(config, broker=broker) for config in configs]
    refuse_unreachable(launches)
    others = [launch for launch in launches if launch.name != here]
    console = Console([launch.name for launch in others])
    with ActorProcesses(others, console=console, report=report) as processes:
        processes.start()
        with running(
            [config for config in configs if config["name"] == here], broker, before_start
        ) as actors:
            try:
                yield actors
            finally:
                processes.stop()  # before `here`, which may wait for one of them and then learns of it
