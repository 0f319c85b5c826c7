"""Erlang evaluated inside a node of the tests: see console.erl for the other end."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("console.erl")

Json = Any


class ConsoleError(RuntimeError):
    """The expression failed in the node."""


class Console:
    """The way into a node. It holds the lifeline: after `close` the node ends. For any number of threads."""

    def __init__(self, socket_file: Path) -> None:
        self._socket_file = socket_file
        self._lifeline = self._connect()

    def evaluate(self, expressions: str, timeout_s: float = 20.0) -> Json:
        """The value of the last expression. Binaries are strings here, maps are dicts, other terms are text.

        Raises:
            ConsoleError: the node raised.
            OSError: the node is gone, or did not answer in time.
        """
        request = expressions.strip().rstrip(".").encode() + b"."
        with self._connect() as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">I", len(request)) + request)
            (size,) = struct.unpack(">I", _read(connection, 4))
            answer = json.loads(_read(connection, size))
        if "error" in answer:
            raise ConsoleError(f"{answer['error']} in {expressions.strip()}")
        return answer["value"]

    def close(self) -> None:
        self._lifeline.close()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._socket_file))
        except BaseException:
            connection.close()
            raise
        return connection


def _read(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the node closed its console")
        data += piece
    return bytes(data)


def quoted(text: str) -> str:
    """A string as an Erlang binary."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'
