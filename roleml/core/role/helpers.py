"""Decorators for handlers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from roleml.core.role.exceptions import CallerError

__all__ = ["require_relationship"]

Handler = TypeVar("Handler", bound=Callable[..., Any])


def require_relationship(name: str, message: str = "") -> Callable[[Handler], Handler]:
    """Let only members of the handling actor's relationship ``name`` call a service or task.

    Stands above ``@Service`` or ``@Task``. Anyone else gets a ``CallerError``; in its text, ``message`` may
    use ``{sender}``, ``{relationship}`` and ``{actor}``.
    """
    text = message or "{sender} is not in the relationship {relationship!r} of actor {actor}"

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def guarded(self: Any, caller: Any, args: Any, payloads: Any) -> Any:
            if not self.ctx.relationships.instance_belongs_to_relationship(caller, name):
                raise CallerError(text.format(sender=caller, relationship=name, actor=self.profile.name))
            return handler(self, caller, args, payloads)

        return guarded  # type: ignore[return-value]  # a handler again, with its marks kept by wraps

    return decorate
