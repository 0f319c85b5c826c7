"""An experiment with a process for each actor, and the Conductor in this one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import roleml.essentials as rml
from roleml.cli.command import CommandError
from roleml.cli.session import running_apart
from roleml.core.actor.native import NATIVE_ROLE_NAME
from roleml.messaging.traffic import Sent
from roleml.simulation.experiment import CONDUCTOR, Experiment
from roleml.simulation.session import Outcome, conduct, conductor_of, recorded, total

__all__ = ["run_apart"]


def run_apart(experiment: Experiment, broker: str, record: Path | None = None) -> Outcome:
    """Run an experiment over a broker that connects processes, and end all of them.

    Raises:
        CommandError: the broker is the embedded one; there is no Conductor; or there are device profiles,
            which need one process.
        EndedTooEarlyError: one of the actors could not start.
        Exception: what `roleml.simulation.session.run` raises.
    """
    if not experiment.conducted:
        raise CommandError(
            "these actors configure themselves: run them with "
            f"'roleml batch {experiment.path.name} --exit-when-done', which makes a process for each"
        )
    if experiment.devices:
        raise CommandError("device profiles simulate devices within one process; leave out --processes")
    names = [*experiment.actor_names, CONDUCTOR]
    configs = [cast(rml.ActorBootstrapSpec, experiment.actor_config(name)) for name in names]

    def report(line: str) -> None:
        print(line, file=sys.stderr)

    session = running_apart(
        configs, CONDUCTOR, broker, report, before_start=lambda actors: conductor_of(actors[CONDUCTOR])
    )
    with recorded(broker, record) as recording, session as actors:
        conductor = conductor_of(actors[CONDUCTOR])

        def end() -> Sent:
            recording.finish()
            others = [rml.RoleInstanceID(name, NATIVE_ROLE_NAME) for name in experiment.actor_names]
            theirs = conductor.call_group(others, "get-sent", on_error=rml.ErrorHandlingStrategy.IGNORE)
            return total([actors[CONDUCTOR].sent, *(each for _, each in theirs)])

        return conduct(experiment, conductor, end, lambda: recording.follow(names))
