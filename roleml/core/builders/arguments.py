"""Whether keyword arguments in a configuration suit what is going to be called with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from roleml.core.builders.errors import Problems, UnknownKeyError, WrongTypeError
from roleml.shared.suggestions import did_you_mean

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = ["check_arguments"]


def check_arguments(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    path: KeyPath,
    problems: Problems,
    *,
    of: str,
    noun: str = "argument",
    needed_at: KeyPath | None = None,
) -> None:
    """Note arguments that `function` does not take, and those that it needs and does not get.

    `path` is where `given` stands, and `needed_at` where to complain of missing ones, if not there. Nothing
    is said of a function whose parameters are not known, such as one written in C.
    """
    try:
        # what is called, not what it was wrapped around: a wrapper may take more, or less
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return
    by_name = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in by_name:
                hint = did_you_mean(str(name), by_name, list_all_up_to=20)
                problems.add((*path, name), f"unknown {noun} {name!r} of {of}{hint}", UnknownKeyError)
    for name, parameter in by_name.items():
        if parameter.default is parameter.empty and name not in given:
            text = f"{of} needs the {noun} {name!r}"
            problems.add(path if needed_at is None else needed_at, text, WrongTypeError)
