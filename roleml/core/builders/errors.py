"""What is wrong with a configuration.

::

    ConfigError (ValueError)          a value that is not possible in its place
    ├── MissingKeyError (KeyError)    a key that must be there
    ├── UnknownKeyError (TypeError)   a key that means nothing there
    ├── WrongTypeError (TypeError)    a value, or the thing it names, of another kind
    ├── UnknownChoiceError (KeyError) a name that is none of a fixed set
    ├── UnknownElementError (RuntimeError)  an element the role class does not declare
    ├── MissingModuleError (ModuleNotFoundError)
    ├── MissingNameError (AttributeError)   a module without the configured name
    └── FailedImportError (ImportError)     a module whose own code fails when it is imported
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from roleml.shared.errors import RoleMLError, add_note, pointer

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath, Mark, Marks

__all__ = [
    "ConfigError",
    "FailedImportError",
    "MissingKeyError",
    "MissingModuleError",
    "MissingNameError",
    "Problem",
    "Problems",
    "UnknownChoiceError",
    "UnknownElementError",
    "UnknownKeyError",
    "WrongTypeError",
    "outline",
    "placed",
    "places_in_code",
    "require_mapping",
]

_STANDARD = f"{Path(os.__file__).parent}{os.sep}"
_OURS = f"{Path(__file__).parents[2]}{os.sep}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `config.yaml:12:5: roles.trainer.impl.modle: unknown element ...`."""

    path: KeyPath
    text: str
    kind: type[ConfigError]
    mark: Mark | None = None
    cause: BaseException | None = None
    #: of what was found, where that says more than its kind
    code: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", self.code or self.kind.code)

    def __str__(self) -> str:
        place = f"{self.mark}: " if self.mark is not None else ""
        return f"{place}{dotted(self.path)}: {self.text}" if self.path else f"{place}{self.text}"


class ConfigError(RoleMLError, ValueError):
    """All that is wrong with one configuration; the class is that of the first problem."""

    code = "RML-C001"

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems
        self.__notes__ = [pointer(problem.code for problem in problems)]

    def __str__(self) -> str:  # not KeyError's, which would quote the text
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems in the configuration:{lines}"


class MissingKeyError(ConfigError, KeyError):
    code = "RML-C002"


class UnknownKeyError(ConfigError, TypeError):
    code = "RML-C003"


class WrongTypeError(ConfigError, TypeError):
    code = "RML-C004"


class UnknownChoiceError(ConfigError, KeyError):
    code = "RML-C005"


class UnknownElementError(ConfigError, RuntimeError):
    code = "RML-C006"


class MissingModuleError(ConfigError, ModuleNotFoundError):
    code = "RML-C007"


class MissingNameError(ConfigError, AttributeError):
    code = "RML-C008"


class FailedImportError(ConfigError, ImportError):
    code = "RML-C009"


class Problems:
    """Collects what is wrong, so that one run shows all of it, with places if there are `marks`."""

    def __init__(self, marks: Marks | None = None) -> None:
        self._marks = marks
        self._found: list[Problem] = []
        self._keys_only = False

    def add(
        self,
        path: KeyPath,
        text: str,
        kind: type[ConfigError] = ConfigError,
        *,
        at_value: bool = False,
        in_file: bool = True,
        cause: BaseException | None = None,
    ) -> None:
        """Note a problem with what `path` leads to: with its last key, or with the value there."""
        mark = None
        if self._marks is not None and in_file:
            mark = self._marks.value(path) if at_value and not self._keys_only else self._marks.key(path)
        self._found.append(Problem(path, text, kind, mark, cause))

    def at_keys(self) -> Problems:
        """The same collection, for whoever checks keys as if they were values."""
        view = Problems(self._marks)
        view._found = self._found
        view._keys_only = True
        return view

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise all of them as one error, of the first one's class."""
        if self._found:
            first = self._found[0]
            raise first.kind(*self._found) from first.cause


@contextmanager
def placed(path: KeyPath, marks: Marks | None, kind: type[Exception] = Exception) -> Iterator[None]:
    """What is raised in the block gets a note of where in the configuration its reason stands.

    For the errors of others, whose class and message are to stay as they are.
    """
    try:
        yield
    except kind as error:
        if not isinstance(error, ConfigError):
            place = f"{marks.key(path)}: " if marks is not None else ""
            add_note(error, f"configured at {place}{dotted(path)}")
        raise


def outline(error: BaseException) -> str:
    """An error for the log of who configures, not of who debugs: class, message, notes, and where in the code
    of others than RoleML it was raised.
    """
    lines = [f"{type(error).__name__}: {error}"]
    lines += [f"raised at {place} in {name}" for place, name in reversed(places_in_code(error)[-3:])]
    lines += getattr(error, "__notes__", ())
    return "\n  ".join(lines)


def places_in_code(error: BaseException) -> list[tuple[str, str]]:
    """Where an error went through code that is neither Python's nor RoleML's: `file:line`, and in what."""
    return [
        (f"{_shortened(frame.filename)}:{frame.lineno}", frame.name)
        for frame in extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen ", _OURS))
        and ("site-packages" in frame.filename or not frame.filename.startswith(_STANDARD))
    ]


def _shortened(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def require_mapping(config: Any, marks: Marks, path: KeyPath = ()) -> None:
    """Raise WrongTypeError, a TypeError, if the configuration at `path` of a file is no mapping."""
    if not isinstance(config, Mapping):
        found = "nothing" if config is None else "a list" if isinstance(config, list) else repr(config)
        text = f"a configuration is a mapping of keys to values, such as 'name: server', and here is {found}"
        problems = Problems(marks)
        problems.add(path, text, WrongTypeError, at_value=True)
        problems.raise_if_any()


def dotted(path: Iterable[Any]) -> str:
    """A key path for people: `roles.trainer.impl`, `relationships.trainer[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int) and not isinstance(part, bool):
            text += f"[{part}]"
        else:
            name = part if isinstance(part, str) else getattr(part, "__qualname__", repr(part))
            text += f".{name}" if text else name
    return text
