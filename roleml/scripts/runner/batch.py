"""Many actors, a process each: what `roleml batch` does, for programs, and with the flags of RoleML 0.3."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing import Process
from pathlib import Path
from typing import Any

from roleml.cli.batch import launches_of, run_launches
from roleml.cli.command import CommandError
from roleml.cli.foreground import tell
from roleml.cli.launch import DEFAULT_ENTRIES, Launch, Profiling, add_arguments, refuse_containers
from roleml.cli.processes import process_name, refuse_unreachable
from roleml.cli.run import run_launch
from roleml.core.builders.actor import BaseActorBuilder

__all__ = ["batch_initiate", "batch_initiate_with_profiling", "run_actors_from_cli"]

Builder = type[BaseActorBuilder[Any]]


def batch_initiate(
    actor_options: Sequence[Mapping[str, Any]],
    common_options: Mapping[str, Any] | None = None,
    *,
    actor_builder_cls: Builder | None = None,
    start: bool = True,
) -> list[Process]:
    """A process for each actor, called `python-roleml-<actor>`; what is common goes before an actor's own.

    Whoever calls this waits for them. Processes are made in the way that `multiprocessing` is set to.

    Raises:
        ValueError: two actors have one name, or several were to use the embedded broker.
        ConfigError: the form of a configuration is wrong.
    """
    return _processes(actor_options, common_options, actor_builder_cls, None, start)


def batch_initiate_with_profiling(
    actor_options: Sequence[Mapping[str, Any]],
    common_options: Mapping[str, Any] | None = None,
    *,
    actor_builder_cls: Builder | None = None,
    save_path: str | os.PathLike[str] = ".",
    profiling_entries: int = DEFAULT_ENTRIES,
    start: bool = True,
) -> list[Process]:
    """Like `batch_initiate`, with a trace by viztracer in `<save_path>/profiler-<actor>.json` for each."""
    profiling = Profiling(Path(save_path).absolute(), profiling_entries)
    return _processes(actor_options, common_options, actor_builder_cls, profiling, start)


def _processes(
    actor_options: Sequence[Mapping[str, Any]],
    common_options: Mapping[str, Any] | None,
    builder_cls: Builder | None,
    profiling: Profiling | None,
    start: bool,
) -> list[Process]:
    launches = [
        Launch({**options, **(common_options or {})}, builder_cls=builder_cls, profiling=profiling)
        for options in actor_options
    ]
    try:
        refuse_unreachable(launches)
    except CommandError as error:
        raise ValueError(str(error)) from error
    processes = [
        Process(target=run_launch, args=(launch,), name=process_name(launch.name)) for launch in launches
    ]
    for process in processes if start else ():
        process.start()
    return processes


def run_actors_from_cli(
    *,
    builder_cls: Builder | None = None,
    default_workdir: str | None = None,
    default_profiling_save_path: str = "profiling",
    default_profiling_entries: int = DEFAULT_ENTRIES,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run the actors that the command line (or `arguments`) describes, until they end or are interrupted.

    Raises:
        CommandError: a file or configuration is wrong, or the actors could not reach each other.
        SystemExit: an actor ended badly, with its exit code.
    """
    parser = argparse.ArgumentParser(description="Run several actors, a process each.")
    parser.add_argument("configs", metavar="profiles", nargs="+", help="file with a list under 'profiles'")
    parser.add_argument("-c", "--common-config", metavar="FILE", help="replaces keys of every actor")
    add_arguments(parser, profiling_entries=default_profiling_entries)
    parser.set_defaults(workdir=default_workdir, profiling_save_path=default_profiling_save_path)
    options = parser.parse_args(arguments)
    refuse_containers(options)
    launches = [replace(launch, builder_cls=builder_cls) for launch in launches_of(options)]
    # forked on Linux, as ever: a script needs no `if __name__ == "__main__"` for it
    code = run_launches(launches, context=multiprocessing.get_context())
    if code not in (0, 130, 143):
        raise SystemExit(code)


if __name__ == "__main__":
    try:
        run_actors_from_cli()
    except CommandError as error:
        sys.exit(tell(sys.argv[0], error))
