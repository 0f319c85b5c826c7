"""What is wrong with a configuration: its form, what it names, and whether its parts fit together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from roleml.cli.check.actors import ActorsCheck
from roleml.cli.check.findings import Code, Findings
from roleml.cli.check.fitting import Check, mappings
from roleml.cli.check.runs import RunCheck
from roleml.cli.command import reading
from roleml.core.builders.errors import ConfigError, Problem, require_mapping
from roleml.core.builders.spec import ACTOR
from roleml.library.roles.conductor.types import RUN, TEMPLATE

__all__ = ["check_file", "read", "read_or_refuse"]

#: keys that only a run configuration has
_RUN_KEYS = (set(RUN.fields) | set(TEMPLATE.fields)) - set(ACTOR.fields) - {"profiles"}


def check_file(path: str | os.PathLike[str]) -> Findings:
    """What is wrong with a file. Imports and raises as `read`."""
    return read(path).findings


def read(path: str | os.PathLike[str]) -> Check:
    """Read and check an actor's configuration, a list of actors under ``profiles``, or a run configuration.

    The modules that it names are imported, and nothing is built or connected. Classes are looked for in the
    configured `src`, in the folder of the file, and where Python looks.

    Raises:
        FileNotFoundError, YAMLError: see `roleml.shared.yml.load_yaml`.
        TypeError: the file contains something else than a mapping.
    """
    from roleml.shared.yml import load_yaml_with_marks

    config, marks = load_yaml_with_marks(path, log=False)
    require_mapping(config, marks)
    folders = [str(Path(path).absolute().parent)]
    given = [config.get(key) for key in ("src", "workdir")]
    folders += [os.path.abspath(folder) for folder in given if isinstance(folder, str)]
    with _importable(folders):
        if _RUN_KEYS & set(config) or (
            "profiles" in config and not any("roles" in each for each in mappings(config["profiles"]))
        ):
            check: Check = RunCheck(config, marks)
        else:
            check = ActorsCheck(config, marks)
        check.check()
    for key in marks.repeated:
        check.findings.warnings.append(
            Problem((), str(key), ConfigError, key.mark, code=Code.NO_EFFECT.value)
        )
    return check


def read_or_refuse(path: str | os.PathLike[str]) -> Check:
    """As `read`, for commands. Raises CommandError for what cannot be read."""
    with reading(path):
        return read(path)


@contextmanager
def _importable(folders: Sequence[str]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    try:
        yield
    finally:
        sys.path[:] = before
