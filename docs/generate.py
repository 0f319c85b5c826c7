"""Writes what the manual takes from the code: keys, schema, errors, API. Run it by `make schema`."""

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

#: the API reference, by file: title, introduction, and packages with their modules, in the order of telling
PAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "roles": (
        "Writing roles",
        "What `import roleml.essentials as rml` offers to whoever writes a role, and a little more.",
        {
            "roleml.core.role": "base channels elements metrics types helpers proxies exceptions",
            "roleml.core": "status",
        },
    ),
    "actors": (
        "Actors and groups",
        "Where roles live, whom they know, and how one calls many.",
        {
            "roleml.core.builders": "actor errors",
            "roleml.core.actor": "actor checkpoints group.makers group.util.collections promise",
            "roleml.core": "context",
        },
    ),
    "workload": (
        "Models, data and mergers",
        "What roles work on: protocols to satisfy, and classes that do.",
        {
            "roleml.library.workload.models": "bases",
            "roleml.library.workload.datasets": "bases views samplers partition",
            "roleml.shared.collections": "merger",
            "roleml.library.workload.util.collections.merger": "numpy server robust",
        },
    ),
    "library": (
        "Ready-made roles",
        "Trainers, federated averaging, the Conductor, initiators, the recorder.",
        {
            "roleml.library.roles.trainer": "epoch gradient",
            "roleml.library.roles.federated": "selector configurator aggregator coordinator",
            "roleml.library.roles.conductor": "base deployment peers",
            "roleml.library.roles.initiator": "server client",
            "roleml.library.roles.recorder": "recording",
        },
    ),
    "simulation": (
        "Simulation",
        "Whole applications in one process.",
        {"roleml.simulation": "experiment session devices"},
    ),
    "messaging": (
        "Messaging",
        "Below roles: the contract of a transport, what travels, and what can go wrong.",
        {"roleml.messaging": "transport codec exceptions", "roleml.shared": "errors"},
    ),
}

WRITTEN = "<!-- written by docs/generate.py from its list: edit that, then `make schema` -->"

MODULE = """
## {name}

```{{eval-rst}}
.. automodule:: {name}
   :members:
   :show-inheritance:
```
"""


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


def reference(page: str) -> str:
    """A page of the reference, as Markdown."""
    title, introduction, packages = PAGES[page]
    names = [f"{package}.{module}" for package, modules in packages.items() for module in modules.split()]
    return f"# {title}\n\n{WRITTEN}\n\n{introduction}\n" + "".join(MODULE.format(name=name) for name in names)


def contents() -> str:
    """The page that lists them."""
    listed = "\n".join(f"api/{page}" for page in PAGES)
    about = "The classes and functions for users, by their docstrings."
    return f"# API reference\n\n{WRITTEN}\n\n{about}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


def files() -> dict[Path, str]:
    """What belongs into which file."""
    return {
        HERE / "keys.md": keys(),
        HERE / "codes.md": error_codes(),
        **{HERE / "errors" / f"{code}.md": page(code) for code in codes()},
        HERE / "api.md": contents(),
        **{HERE / "api" / f"{name}.md": reference(name) for name in PAGES},
        HERE / "actor.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
