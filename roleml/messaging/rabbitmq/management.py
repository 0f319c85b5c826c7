"""RabbitMQ's management API, as far as it is needed."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from roleml.messaging.exceptions import MsgConnectionError

if TYPE_CHECKING:
    from roleml.messaging.rabbitmq.endpoints import BrokerURL

__all__ = ["ManagementAPI", "import_definitions"]

TIMEOUT_S = 60.0
#: Where the plugin listens, if nothing else is configured.
PORT = 15672
#: Where brokers listen, with and without TLS, if nothing else is configured.
USUAL_BROKER_PORTS = (5671, 5672)
#: How far above the port of a broker that was moved to another port its management pages usually are.
PORTS_ABOVE = PORT - 5672
HIGHEST_PORT = 65535


class ManagementAPI:
    """The API at ``http[s]://user[:password]@host[:port]``. ``password`` is for a URL without one.

    Raises:
        ValueError: the URL is not of this form.
    """

    def __init__(self, url: str, *, password: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{parts.scheme}://{parts.hostname} is no management URL: it is http[s]://user@host:15672"
            )
        host = parts.netloc.rpartition("@")[2]
        self._base = urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/api", "", ""))
        self._user = unquote(parts.username or "guest")
        given = password if parts.password is None else unquote(parts.password)
        self._login = base64.b64encode(f"{self._user}:{given or 'guest'}".encode()).decode()

    def __str__(self) -> str:
        return self._base

    @classmethod
    def beside(cls, broker: BrokerURL, url: str | None = None) -> ManagementAPI:
        """The API at ``url``; by default where a broker has it, with the same user. Raises ValueError.

        That is port 15672, or where the broker is at a port of its own, 10,000 above that one.
        """
        login = f"{quote(broker.user, safe='')}:{quote(broker.password, safe='')}"
        host, port = broker.hosts[0]
        above = port + PORTS_ABOVE
        port = PORT if port in USUAL_BROKER_PORTS or above > HIGHEST_PORT else above
        return cls(url or f"http://{login}@{host}:{port}")

    def get(self, *path: str, columns: Sequence[str] = ()) -> Any:
        """What is at a path, decoded, or only these ``columns`` of it.

        Raises:
            MsgConnectionError: the broker is not there, or refuses.
        """
        return json.loads(self._ask("GET", path, None, {"columns": ",".join(columns)} if columns else {}))

    def post(self, *path: str, body: Any) -> None:
        """Send something to a path. Raises as `get`."""
        self._ask("POST", path, json.dumps(body).encode())

    def delete(self, *path: str, **conditions: str) -> None:
        """Delete what is at a path, on conditions such as ``if-empty``. Raises as `get`."""
        self._ask("DELETE", path, None, conditions)

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        data: bytes | None,
        query: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        target = "/".join([self._base, *(quote(part, safe="") for part in path)])
        if query:
            target += f"?{urlencode(query, safe=',')}"
        headers = {"Authorization": f"Basic {self._login}", "Content-Type": "application/json"}
        request = urllib.request.Request(target, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as e:
            with e:
                text = e.read().decode(errors="replace")[:500]
            raise MsgConnectionError(
                f"{target} refuses user {self._user!r}: {e.code} {text}{_advice(e.code)}"
            ) from e
        except OSError as e:
            raise MsgConnectionError(
                f"cannot reach {target}: {e}; is the plugin on (rabbitmq-plugins enable rabbitmq_management)?"
            ) from e


def import_definitions(url: str, definitions: Mapping[str, Any], *, password: str | None = None) -> None:
    """Add to, and overwrite on, a broker; the user needs the tag ``administrator``. See `ManagementAPI`."""
    ManagementAPI(url, password=password).post("definitions", body=definitions)


def _advice(code: int) -> str:
    if code == 401:
        return "; user or password is wrong, or guest is used from another machine"
    if code == 403:
        return "; the user needs the tag administrator"
    return ""
