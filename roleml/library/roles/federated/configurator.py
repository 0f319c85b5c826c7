"""What the clients of a round are told to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service

__all__ = ["ClientConfigurator", "WarmUpClientConfigurator"]

Configurations = dict[RoleInstanceID, dict[str, Any]]


class ClientConfigurator(Role):
    """All clients train the same number of local epochs."""

    def __init__(self, num_epochs: int = 1) -> None:
        super().__init__()
        self.num_epochs = num_epochs

    @Service(expand=True)
    def configure(self, _: RoleInstanceID, clients: Iterable[RoleInstanceID]) -> Configurations:
        """The options of the training task of each client."""
        return {client: {"num_epochs": self.num_epochs} for client in clients}


class WarmUpClientConfigurator(Role):
    """A client trains a different number of local epochs in the first rounds it is selected for."""

    def __init__(
        self, selected_rounds_threshold: int = 2, num_epochs_before: int = 2, num_epochs_after: int = 1
    ) -> None:
        super().__init__()
        self.selected_rounds_threshold = selected_rounds_threshold
        self.num_epochs_before = num_epochs_before
        self.num_epochs_after = num_epochs_after
        self._selected: Counter[RoleInstanceID] = Counter()

    def state_dict(self) -> dict[str, Any]:
        """How often each client was selected."""
        return {"selected": dict(self._selected)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._selected = Counter(state_dict["selected"])

    @Service(expand=True)
    def configure(self, _: RoleInstanceID, clients: Iterable[RoleInstanceID]) -> Configurations:
        """The options of the training task of each client; counts as one selection of each."""
        clients = list(clients)
        self._selected.update(clients)
        return {client: {"num_epochs": self._num_epochs(client)} for client in clients}

    def _num_epochs(self, client: RoleInstanceID) -> int:
        warming_up = self._selected[client] <= self.selected_rounds_threshold
        return self.num_epochs_before if warming_up else self.num_epochs_after
