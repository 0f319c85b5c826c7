"""One actor in this process: what `roleml run` does, for programs, and with the flags of RoleML 0.3."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from roleml.cli.foreground import run_gracefully, tell
from roleml.cli.launch import (
    DEFAULT_ENTRIES,
    Launch,
    Profiling,
    add_arguments,
    read_launch,
    refuse_containers,
    with_arguments,
)
from roleml.cli.run import run_launch
from roleml.core.actor.actor import BaseActor
from roleml.core.builders.actor import BaseActorBuilder

__all__ = ["run_actor", "run_actor_from_cli", "run_actor_gracefully", "run_actor_with_profiling"]

Builder = type[BaseActorBuilder[Any]]


def run_actor(_builder_cls: Builder | None = None, **config: Any) -> None:
    """Build and run an actor with this configuration until it is stopped, also by Ctrl-C or SIGTERM.

    Raises what building and starting it raises.
    """
    run_launch(Launch(config, builder_cls=_builder_cls))


def run_actor_with_profiling(
    _builder_cls: Builder | None = None,
    _save_path: str | os.PathLike[str] = ".",
    _tracer_entries: int = DEFAULT_ENTRIES,
    **config: Any,
) -> None:
    """Like `run_actor`, with a trace by viztracer in `<_save_path>/profiler-<actor>.json`.

    Raises:
        ModuleNotFoundError: viztracer is not installed.
    """
    profiling = Profiling(Path(_save_path).absolute(), _tracer_entries)
    run_launch(Launch(config, builder_cls=_builder_cls, profiling=profiling))


def run_actor_gracefully(actor: BaseActor) -> None:
    """Run an actor that was built; Ctrl-C and SIGTERM stop it, a second one of them ends the process."""
    run_gracefully(lambda: actor)


def run_actor_from_cli(
    default_config_file: str = "start.yaml",
    *,
    builder_cls: Builder | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run the actor that the command line (or `arguments`) describes, and return when it was stopped.

    Raises:
        TypeError: the configuration file contains no mapping.
        ModuleNotFoundError: profiling is asked for, and viztracer is not installed.
        CommandError: the file is missing or no YAML, or containers are asked for.
        ConfigError: the configuration is wrong.
    """
    parser = argparse.ArgumentParser(description="Run one actor.")
    parser.add_argument(
        "-c", "--config", metavar="FILE", default=default_config_file, help="default: %(default)s"
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    refuse_containers(options)
    launch = with_arguments(read_launch(options.config), options)
    run_launch(replace(launch, builder_cls=builder_cls))


if __name__ == "__main__":
    try:
        run_actor_from_cli()
    except Exception as error:  # noqa: BLE001  # the program ends here; a traceback is in the log
        sys.exit(tell(sys.argv[0], error))
