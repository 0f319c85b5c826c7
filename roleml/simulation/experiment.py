"""An experiment: a configuration of several actors, and how to run it on one machine.

Either it is a run configuration, which a Conductor deploys and steers by commands, or a list of actors that
configure themselves, as `roleml batch` takes it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from roleml.core.builders.errors import ConfigError, Problem, Problems
from roleml.core.builders.schema import (
    Anything,
    DottedName,
    Either,
    Field,
    Integer,
    ListOf,
    MappingOf,
    Record,
    Text,
)
from roleml.core.builders.spec import ACTOR, ROLE
from roleml.library.roles.conductor.expansion import expand
from roleml.library.roles.conductor.types import RunSpec, validate_run_spec, validate_run_spec_template
from roleml.shared.suggestions import did_you_mean
from roleml.simulation.devices import DEVICES, check_devices

if TYPE_CHECKING:
    from roleml.shared.yml import Marks

__all__ = ["CONDUCTOR", "SECTION", "Experiment"]

#: the actor of the Conductor, and its role there
CONDUCTOR = "conductor"
DEFAULT_CONDUCTOR = "roleml.library.roles.conductor.base.Conductor"

#: the section `experiment` of a run configuration
SECTION = Record(
    "experiment",
    "an experiment",
    {
        "conductor": Field(
            Either((ROLE, DottedName("a class"))),
            "the role that deploys and takes the commands",
            default=DEFAULT_CONDUCTOR,
        ),
        "commands": Field(
            ListOf(Text("a command"), "commands"),
            "what the Conductor is told once everything is deployed; without any, it asks you",
        ),
        "seed": Field(Integer(), "of all random numbers", default=0),
        "devices": Field(DEVICES, "what the devices of the actors are like"),
        "actor": Field(
            MappingOf(Text("a key"), Anything(), "keys to values"),
            "keys of the actor configuration for every actor, such as those of the log",
        ),
    },
)

#: a list of actors that configure themselves
LIST = Record(
    "actor_list",
    "a list of actors",
    {
        "profiles": Field(
            ListOf(ACTOR, "actor configurations"), "the actors, in the order in which they start"
        ),
        "experiment": Field(Anything(), "how to run them"),
    },
)

_NO_COMMANDS = "these actors configure themselves, so there is no Conductor to deploy and to take commands"


@dataclass(frozen=True)
class Experiment:
    """What is run, and how. Made by :meth:`load`, and changed by :meth:`changed`."""

    path: Path
    config: Mapping[str, Any]
    marks: Marks | None = field(default=None, repr=False, compare=False)
    """Where the configuration stands in its files."""
    conductor: Any = DEFAULT_CONDUCTOR
    #: `None`: to be asked for
    commands: tuple[str, ...] | None = None
    seed: int = 0
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    actor: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Experiment:
        """Read a run configuration, a template or a reproducible one, or a list of actors.

        Raises:
            FileNotFoundError, YAMLError: see `roleml.shared.yml.load_yaml`.
            ConfigError: all that is wrong with its form, and where.
        """
        from roleml.shared.yml import load_yaml_with_marks

        config, marks = load_yaml_with_marks(path)
        if _configures_actors(config):
            _check_list(config, marks)
        elif isinstance(config, Mapping) and config.get("fixed") is True:
            validate_run_spec(config, marks, conductor=CONDUCTOR)
        else:
            validate_run_spec_template(config, marks)
        section = config.get("experiment") or {}
        _check_section(section, marks)
        given = {key: value for key, value in section.items() if value is not None}
        if "commands" in given:
            given["commands"] = tuple(given["commands"])
        return Experiment(Path(path).absolute(), config, marks, **given)

    def changed(
        self,
        *,
        commands: Sequence[str] | None = None,
        seed: int | None = None,
        devices: Mapping[str, Mapping[str, Any]] | None = None,
        device_marks: Marks | None = None,
        actor: Mapping[str, Any] | None = None,
    ) -> Experiment:
        """The same with other values; `None` leaves one alone. `device_marks`: where the devices are written.

        `actor`: keys of the actor configuration for every actor, whatever the experiment says of them.

        Raises:
            ConfigError: what is wrong with the devices, or there are commands and no Conductor.
        """
        if devices is not None:
            check_devices(devices, device_marks)
        if commands is not None and not self.conducted:
            raise ConfigError(Problem((), _NO_COMMANDS, ConfigError))
        config = self.config
        if actor and not self.conducted:
            config = {**config, "profiles": [{**profile, **actor} for profile in config["profiles"]]}
        values: dict[str, Any] = {
            "config": config,
            "actor": {**self.actor, **(actor or {})},
            "commands": None if commands is None else tuple(commands),
            "seed": seed,
            "devices": devices,
        }
        return replace(self, **{key: value for key, value in values.items() if value is not None})

    def quieter(self) -> Experiment:
        """The same with a console that shows warnings only, where the experiment says nothing of it."""
        return replace(self, actor={"log_console_level": "WARNING", **self.actor})

    @property
    def conducted(self) -> bool:
        """Whether there is a Conductor; otherwise the actors configure themselves."""
        return not _configures_actors(self.config)

    @property
    def actor_names(self) -> list[str]:
        """The actors but the Conductor's, in the order of the profiles."""
        if not self.conducted:
            return [each["name"] for each in self.config["profiles"]]
        groups = [
            self.config.get(key) or () for key in ("profiles", "profiles_separate", "profiles_individual")
        ]
        return [each["name"] for group in groups for each in group if each["name"] != CONDUCTOR]

    def run_spec(self) -> RunSpec:
        """What is deployed: the template expanded, with the random values that the seed gives."""
        if self.config.get("fixed") is True:
            return cast(RunSpec, self.config)
        random.seed(self.seed)
        return expand(self.config, CONDUCTOR)

    def actor_config(self, name: str) -> dict[str, Any]:
        """The start-up configuration of an actor: only its native role, which the Conductor manages.

        Without a Conductor it is what the list says.
        """
        config: dict[str, Any] = {"src": str(self.path.parent), "seed": self.seed, **self.actor, "name": name}
        if not self.conducted:
            config.update(next(each for each in self.config["profiles"] if each["name"] == name))
        elif name == CONDUCTOR:
            config["roles"] = {CONDUCTOR: self.conductor}
        else:
            config["relationships"] = {"manager": [f"{CONDUCTOR}/{CONDUCTOR}"]}
        return config


def _configures_actors(config: Any) -> bool:
    """Whether the profiles say more of their actors than who they are."""
    profiles = config.get("profiles") if isinstance(config, Mapping) else None
    return isinstance(profiles, Sequence) and any(
        isinstance(each, Mapping) and not each.keys() <= {"name", "address"} for each in profiles
    )


def _check_list(config: Mapping[str, Any], marks: Marks) -> None:
    """Raises ConfigError for what is wrong with a list of actors, but with the section `experiment`."""
    problems = Problems(marks)
    LIST.check(config, (), problems)
    problems.raise_if_any()
    names = [each["name"] for each in config["profiles"]]
    for position, name in enumerate(names):
        if name in names[:position]:
            problems.add(("profiles", position, "name"), f"there is another actor named {name!r}")
    section = config.get("experiment")
    for key in ("conductor", "commands"):
        if isinstance(section, Mapping) and section.get(key) is not None:
            problems.add(("experiment", key), _NO_COMMANDS)
    problems.raise_if_any()


def _check_section(section: Any, marks: Marks) -> None:
    problems = Problems(marks)
    SECTION.check(section, ("experiment",), problems)
    problems.raise_if_any()
    own = ("name", "roles", "relationships")
    for key in section.get("actor") or ():
        if key not in ACTOR.fields or key in own:
            usual = [name for name in ACTOR.usual if name not in own]
            problems.add(
                ("experiment", "actor", key),
                f"{key!r} is no key that all actors can share{did_you_mean(key, usual)}",
            )
    problems.raise_if_any()
