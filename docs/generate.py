"""Writes what the manual takes from the code: `keys.md` and `actor.schema.json`. Run it by `make schema`."""

from __future__ import annotations

import json
from pathlib import Path

from roleml.core.builders.schema import Record
from roleml.core.builders.spec import ACTOR, ELEMENT_IMPLEMENTATION, PRESET, ROLE, json_schema

HERE = Path(__file__).resolve().parent

HEAD = """\
# Keys

<!-- written by docs/generate.py from roleml.core.builders.spec: edit that, then `make schema` -->

Every key of a configuration file. [Configuration](configuration.md) explains how they work together.
"""

SECTIONS = [
    ("An actor", "The document.", ACTOR),
    ("A role", "An entry of `roles`; the dotted name of a class is short for its `class` alone.", ROLE),
    (
        "An element",
        "An entry of a role's `impl`: where the objects of that element come from.",
        ELEMENT_IMPLEMENTATION,
    ),
    ("A preset", "An entry of `element_preset`.", PRESET),
]


def keys() -> str:
    """The tables of all keys, as Markdown."""
    return HEAD + "".join(section(*each) for each in SECTIONS)


def section(title: str, introduction: str, record: Record) -> str:
    rows = [f"| `{name}` | {described(record, name)} |" for name in record.usual]
    ignored = [f"`{name}`" for name in record.fields if name not in record.usual]
    text = f"\n## {title}\n\n{introduction}\n\n| key | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"
    if ignored:
        text += f"\nAccepted for the sake of older configurations: {', '.join(ignored)}.\n"
    return text


def described(record: Record, name: str) -> str:
    field = record.fields[name]
    text = field.description.replace("|", "\\|")
    if field.required:
        return f"**required**: {text}"
    return text if field.default in (None, "") else f"{text} (default: `{json.dumps(field.default)}`)"


def files() -> dict[Path, str]:
    """What belongs into which file."""
    return {
        HERE / "keys.md": keys(),
        HERE / "actor.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
