"""Imports what a configuration names, noting what cannot be imported and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roleml.core.builders.errors import (
    ConfigError,
    FailedImportError,
    MissingModuleError,
    MissingNameError,
    Problems,
    places_in_code,
)
from roleml.shared.importing import load_definition

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = ["MISSING", "resolve"]

#: stands for what could not be imported
MISSING: Any = object()


def resolve(target: Any, path: KeyPath, problems: Problems) -> Any:
    """What the text `target` names, or `target` itself; `MISSING`, with a problem noted, if there is none."""
    if not isinstance(target, str):
        return target
    try:
        return load_definition(target)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{target}.".startswith(f"{error.name}."):
            problems.add(path, str(error), MissingModuleError, at_value=True)
        else:
            problems.add(path, _failed(target, error), FailedImportError, at_value=True, cause=error)
    except ValueError as error:
        problems.add(path, str(error), ConfigError, at_value=True)
    except AttributeError as error:
        if str(error).startswith(f"cannot import {target!r}"):
            problems.add(path, str(error), MissingNameError, at_value=True)
        else:
            problems.add(path, _failed(target, error), FailedImportError, at_value=True, cause=error)
    except Exception as error:  # noqa: BLE001  # the module's own code: one failure must not hide other problems
        problems.add(path, _failed(target, error), FailedImportError, at_value=True, cause=error)
    return MISSING


def _failed(target: str, error: Exception) -> str:
    told = f"importing {target!r} failed with {type(error).__name__}: {error}"
    # a SyntaxError says itself where it is, and was not raised there
    return f"{told} (at {places[-1][0]})" if (places := places_in_code(error)) else told
