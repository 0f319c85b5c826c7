"""Writes what the manual takes from the code: keys, schema, and errors. Run it by `make schema`."""

from __future__ import annotations

import json
from pathlib import Path

from roleml.cli.explain.pages import codes, page, title
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

CODES_HEAD = """\
# Error codes

<!-- written by docs/generate.py from roleml/cli/explain/pages: edit those, then `make schema` -->

Every error of RoleML, and every finding of `roleml check` and `roleml doctor`, has a code that never changes,
and a page with its cause and its remedy. `roleml explain CODE` prints the page, without a network.

```{toctree}
:hidden:
:glob:

errors/*
```
"""

#: by the letter of a code
AUDIENCES = {
    "R": "Between roles",
    "C": "In configuration",
    "M": "In messaging",
    "D": "In deployment and simulation",
    "L": "In the command line",
    "B": "At the broker",
}


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


def error_codes() -> str:
    """The list of all errors by audience, as Markdown."""
    parts = [CODES_HEAD]
    for letter, audience in AUDIENCES.items():
        rows = [f"| [{code}](errors/{code}.md) | {title(code)} |" for code in codes() if code[4] == letter]
        parts.append(f"\n## {audience}\n\n| code | what it is |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def files() -> dict[Path, str]:
    """What belongs into which file."""
    return {
        HERE / "keys.md": keys(),
        HERE / "codes.md": error_codes(),
        **{HERE / "errors" / f"{code}.md": page(code) for code in codes()},
        HERE / "actor.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
