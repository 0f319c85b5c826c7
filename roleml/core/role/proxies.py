"""Calls that look like method calls, so that an editor completes them and a type checker reads them.

Optional: a proxy does what `Role.call` and `Role.call_task` do, and nothing else.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from roleml.core.context import RoleInstanceID
from roleml.core.role.types import TaskInvocation
from roleml.shared.suggestions import did_you_mean

if TYPE_CHECKING:
    from roleml.core.role.base import Role

__all__ = ["Payload", "Proxy"]

T = TypeVar("T")
_PAYLOAD: Final = object()

#: ``weights: Payload[dict[str, Any]]`` in an interface: this parameter is large, and goes into the payloads.
Payload = Annotated[T, _PAYLOAD]


class Proxy:
    """Has the methods of an interface; each calls the channel of its name at a target.

    An interface is a class, best a ``typing.Protocol``, whose methods have the parameters of the handlers
    without the caller. One that returns a `TaskInvocation` is a task, any other a service. What is not given
    is not sent.

    Raises:
        TypeError: the interface has no methods, or its annotations name what is not there.
    """

    def __init__(self, role: Role, interface: Callable[..., Any], target: str | RoleInstanceID) -> None:
        self._name = f"{getattr(interface, '__qualname__', interface)} at {target}"
        methods = inspect.getmembers(interface, inspect.isfunction)
        self._calls: Mapping[str, Callable[..., Any]] = {
            name: _call(role, target, name, method) for name, method in methods if not name.startswith("_")
        }
        if not self._calls:
            raise TypeError(f"{self._name}: an interface has a method for each channel, and this has none")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self._calls:
            raise AttributeError(f"{self._name} has no method {name!r}{did_you_mean(name, self._calls)}")
        return self._calls[name]

    def __dir__(self) -> list[str]:
        return sorted(self._calls)


def _call(
    role: Role, target: str | RoleInstanceID, name: str, method: Callable[..., Any]
) -> Callable[..., Any]:
    """A function with the parameters of the method that calls the channel."""
    signature = inspect.signature(method)
    signature = signature.replace(parameters=list(signature.parameters.values())[1:])  # without self
    try:
        hints = typing.get_type_hints(method, include_extras=True)
    except NameError as e:
        raise TypeError(
            f"{method.__qualname__}: {e}; an interface is read at run time: import what its annotations name"
        ) from e
    payloads = {
        parameter for parameter, hint in hints.items() if _PAYLOAD in getattr(hint, "__metadata__", ())
    }
    further = next(
        (each.name for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD), None
    )
    act = role.call_task if hints.get("return") is TaskInvocation else role.call

    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        if further is not None:
            given.update(given.pop(further, {}))
        return act(
            target,
            name,
            {key: value for key, value in given.items() if key not in payloads},
            {key: value for key, value in given.items() if key in payloads},
        )

    call.__name__, call.__doc__ = name, method.__doc__
    call.__signature__ = signature  # type: ignore[attr-defined]  # what help() and notebooks show
    return call
