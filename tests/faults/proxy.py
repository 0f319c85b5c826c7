"""A network between actors and their broker that can be cut, and slowed down."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

PIECE_BYTES = 64 * 1024


class Proxy:
    """Passes on what comes to its port. A context manager.

    `cut` closes all connections and refuses new ones; `freeze` keeps them and passes nothing on, as a cable
    that was pulled; `mend` ends both. `bytes_per_s` limits each direction of each connection.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self.port = 0
        self.bytes_per_s: float | None = None
        #: what came while it was frozen, and while it was slow
        self.held_bytes = self.slowed_bytes = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._cut = False

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        return len(self._writers) // 2

    def cut(self) -> None:
        self._do(self._hang_up(cut=True))

    def freeze(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def mend(self) -> None:
        self._do(self._hang_up(cut=False))

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _hang_up(self, *, cut: bool) -> None:
        self._cut = cut
        self._flowing.set()
        if cut:
            for writer in list(self._writers):
                writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._writers -= {writer, back}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                if not self._flowing.is_set():
                    self.held_bytes += len(piece)
                    await self._flowing.wait()
                if self.bytes_per_s is not None:
                    self.slowed_bytes += len(piece)
                    await asyncio.sleep(len(piece) / self.bytes_per_s)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
