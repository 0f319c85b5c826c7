"""Our runtime on a broker, doing what `raw_pika.RawPika` does and measured by the same functions.

This process holds one actor, the caller; each peer is a process of its own with the actors that are called.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import socket
import struct
import time
from types import TracebackType
from typing import Any

import numpy as np
from raw_pika import DEADLINE_S, Pipe, memory_bytes, reset_peak

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context
from roleml.messaging.rabbitmq.sharing import shared_connections

__all__ = ["Runtime", "Sink", "actor", "bytes_sent"]

ROLE = "receiver"


class Driver(rml.Role):
    """Calls and emits."""

    tick = rml.Event()


class Receiver(rml.Role):
    """Answers, receives payloads, and counts events."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: queue.SimpleQueue[float] = queue.SimpleQueue()

    @rml.Service(expand=True)
    def echo(self, _: rml.RoleInstanceID, data: Any) -> Any:
        return data

    @rml.Task(expand=True)
    def work(self, _: rml.RoleInstanceID, data: Any) -> Any:
        return data

    @rml.Service(expand=True)
    def take(self, _: rml.RoleInstanceID, data: Any) -> float:
        return time.monotonic()  # the machine's clock, not the process's

    def on_tick(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None:
        if args["last"]:
            self.ends.put(time.monotonic())


class Sink(rml.Role):
    """What an idle actor hosts."""

    @rml.Service
    def take(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None: ...


def actor(name: str, url: str) -> rml.Actor:
    return rml.Actor(Context.build(ActorProfile(name)), broker=url)


def _run_peer(pipe: Pipe, url: str, driver: str, names: list[str], roles: list[str]) -> None:
    actors = [actor(name, url) for name in names]
    receivers: list[Receiver] = []
    for each in actors:
        for role in roles:
            receivers.append(Receiver())
            each.add_role(role, receivers[-1])
        each.start()
    pipe.send("ready")
    idle = memory_bytes("VmRSS")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while (command := pipe.recv()) != "stop":
            if command == "reset":
                reset_peak()
                idle = memory_bytes("VmRSS")
            elif command == "subscribe":
                for receiver in receivers:
                    receiver.subscribe(rml.RoleInstanceID(driver, "driver"), "tick", receiver.on_tick)
            elif command == "ends":
                pipe.send(max(receiver.ends.get(timeout=DEADLINE_S) for receiver in receivers))
                continue
            pipe.send(memory_bytes("VmHWM") - idle)
    for each in actors:
        each.stop()


class Runtime:
    """This process as caller, and ``processes`` others with ``receivers`` each. A context manager.

    Each receiver is an actor; with ``together``, those of a process are roles of one actor.
    """

    def __init__(self, url: str, *, processes: int = 1, receivers: int = 1, together: bool = False) -> None:
        self._url = url
        self._name = f"bench-{time.monotonic_ns():x}"
        peers = [f"{self._name}-{number}" for number in range(processes)]
        if together:
            self._actors = [[peer] for peer in peers]
            self._roles = [f"{ROLE}{number}" for number in range(receivers)]
        else:
            self._actors = [[f"{peer}-{number}" for number in range(receivers)] for peer in peers]
            self._roles = [ROLE]
        self.targets = [
            rml.RoleInstanceID(name, role) for names in self._actors for name in names for role in self._roles
        ]
        self._processes: list[tuple[Any, Pipe]] = []
        self._subscribed = False

    @property
    def shared_targets(self) -> list[rml.RoleInstanceID]:
        """All of them: that those of a process get one copy is our runtime's own business."""
        return self.targets

    def __enter__(self) -> Runtime:
        self._driver = Driver()
        self._actor = actor(self._name, self._url)
        self._actor.add_role("driver", self._driver)
        self._actor.start()
        context = multiprocessing.get_context("spawn")
        for names in self._actors:
            here, there = context.Pipe()
            process = context.Process(
                target=_run_peer, args=(there, self._url, self._name, names, self._roles)
            )
            process.start()
            there.close()
            self._processes.append((process, here))
        for _, pipe in self._processes:
            if not pipe.poll(DEADLINE_S):
                raise TimeoutError("a peer does not start")
            pipe.recv()
        return self

    @property
    def peer_pids(self) -> list[int]:
        return [process.pid for process, _ in self._processes]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, pipe in self._processes:
            with contextlib.suppress(OSError):
                pipe.send("stop")
            process.join(DEADLINE_S)
            pipe.close()
        self._actor.stop()

    # ---- what is measured

    def call(self, body: bytes, number: int = 0) -> bytes:
        answer: bytes = self._driver.call(self.targets[number], "echo", {"data": body})
        return answer

    def run_task(self, body: bytes, number: int = 0) -> bytes:
        answer: bytes = self._driver.call_task(self.targets[number], "work", {"data": body}).result()
        return answer

    def emit(self, events: int, body: bytes) -> float:
        """Seconds from the first event until the last one has reached each receiver."""
        if not self._subscribed:
            self._ask("subscribe")
            self._subscribed = True
        start = time.monotonic()
        for number in range(1, events + 1):
            self._driver.tick.emit({"data": body, "last": number == events})
        return max(self._ask("ends")) - start

    def transfer(self, payload: memoryview, targets: list[rml.RoleInstanceID]) -> float:
        """Seconds from here until the handler of each target has the payload as an array of its own."""
        payloads = {"data": np.frombuffer(payload, np.uint8)}
        start = time.monotonic()
        if len(targets) == 1:
            end: float = self._driver.call(targets[0], "take", None, payloads)
            return end - start
        return max(at for _, at in self._driver.call_group(targets, "take", None, payloads)) - start

    def bytes_sent(self) -> int:
        return bytes_sent(self._url)

    def reset_peaks(self) -> None:
        reset_peak()
        self._idle = memory_bytes("VmRSS")
        self._ask("reset")

    def peaks_bytes(self) -> tuple[int, int]:
        """Of this process and of the largest peer, above what they held at `reset_peaks`."""
        return memory_bytes("VmHWM") - self._idle, max(self._ask("peak"))

    def _ask(self, command: str) -> list[Any]:
        for _, pipe in self._processes:
            pipe.send(command)
        return [pipe.recv() for _, pipe in self._processes]


def bytes_sent(url: str) -> int:
    """By this process to that broker, as the kernel counts them (Linux)."""
    return sum(_bytes_sent(connection) for connection in _connections(url))


def _connections(url: str) -> list[Any]:
    shared = shared_connections(url)
    return [shared.publishing._connection, shared.consuming._connection]


def _bytes_sent(connection: Any) -> int:
    information = connection._transport._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    (count,) = struct.unpack_from("Q", information, 200)
    return int(count)
