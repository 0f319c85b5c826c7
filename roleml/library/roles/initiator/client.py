"""The client's side of registration."""

from __future__ import annotations

from typing import ClassVar

from roleml.core.role.base import Role
from roleml.shared.interfaces import Runnable

__all__ = ["ClientInitiator"]


class ClientInitiator(Role, Runnable):
    """Registers a role instance of this actor at the server, as soon as the actor runs.

    It must be the last role that is deployed to the client: what it registers may be called from then on.
    """

    #: the relationship that names the server's initiator
    RELATIONSHIP_NAME: ClassVar[str] = "server"

    def __init__(self, rep_instance_name: str = "trainer") -> None:
        """``rep_instance_name``: the role that represents this client."""
        super().__init__()
        self.rep_instance_name = rep_instance_name

    def run(self) -> None:
        self.call(self.RELATIONSHIP_NAME, "register", args={"instance_name": self.rep_instance_name})
        self.logger.info("%s is registered", self.rep_instance_name)
