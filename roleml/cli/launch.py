"""What is to be run: actors from configuration files, with what the command line changes about them."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, at_least, positive, reading
from roleml.shared.suggestions import did_you_mean

if TYPE_CHECKING:
    from roleml.core.builders.actor import BaseActorBuilder
    from roleml.messaging.rabbitmq.endpoints import BrokerURL
    from roleml.shared.yml import KeyPath, Marks

__all__ = [
    "DEFAULT_ENTRIES",
    "Launch",
    "Profiling",
    "add_arguments",
    "add_expected",
    "add_management",
    "add_observing",
    "add_surveying",
    "broker_chosen",
    "broker_url",
    "choose",
    "chosen_broker",
    "profiling_of",
    "rabbitmq_chosen",
    "read_launch",
    "read_launches",
    "refuse_containers",
    "with_arguments",
]

BROKER_VARIABLE = "ROLEML_BROKER"
logger = logging.getLogger("roleml.cli")
DEFAULT_ENTRIES = 1_000_000


@dataclass(frozen=True)
class Profiling:
    """Where `profiler-<actor>.json` is written, and how many entries the tracer holds at most."""

    folder: Path
    entries: int = DEFAULT_ENTRIES


@dataclass(frozen=True)
class Launch:
    """One actor to be run in one process. Can be sent to that process if its configuration can."""

    config: Mapping[str, Any]
    marks: Marks | None = None
    """Where the configuration stands in its files."""
    builder_cls: type[BaseActorBuilder[Any]] | None = None
    broker: str | None = None
    """Instead of the one of the environment or the configuration."""
    profiling: Profiling | None = None

    @property
    def name(self) -> str:
        return str(self.config.get("name", "?"))

    def builder(self) -> BaseActorBuilder[Any]:
        """A builder with the configuration. Raises ConfigError for what is wrong with its form."""
        from roleml.core.builders.actor import ActorBuilder

        builder = (self.builder_cls or ActorBuilder)()
        builder.load_config(self.config, self.marks)
        return builder

    def changed(self, **config: Any) -> Launch:
        """The same with other values for some keys; None leaves a key alone."""
        given = {key: value for key, value in config.items() if value is not None}
        return replace(self, config={**self.config, **given})


def add_expected(parser: argparse.ArgumentParser) -> None:
    """The argument that says who should be there."""
    parser.add_argument(
        "config", metavar="CONFIG", nargs="?", help="of an actor, actors, or a run: who should be there"
    )


def add_observing(parser: argparse.ArgumentParser) -> None:
    """The options of commands that are an actor for a moment."""
    add = parser.add_argument
    add("--broker", metavar="URL", type=broker_url, help="amqp://user:password@host/vhost")
    add("--name", metavar="NAME", help="as which actor; default: observer-<host>-<process id>")


def add_surveying(parser: argparse.ArgumentParser) -> None:
    """The options of commands that ask all actors how they are."""
    add_observing(parser)
    add_management(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive,
        default=5.0,
        help="how long actors may take to answer (default: %(default)s)",
    )


def add_management(parser: argparse.ArgumentParser) -> None:
    """The option that says where the management pages are."""
    parser.add_argument(
        "--management",
        metavar="URL",
        help="of the management pages, http[s]://user:password@host:port (default: port 15672 of the host "
        "of the broker, or 10,000 above its port where that is an unusual one, with the same user)",
    )


@contextlib.contextmanager
def broker_chosen(url: str | None) -> Iterator[None]:
    """Actors built in the block, and in processes started there, use this broker (None: no change)."""
    before = os.environ.get(BROKER_VARIABLE)
    if url is not None:
        os.environ[BROKER_VARIABLE] = url
    try:
        yield
    finally:
        if url is not None:
            os.environ.pop(BROKER_VARIABLE)
            if before is not None:
                os.environ[BROKER_VARIABLE] = before


def chosen_broker(url: str | None, configured: str = "embedded://") -> str:
    """The broker that counts: that of the command line, else of the environment, else the configured one."""
    return url or os.environ.get(BROKER_VARIABLE) or configured


def rabbitmq_chosen(url: str | None, actor: str = "") -> BrokerURL:
    """Likewise, in parts, for a command that is about RabbitMQ. Raises CommandError for any other."""
    from roleml.messaging.rabbitmq.endpoints import BrokerURL

    chosen = chosen_broker(url, "")
    if not chosen.startswith(("amqp://", "amqps://")):
        raise CommandError("name a RabbitMQ: --broker amqp://user:password@host/vhost, or ROLEML_BROKER")
    try:
        return BrokerURL.parse(chosen, actor)
    except ValueError as error:
        raise CommandError(str(error)) from error


# files


def read_launch(path: str | os.PathLike[str]) -> Launch:
    """The actor whose configuration a file is. Raises as `read_launches`."""
    document, marks = _read(path)
    _require_mapping(document, marks)
    return Launch(document, marks)


def read_launches(path: str | os.PathLike[str], common: str | os.PathLike[str] | None = None) -> list[Launch]:
    """The actors of a file: the file is the configuration of one, or has a list of them under `profiles`.

    The entries of the mapping in `common` replace those of each actor.

    Raises:
        CommandError: a file is missing or no YAML.
        TypeError: something that must be a mapping or a list is not.
    """
    from roleml.core.builders.errors import Problems, WrongTypeError

    document, marks = _read(path)
    _require_mapping(document, marks)
    found: list[tuple[Mapping[str, Any], Marks]] = [(document, marks)]
    if "profiles" in document:
        profiles = document["profiles"]
        if not isinstance(profiles, list) or not profiles:
            problems = Problems(marks)
            problems.add(("profiles",), "expected a list of actor configurations", WrongTypeError)
            problems.raise_if_any()
        _warn_of_run(document, marks)
        for index, profile in enumerate(profiles):
            _require_mapping(profile, marks, ("profiles", index))
        found = [
            (profile, marks.below(("profiles", index)))
            for index, profile in enumerate(profiles)
        ]  # fmt: skip
    if common is not None:
        shared, shared_marks = _read(common)
        _require_mapping(shared, shared_marks)
        found = [({**config, **shared}, marks.overlaid(shared_marks)) for config, marks in found]
    return [Launch(config, marks) for config, marks in found]


def _warn_of_run(document: Mapping[str, Any], marks: Marks) -> None:
    """Say that the roles of a run configuration are not those of the actors that it lists."""
    from roleml.library.roles.conductor.types import RUN, TEMPLATE

    unused = ({*RUN.fields, *TEMPLATE.fields} - {"profiles", "experiment", "fixed"}) & set(document)
    if unused:
        first = min(unused, key=list(document).index)
        logger.warning(
            "%s: %r is for a Conductor, and not used here: the actors start as they stand under 'profiles'; "
            "'roleml simulate' carries out a run configuration",
            marks.key((first,)),
            first,
        )


def _read(path: str | os.PathLike[str]) -> tuple[Any, Marks]:
    from roleml.shared.yml import load_yaml_with_marks  # not needed by `roleml --help`

    with reading(path):
        return load_yaml_with_marks(path)


def _require_mapping(value: Any, marks: Marks, path: KeyPath = ()) -> None:
    from roleml.core.builders.errors import require_mapping

    require_mapping(value, marks, path)


def choose(launches: Sequence[Launch], name: str | None, path: object) -> Launch:
    """The actor of that name, or the only one. Raises CommandError if that is nobody."""
    names = [launch.name for launch in launches]
    if name is not None:
        for launch in launches:
            if launch.name == name:
                return launch
        raise CommandError(f"{path} has no actor named {name!r}{did_you_mean(name, names)}")
    if len(launches) > 1:
        raise CommandError(
            f"{path} has {len(launches)} actors ({', '.join(names)}): choose one with --actor NAME, or run "
            "all of them with 'roleml batch'"
        )
    return launches[0]


# arguments


def add_arguments(parser: argparse.ArgumentParser, *, profiling_entries: int = DEFAULT_ENTRIES) -> None:
    """Declare the options that running one actor and running many have in common."""
    add = parser.add_argument
    add(
        "-w",
        "--workdir",
        metavar="FOLDER",
        help="working directory of the actor, instead of the configured one",
    )
    add(
        "-s",
        "--src",
        metavar="FOLDER",
        help="where its classes are imported from, instead of the configured one",
    )
    add(
        "--broker",
        metavar="URL",
        type=broker_url,
        help="message broker, such as amqp://user:password@host/vhost; goes before the environment variable "
        "ROLEML_BROKER, which goes before the configuration",
    )
    add_checkpoints(parser)
    add("-p", "--profiling", action="store_true", help="record a trace with viztracer")
    add(
        "-ps",
        "--profiling-save-path",
        metavar="FOLDER",
        default="profiling",
        help="where to write profiler-<actor>.json (default: %(default)s)",
    )
    add(
        "-pe",
        "--profiling-entries",
        metavar="N",
        type=at_least(1),
        default=profiling_entries,
        help="how many entries the tracer keeps (default: %(default)s)",
    )
    add("--containerize", action="store_true", help=argparse.SUPPRESS)


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """The options that say where actors keep checkpoints, and whether they go on from them."""
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="keep checkpoints there, one file for each actor, instead of in the configured folder",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint; an actor that has none yet begins anew",
    )


def checkpoints_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keys of an actor's configuration that these options stand for. The folder starts here, not at the
    actor's working directory.
    """
    keys: dict[str, Any] = {}
    if arguments.checkpoint is not None:
        keys["checkpoint"] = os.path.abspath(arguments.checkpoint)
    if arguments.resume:
        keys["resume"] = True
    return keys


def broker_url(text: str) -> str:
    """An option type: a URL that a transport is known for."""
    from roleml.messaging.transport import check_url

    try:
        # secrets that each actor has its own of are looked at when there is an actor
        check_url(text, "" if "{actor}" in text else "check")
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def refuse_containers(arguments: argparse.Namespace) -> None:
    """Raises CommandError where containers are asked for."""
    if arguments.containerize:
        raise CommandError(
            "--containerize is not available yet; run the actor without it, or in your own image"
        )


def profiling_of(arguments: argparse.Namespace) -> Profiling | None:
    """What the profiling options ask for. The folder starts here, not at the actor's working directory."""
    if not arguments.profiling:
        return None
    return Profiling(Path(arguments.profiling_save_path).absolute(), arguments.profiling_entries)


def with_arguments(launch: Launch, arguments: argparse.Namespace) -> Launch:
    """The launch as the common options want it."""
    changed = launch.changed(workdir=arguments.workdir, src=arguments.src, **checkpoints_of(arguments))
    return replace(changed, broker=arguments.broker, profiling=profiling_of(arguments))
