"""Whom a role calls, as far as its code says so in so many words."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator

from roleml.core.role.base import Role
from roleml.core.role.naming import to_standardized_name

__all__ = ["calls_of"]

_CALLS = {"call", "call_task", "call_group", "call_task_group"}


def calls_of(cls: type[Role]) -> set[tuple[str, str]]:
    """Pairs of relationship and channel that the code of a role class, or of a base, calls by literal names.

    `self.call("server", "register")` and `self.call_group(Relationship("client").targets, "train")` do. Names
    that are computed are not found; without the source, nothing is.
    """
    found: set[tuple[str, str]] = set()
    for each in cls.__mro__:
        if issubclass(each, Role) and each is not Role:
            try:
                tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
            except (OSError, TypeError, SyntaxError):
                continue
            found.update(_calls_in(tree, cls))
    return found


def _calls_in(tree: ast.AST, cls: type[Role]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        on_self = isinstance(node.func.value, ast.Name) and node.func.value.id == "self"
        if not on_self or node.func.attr not in _CALLS or len(node.args) < 2:
            continue
        relationship, channel = _text(node.args[0], cls), _text(node.args[1], cls)
        if relationship and channel:
            yield relationship, to_standardized_name(channel)


def _text(node: ast.expr, cls: type[Role]) -> str | None:
    """A literal; an attribute of the class; or the name in `Relationship("name", ...)`, perhaps listed."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            value = getattr(cls, node.attr, None)
            return value if isinstance(value, str) else None
        return _text(node.value, cls)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        return _text(node.args[0], cls) if node.func.id in ("Relationship", "list", "sorted") else None
    return None
