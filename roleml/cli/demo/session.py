"""Many actors in this process, from their configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import roleml.essentials as rml

__all__ = ["running"]


@contextmanager
def running(configs: Sequence[rml.ActorBootstrapSpec]) -> Iterator[Mapping[str, rml.Actor]]:
    """Build all actors, start them in the order given, and yield them by name; stop them on leaving.

    They are stopped in the same order. List those first for whom others wait: whoever waits then learns that
    they are gone, and ends as well. Raises what building or starting an actor raises, with none left running.
    """
    actors: dict[str, rml.Actor] = {}
    try:
        for config in configs:
            builder = rml.ActorBuilder()
            builder.load_config(config)
            actors[config["name"]] = builder.build()
        for actor in actors.values():
            actor.start()
        yield actors
    finally:
        for actor in actors.values():
            actor.stop()
