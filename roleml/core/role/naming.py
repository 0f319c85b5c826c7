"""How attribute names become channel and element names."""

from __future__ import annotations

__all__ = ["to_standardized_name"]


def to_standardized_name(name: str) -> str:
    """The name as it appears on the wire and in configuration: every ``_`` becomes ``-``.

    Applies to channels and elements. Actor, role instance and relationship names stay as they are.
    """
    if not isinstance(name, str):
        raise TypeError(f"a channel or element is given by its name, such as 'my-channel', not as {name!r}")
    return name.replace("_", "-")
