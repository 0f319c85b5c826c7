"""The floor under every broker on this machine: Python at both ends of a TCP connection, and nothing between.

A broker in between makes two connections of it. They may work at the same time, so a large payload can take
less than two copies one after the other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import struct
import time
from types import TracebackType
from typing import Any

__all__ = ["Loopback"]

DEADLINE_S = 60.0
_SIZE = struct.Struct(">Q")
_TIME = struct.Struct(">d")


def _receive(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data


def _serve(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
            while True:
                (size,) = _SIZE.unpack(_receive(connection, _SIZE.size))
                _receive(connection, size)
                connection.sendall(_TIME.pack(time.monotonic()))


class Loopback:
    """This process and another one. A context manager."""

    def __enter__(self) -> Loopback:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(DEADLINE_S)
            port = server.getsockname()[1]
            process: Any = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,))
            process.start()
            self._process = process
            self._connection, _ = server.accept()
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(DEADLINE_S)

    def round_trip_s(self, body: bytes = bytes(100)) -> float:
        """There, and an answer back."""
        start = time.monotonic()
        self._send(body)
        return time.monotonic() - start

    def copy_s(self, payload: bytes | bytearray | memoryview) -> float:
        """Until the other process has it, by the machine's clock."""
        start = time.monotonic()
        return self._send(payload) - start

    def _send(self, payload: bytes | bytearray | memoryview) -> float:
        self._connection.sendall(_SIZE.pack(len(payload)))
        self._connection.sendall(payload)
        (at,) = _TIME.unpack(_receive(self._connection, _TIME.size))
        return float(at)
