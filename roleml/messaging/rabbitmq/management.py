"""The one call to RabbitMQ's management API that provisioning needs."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from roleml.messaging.exceptions import MsgConnectionError

__all__ = ["import_definitions"]

TIMEOUT_S = 60.0


def import_definitions(url: str, definitions: Mapping[str, Any], *, password: str | None = None) -> None:
    """Add to, and overwrite on, the broker whose management API is at ``http[s]://user[:password]@host[:port]``.

    The user needs the tag ``administrator``. ``password`` is for a URL without one.

    Raises:
        ValueError: the URL is not of this form.
        MsgConnectionError: the broker is not there, or refuses.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{parts.scheme}://{parts.hostname} is no management URL: it is http[s]://user@host:15672"
        )
    host = parts.netloc.rpartition("@")[2]
    target = urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/api/definitions", "", ""))
    user = unquote(parts.username or "guest")
    given = password if parts.password is None else unquote(parts.password)
    login = base64.b64encode(f"{user}:{given or 'guest'}".encode()).decode()
    request = urllib.request.Request(
        target,
        json.dumps(definitions).encode(),
        {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            response.read()
    except urllib.error.HTTPError as e:
        with e:
            text = e.read().decode(errors="replace")[:500]
        raise MsgConnectionError(f"{target} refuses user {user!r}: {e.code} {text}{_advice(e.code)}") from e
    except OSError as e:
        raise MsgConnectionError(
            f"cannot reach {target}: {e}; is the plugin on (rabbitmq-plugins enable rabbitmq_management)?"
        ) from e


def _advice(code: int) -> str:
    if code == 401:
        return "; user or password is wrong, or guest is used from another machine"
    if code == 403:
        return "; the user needs the tag administrator"
    return ""
