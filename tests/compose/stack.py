"""The compose files as data: what the tests read them for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
FILES = [ROOT / "compose.yaml", ROOT / "compose.cluster.yaml"]

#: `${NAME:?message}` and `${NAME:-default}`
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[?-])([^}]*))?\}")


def load(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def services(file: Path = FILES[0]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(file)["services"]
    return found


def with_cluster() -> dict[str, dict[str, Any]]:
    """Both files as compose puts them together, as far as these use it: mappings grow, lists get longer."""
    merged = services()
    for name, service in services(FILES[1]).items():
        mine = merged.setdefault(name, {})
        for key, value in service.items():
            if isinstance(value, dict) and isinstance(mine.get(key), dict):
                mine[key] = mine[key] | value
            elif isinstance(value, list) and key in mine:
                mine[key] = mine[key] + value
            else:
                mine[key] = value
    return merged


def filled(text: str, environment: dict[str, str]) -> str:
    """The text with variables replaced."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if name in environment:
            return environment[name]
        assert operator == ":-", f"{name} is not set: {rest}"
        return str(rest)

    return VARIABLE.sub(value, text)
