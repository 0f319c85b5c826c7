"""A new application from a template: what is written, and what it may be called."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from roleml.cli.command import CommandError

__all__ = ["KINDS", "create", "module_name"]

#: the templates, and what they are
KINDS = {
    "fl": "federated averaging: a server and five clients",
    "gossip": "gossip learning: six peers, and no server",
    "blank": "two actors, one of which asks the other",
}
_SUFFIX = ".tmpl"  # so that tools which look for Python files do not take a template for one


def create(kind: str, folder: Path) -> list[Path]:
    """Write an application of this kind, named like its folder, and return its files.

    Raises:
        CommandError: the folder is there already, or its name cannot be that of a module.
    """
    name, module = folder.name, module_name(folder.name)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise CommandError(f"{folder} is there already; name a folder that is not") from None
    written = []
    for path, template in _templates(kind):
        file = folder / _filled(path, name, module)
        file.write_text(_filled(template, name, module), encoding="utf-8")
        written.append(file)
    return written


def module_name(name: str) -> str:
    """The Python module for an application of this name. Raises CommandError if there can be none."""
    module = name.lower().replace("-", "_")
    if not re.fullmatch("[a-z][a-z0-9_]*", module) or keyword.iskeyword(module):
        raise CommandError(f"{name!r} cannot be a name: use letters (a-z), digits, '-' and '_', as in my-app")
    if find_spec(module) is not None:
        raise CommandError(f"{name!r} is the name of a Python package that is installed; take another one")
    return module


def _templates(kind: str) -> Iterator[tuple[str, str]]:
    entries = (files("roleml.cli.new") / "templates" / kind).iterdir()
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name.endswith(_SUFFIX):
            yield entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")


def _filled(text: str, name: str, module: str) -> str:
    return text.replace("@name@", name).replace("@module@", module)
