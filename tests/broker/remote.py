"""A broker that somebody else runs, administered by the HTTP API of its management plugin."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.broker.broker import Broker, Row


class RemoteError(RuntimeError):
    """The broker does not answer, or refuses; the message says what was asked of it."""


class RemoteBroker(Broker):
    """The broker at ``amqp://user:password@host:port``, where the user is an administrator.

    Its management API is expected 10,000 ports above, as by default; ``?management=http://host:port`` says
    otherwise. What it counts may be some seconds old.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            raise RemoteError(f"{url!r} is not of the form amqp://user:password@host:port")
        self._parts = parts
        self.admin = unquote(parts.username or "guest")
        self._password = unquote(parts.password or "guest")
        self._port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
        default = f"http://{parts.hostname}:{self._port + 10_000}"
        self.management = parse_qs(parts.query).get("management", [default])[0].rstrip("/")

    def url(self, user: str | None = None, password: str | None = None, vhost: str = "/") -> str:
        if user is None:
            user, password = self.admin, self._password
        credentials = f"{quote(user, safe='')}:{quote(password or '', safe='')}"
        address = f"{self._parts.scheme}://{credentials}@{self._parts.hostname}:{self._port}"
        return f"{address}/{quote(vhost, safe='')}"

    def version(self) -> str:
        version: str = self._ask("GET", "overview")["rabbitmq_version"]
        return version

    def stop(self) -> None:
        pass

    def add_vhost(self, name: str, user: str | None = None) -> None:
        self._ask("PUT", "vhosts", name)
        self.set_permissions(user or self.admin, name)

    def delete_vhost(self, name: str) -> None:
        self._ask("DELETE", "vhosts", name)

    def add_user(self, name: str, password: str) -> None:
        self._ask("PUT", "users", name, body={"password": password, "tags": ""})

    def delete_user(self, name: str) -> None:
        self._ask("DELETE", "users", name)

    def set_permissions(
        self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        self._ask(
            "PUT", "permissions", vhost, user, body={"configure": configure, "write": write, "read": read}
        )

    def set_topic_permissions(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        body = {"exchange": exchange, "write": write, "read": read}
        self._ask("PUT", "topic-permissions", vhost, user, body=body)

    def list_queues(self, vhost: str = "/") -> list[Row]:
        rows: list[Row] = self._ask("GET", "queues", vhost)
        return rows

    def list_exchanges(self, vhost: str = "/") -> list[Row]:
        rows: list[Row] = self._ask("GET", "exchanges", vhost)
        return rows

    def list_bindings(self, vhost: str = "/") -> list[Row]:
        rows: list[Row] = self._ask("GET", "bindings", vhost)
        return rows

    def list_connections(self, vhost: str | None = None) -> list[Row]:
        rows: list[Row] = self._ask("GET", "connections")
        return [row for row in rows if vhost in (None, row.get("vhost"))]

    def close_connections(self, vhost: str, reason: str = "a test wants it") -> None:
        for row in self.list_connections(vhost):
            self._ask("DELETE", "connections", row["name"], reason=reason)

    def _ask(self, method: str, *path: str, body: Any = None, reason: str = "") -> Any:
        target = f"{self.management}/api/{'/'.join(quote(part, safe='') for part in path)}"
        login = base64.b64encode(f"{self.admin}:{self._password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        if reason:
            headers["X-Reason"] = reason
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(target, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20.0) as response:
                content = response.read()
        except urllib.error.HTTPError as e:
            with e:
                raise RemoteError(f"{method} {target}: {e.code} {e.read().decode(errors='replace')}") from e
        except OSError as e:
            raise RemoteError(
                f"{method} {target}: {e}. The tests need the management plugin of the broker they are given: "
                "rabbitmq-plugins enable rabbitmq_management, or say where it is with ?management=http://host:port"
            ) from e
        return json.loads(content) if content else None
