"""Who takes part in an application, read from its configuration files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roleml.cli.command import CommandError, reading
from roleml.shared.yml import load_yaml

__all__ = ["Members", "read_members"]

#: the keys under which a batch or a Conductor's configuration lists actors
PROFILES = ("profiles", "profiles_separate", "profiles_individual")


@dataclass(frozen=True)
class Members:
    """The actors in the order of the files, each once, and the broker URL that they name, if any."""

    actors: tuple[str, ...]
    broker: str | None


def read_members(files: Sequence[Path]) -> Members:
    """Read configurations of single actors, lists of them, and those of a Conductor. Roles are not looked at.

    A file with neither adds nothing but its ``broker``: it is common to others.

    Raises:
        CommandError: a file cannot be read, there is no actor in any, or they name different brokers.
    """
    actors: dict[str, None] = {}
    brokers: dict[str, Path] = {}
    for file in files:
        for config in _configs(_load(file), file):
            if "name" in config:
                actors[str(config["name"])] = None
            if isinstance(broker := config.get("broker"), str) and not broker.startswith("embedded:"):
                brokers[broker] = file
    if not actors:
        raise CommandError(
            f"no actor in {', '.join(map(str, files))}: expected the configuration of one (with a 'name'), "
            f"or a list of them under {' or '.join(map(repr, PROFILES))}"
        )
    if len(brokers) > 1:
        named = "; ".join(f"{_without_password(broker)} in {file}" for broker, file in brokers.items())
        raise CommandError(f"the actors use different brokers, provision each by itself: {named}")
    return Members(tuple(actors), next(iter(brokers), None))


def _load(file: Path) -> Any:
    with reading(file):
        return load_yaml(file)


def _configs(document: Any, file: Path) -> Iterator[dict[str, Any]]:
    if isinstance(document, list):
        document = {PROFILES[0]: document}
    if not isinstance(document, dict):
        raise CommandError(f"{file} holds no mapping, but {type(document).__name__}")
    yield document
    for key in PROFILES:
        listed = document.get(key) or []
        if not isinstance(listed, list):
            raise CommandError(f"{key!r} in {file} is no list of actors, but {type(listed).__name__}")
        for item in listed:
            if isinstance(item, str):
                yield {"name": item}
            elif isinstance(item, dict) and "name" in item:
                yield item
            else:
                raise CommandError(f"{key!r} in {file} has an actor without a name: {item!r}")


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
