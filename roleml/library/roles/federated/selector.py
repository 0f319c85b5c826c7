"""Who takes part in a round."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service

__all__ = ["ClientSelector"]


class ClientSelector(Role):
    """Draws clients at random from the relationship `client`.

    The draws depend on the seed of the actor and on the members of the relationship, not on the order in
    which the members joined.
    """

    RELATIONSHIP_NAME = "client"

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._generator: random.Random | None = None

    def state_dict(self) -> dict[str, Any]:
        """Where the draws stand."""
        with self._lock:
            return {"generator": None if self._generator is None else self._generator.getstate()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if state_dict["generator"] is not None:
            self._generator = random.Random()
            self._generator.setstate(state_dict["generator"])

    @Service(expand=True)
    def select_client(
        self, _: RoleInstanceID, ratio: float | None = None, count: int | None = None
    ) -> list[RoleInstanceID]:
        """A share of the clients, or `count` of them (1 if neither is given); `ratio` goes before `count`."""
        candidates = sorted(self.ctx.relationships.get_relationship_view(self.RELATIONSHIP_NAME))
        k = int(len(candidates) * ratio) if ratio else count or 1
        self.require(
            0 < k <= len(candidates),
            f"cannot select {k} of the {len(candidates)} members of relationship {self.RELATIONSHIP_NAME!r} "
            f"(ratio={ratio}, count={count})",
        )
        return candidates if k == len(candidates) else self._draw(candidates, k)

    def _draw(self, candidates: list[RoleInstanceID], k: int) -> list[RoleInstanceID]:
        # not the shared `random` module, whose state depends on what else this process draws, and when
        with self._lock:
            if self._generator is None:
                self._generator = random.Random(self.ctx.seed)
            return self._generator.sample(candidates, k)
