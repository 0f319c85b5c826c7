"""What the tests ask of a broker, whether they started it or were given its address."""

from __future__ import annotations

import abc
from typing import Any

Row = dict[str, Any]


class Broker(abc.ABC):
    """A running RabbitMQ and the right to administer it."""

    admin: str = "guest"

    @abc.abstractmethod
    def url(self, user: str | None = None, password: str | None = None, vhost: str = "/") -> str:
        """Where clients connect; as the administrator if no user is named."""

    @abc.abstractmethod
    def version(self) -> str:
        """For example ``4.0.5``."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End it, if it was started for the tests."""

    @abc.abstractmethod
    def add_vhost(self, name: str, user: str | None = None) -> None:
        """A virtual host in which ``user``, the administrator by default, may do everything."""

    @abc.abstractmethod
    def delete_vhost(self, name: str) -> None:
        """Ends the connections to it, too, some time later."""

    @abc.abstractmethod
    def add_user(self, name: str, password: str) -> None:
        """A user without any permission."""

    @abc.abstractmethod
    def delete_user(self, name: str) -> None:
        """Ends the user's connections, too, some time later."""

    @abc.abstractmethod
    def set_permissions(
        self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None: ...

    @abc.abstractmethod
    def set_topic_permissions(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None: ...

    @abc.abstractmethod
    def list_queues(self, vhost: str = "/") -> list[Row]:
        """Rows of name, durable, auto_delete, arguments, consumers, messages_ready and _unacknowledged."""

    @abc.abstractmethod
    def list_exchanges(self, vhost: str = "/") -> list[Row]:
        """Rows of name, type, durable, auto_delete, internal, arguments; the broker's own included."""

    @abc.abstractmethod
    def list_bindings(self, vhost: str = "/") -> list[Row]:
        """Rows of source, destination, destination_type, routing_key, arguments."""

    @abc.abstractmethod
    def list_connections(self, vhost: str | None = None) -> list[Row]:
        """Rows of name, user, vhost, state, channels, recv_oct, send_oct (bytes), client_properties."""

    @abc.abstractmethod
    def close_connections(self, vhost: str, reason: str = "a test wants it") -> None:
        """End each connection to the vhost as an operator can (320 CONNECTION_FORCED)."""
