"""The yardstick on a broker: a hand-tuned pika program that does what our runtime does, without roles.

One connection and one I/O thread per process, a pool for handlers, manual acknowledgements, publisher
confirms and mandatory requests, an exclusive queue for replies, 256 KiB socket reads, small writes merged,
chunks of 4 MB under a window. Its peers are processes of their own. Other benchmarks run it side by side with
our runtime: figures are comparable within one run only.

    python benchmarks/raw_pika.py [--broker URL] [--quick]

Without a URL it starts a node as the tests do.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import queue
import socket
import statistics
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

import pika
from pika.adapters.utils import io_services_utils
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

__all__ = [
    "RawPika",
    "broadcast_s",
    "calls_per_second",
    "cpu_s",
    "event_deliveries_per_second",
    "payload_s",
    "service_latencies_s",
    "task_latencies_s",
]

CHUNK_BYTES = 4_000_000
WINDOW_CHUNKS = 8
"""Unconfirmed chunks at the sender; more is not faster."""
ACK_EVERY = 32
EVENT_WINDOW = 2_000
WORKERS = 16
DEADLINE_S = 60.0
PERSISTENT = 2


def tune_reads() -> None:
    """pika reads 4 KiB at a time and copies each frame of 128 KiB 16 times; the knob is private."""
    transport = io_services_utils._AsyncTransportBase
    if not hasattr(transport, "_MAX_RECV_BYTES"):
        raise RuntimeError("pika has no _AsyncTransportBase._MAX_RECV_BYTES any more: find the new knob")
    transport._MAX_RECV_BYTES = 256 * 1024
    transport._MAX_CONSUME_BYTES = 1024 * 1024


class MergingConnection(pika.SelectConnection):
    """Sends the small frames of one turn of the I/O loop at once, where pika makes a system call for each.

    A message is three frames. Measured: 15% off the latency of a call, 1.6 times as many calls/s. The
    method and the attributes are private to pika; without them this is the connection that it inherits from.
    """

    LIMIT_BYTES = 32 * 1024

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        size = sum(map(len, marshaled_frames))
        waiting = getattr(self._transport, "_tx_buffers", None)
        if size > self.LIMIT_BYTES or waiting is None:
            # A partial send copies the rest of its buffer, so large ones stay apart.
            super()._output_marshaled_frames(marshaled_frames)
            return
        data = b"".join(marshaled_frames)
        self.bytes_sent += size
        self.frames_sent += len(marshaled_frames)
        if waiting and len(waiting[-1]) + size <= self.LIMIT_BYTES:
            waiting[-1] += data
            self._transport._tx_buffered_byte_count += size
        else:
            self._adapter_emit_data(data)


class Link:
    """A connection with its I/O thread. All but ``_publish`` and ``channel`` is for any other thread."""

    def __init__(self, url: str, name: str) -> None:
        tune_reads()
        parameters = pika.URLParameters(url)
        parameters.client_properties = {"connection_name": name}
        self._posts: deque[Callable[[], object]] = deque()
        self._woken = False
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._confirms: dict[int, Callable[[], object]] = {}
        self._published = 0
        self.returned: Callable[[BasicProperties], object] = lambda _: None
        self._connection = MergingConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=lambda _, error: self._ended(error),
            on_close_callback=lambda _, reason: self._ended(reason),
        )
        self._thread = threading.Thread(target=self._connection.ioloop.start, name=name, daemon=True)
        self._thread.start()
        if not self._opened.wait(DEADLINE_S) or self._error is not None:
            raise RuntimeError(f"no connection to the broker: {self._error!r}")

    def _on_channel(self, channel: Channel) -> None:
        self.channel = channel
        channel.add_on_return_callback(lambda _, method, properties, body: self.returned(properties))
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._opened.set())

    def _ended(self, reason: BaseException) -> None:
        self._error = reason
        self._opened.set()
        self._connection.ioloop.stop()

    def post(self, action: Callable[[], object]) -> None:
        """Let the I/O thread do it; one wake-up serves all that was posted until then."""
        self._posts.append(action)
        if not self._woken:
            self._woken = True
            self._connection.ioloop.add_callback_threadsafe(self._drain)

    def _drain(self) -> None:
        self._woken = False
        posts = self._posts
        while posts:
            posts.popleft()()

    def publish(
        self, exchange: str, key: str, body: bytes, properties: BasicProperties, *,
        mandatory: bool = False, confirmed: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        self.post(lambda: self._publish(exchange, key, body, properties, mandatory, confirmed))

    def _publish(
        self, exchange: str, key: str, body: bytes, properties: BasicProperties, mandatory: bool,
        confirmed: Callable[[], object] | None,
    ) -> None:  # fmt: skip
        self._published += 1
        if confirmed is not None:
            self._confirms[self._published] = confirmed
        self.channel.basic_publish(exchange, key, body, properties, mandatory=mandatory)

    def _on_confirm(self, frame: Any) -> None:
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        for confirmed in [t for t in self._confirms if t <= tag] if multiple else [tag]:
            if (callback := self._confirms.pop(confirmed, None)) is not None:
                callback()

    def ask(self, action: Callable[[Callable[..., object]], object]) -> None:
        """Let the I/O thread start ``action(done)`` and wait until ``done`` is called."""
        done = threading.Event()
        self.post(lambda: action(lambda *_: done.set()))
        if not done.wait(DEADLINE_S):
            raise TimeoutError("the broker does not answer")

    def new_channel(self) -> Channel:
        channels: queue.SimpleQueue[Channel] = queue.SimpleQueue()
        self.post(lambda: self._connection.channel(on_open_callback=channels.put))
        return channels.get(timeout=DEADLINE_S)

    def declare(self, name: str, *, exclusive: bool = True, channel: Channel | None = None) -> None:
        arguments = None if exclusive else {"x-expires": 60_000}
        target = channel or self.channel
        self.ask(
            lambda done: target.queue_declare(
                name, exclusive=exclusive, durable=not exclusive, arguments=arguments, callback=done
            )
        )

    def consume(
        self, name: str, receive: Callable[[Channel, Basic.Deliver, BasicProperties, bytes], object], *,
        prefetch: int = 64, channel: Channel | None = None,
    ) -> None:  # fmt: skip
        target = channel or self.channel
        self.ask(lambda done: target.basic_qos(prefetch_count=prefetch, callback=done))
        self.ask(lambda done: target.basic_consume(name, receive, callback=done))

    def bytes_sent(self) -> int:
        """By this connection's socket, as the kernel counts them (Linux)."""
        transport: Any = self._connection._transport
        information = transport._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        (count,) = struct.unpack_from("Q", information, 200)
        return int(count)

    def close(self) -> None:
        if self._thread.is_alive():
            self.post(self._connection.close)
            self._thread.join(DEADLINE_S)


# ---- the other process


class Assembly:
    """Puts the chunks of one transfer at a time into one buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._received = 0

    def add(self, headers: dict[str, Any], chunk: bytes) -> bytearray | None:
        """The whole, with its last chunk."""
        if len(self._buffer) != headers["total"]:
            self._buffer = bytearray(headers["total"])
        self._buffer[headers["offset"] : headers["offset"] + len(chunk)] = chunk
        self._received += len(chunk)
        if self._received < headers["total"]:
            return None
        whole, self._buffer, self._received = self._buffer, bytearray(), 0
        return whole


class Peer:
    """Serves calls and tasks, and receives payloads and events for a number of receivers."""

    def __init__(self, url: str, name: str, events: str, receivers: int) -> None:
        self._link = Link(url, name)
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True).start()
        for kind, receive in (("services", self._on_call), ("tasks", self._on_task)):
            self._link.declare(f"{name}.{kind}", exclusive=kind == "services")
            self._link.consume(f"{name}.{kind}", receive)
        self._link.declare(f"{name}.shared")
        self._link.consume(
            f"{name}.shared", functools.partial(self._on_chunk, Assembly(), receivers), prefetch=WINDOW_CHUNKS
        )
        for number in range(receivers):
            channel = self._link.new_channel()
            self._link.declare(f"{name}.{number}", channel=channel)
            self._link.consume(
                f"{name}.{number}", functools.partial(self._on_chunk, Assembly(), 1),
                prefetch=WINDOW_CHUNKS, channel=channel,
            )  # fmt: skip
            subscription = self._link.new_channel()
            own = f"{name}.{number}.events"
            self._link.declare(own, channel=subscription)
            self._link.ask(
                functools.partial(
                    lambda own, channel, done: channel.queue_bind(own, events, callback=done),
                    own,
                    subscription,
                )
            )
            counter = itertools.count(1)
            self._link.consume(
                own, functools.partial(self._on_event, counter), prefetch=256, channel=subscription
            )

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _on_call(
        self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        def handle() -> None:
            self._link.post(lambda: finish(bytes(body)))

        def finish(answer: bytes) -> None:
            self._reply(properties, "result", answer)
            channel.basic_ack(method.delivery_tag)

        self._jobs.put(handle)

    def _on_task(
        self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        channel.basic_ack(method.delivery_tag)
        self._reply(properties, "accepted", b"")
        self._jobs.put(
            lambda: self._link.post(lambda: self._reply(properties, "result", bytes(body), PERSISTENT))
        )

    def _reply(self, request: BasicProperties, kind: str, body: bytes, delivery_mode: int = 1) -> None:
        properties = BasicProperties(
            correlation_id=request.correlation_id, type=kind, delivery_mode=delivery_mode
        )
        self._link._publish("", request.reply_to, body, properties, False, None)

    def _on_chunk(
        self, assembly: Assembly, copies: int, channel: Channel, method: Basic.Deliver,
        properties: BasicProperties, body: bytes,
    ) -> None:  # fmt: skip
        whole = assembly.add(properties.headers, body)
        channel.basic_ack(method.delivery_tag)
        if whole is None:
            return

        def handle() -> None:
            received = [whole, *(bytearray(whole) for _ in range(copies - 1))]
            answer = struct.pack("d", time.monotonic())
            assert all(len(copy) == len(whole) for copy in received)
            self._link.post(lambda: self._reply(properties, "received", answer))

        self._jobs.put(handle)

    def _on_event(
        self, counter: Iterator[int], channel: Channel, method: Basic.Deliver, properties: BasicProperties,
        body: bytes,
    ) -> None:  # fmt: skip
        if next(counter) % ACK_EVERY == 0 or properties.reply_to:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if properties.reply_to:
            self._reply(properties, "received", struct.pack("d", time.monotonic()))

    def close(self) -> None:
        self._link.close()


def reset_peak() -> None:
    """Count `peak_bytes` from here (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_bytes(line: str) -> int:
    """``VmHWM``, the peak, or ``VmRSS``, the present, of this process."""
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith(f"{line}:"))


def cpu_s(pid: int) -> float:
    """Processor time that a process has used so far, in steps of the kernel's tick (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _run_peer(pipe: Pipe, url: str, name: str, events: str, receivers: int) -> None:
    peer = Peer(url, name, events, receivers)
    pipe.send("ready")
    idle = memory_bytes("VmRSS")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while (command := pipe.recv()) != "stop":
            if command == "reset":
                reset_peak()
                idle = memory_bytes("VmRSS")
            pipe.send(memory_bytes("VmHWM") - idle)
    peer.close()


# ---- this process


class RawPika:
    """This process as caller, and ``processes`` others with ``receivers`` each. A context manager."""

    def __init__(self, url: str, *, processes: int = 1, receivers: int = 1) -> None:
        self._url = url
        self._receivers = receivers
        self._name = f"raw-{time.monotonic_ns():x}"
        self.peers = [f"{self._name}-{number}" for number in range(processes)]
        self._events = f"{self._name}.events"
        self._pending: dict[str, queue.SimpleQueue[tuple[str, bytes]]] = {}
        self._numbers = itertools.count(1)
        self._processes: list[tuple[Any, Pipe]] = []

    @property
    def targets(self) -> list[str]:
        """The queue of each receiver."""
        return [f"{peer}.{number}" for peer in self.peers for number in range(self._receivers)]

    @property
    def shared_targets(self) -> list[str]:
        """A queue per process, whose payloads are copied for each receiver there."""
        return [f"{peer}.shared" for peer in self.peers]

    def __enter__(self) -> RawPika:
        self._link = Link(self._url, self._name)
        self._link.returned = lambda properties: self._answer(properties, b"", "returned")
        self._link.ask(
            lambda done: self._link.channel.exchange_declare(
                self._events, "fanout", auto_delete=True, callback=done
            )
        )
        self._replies = f"{self._name}.replies"
        self._link.declare(self._replies)
        self._link.consume(self._replies, self._on_reply)
        context = multiprocessing.get_context("spawn")
        for peer in self.peers:
            here, there = context.Pipe()
            process = context.Process(
                target=_run_peer, args=(there, self._url, peer, self._events, self._receivers)
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
        self._link.close()

    # ---- what is measured

    def call(self, body: bytes, number: int = 0) -> bytes:
        """A request to a peer's handler, and its answer. For any thread."""
        with self._expecting() as (answers, properties):
            self._link.publish(
                "", f"{self.peers[number]}.services", body, properties, mandatory=True, confirmed=_ignore
            )
            return _expect(answers, "result")

    def run_task(self, body: bytes, number: int = 0) -> bytes:
        """The same, persistent, accepted first and answered later."""
        with self._expecting() as (answers, properties):
            properties.delivery_mode = PERSISTENT
            self._link.publish(
                "", f"{self.peers[number]}.tasks", body, properties, mandatory=True, confirmed=_ignore
            )
            _expect(answers, "accepted")
            return _expect(answers, "result")

    def emit(self, events: int, body: bytes) -> float:
        """Seconds from the first event until the last one has reached each receiver."""
        window = threading.Semaphore(EVENT_WINDOW)
        properties = BasicProperties(delivery_mode=1)
        start = time.monotonic()
        for _ in range(1, events):
            window.acquire()
            # one confirm tells about all before it
            self._link.publish(self._events, "", body, properties, confirmed=window.release)
        with self._expecting() as (answers, last):
            self._link.publish(self._events, "", body, last)
            return max(_time(answers) for _ in self.targets) - start

    def transfer(self, payload: memoryview, targets: list[str]) -> float:
        """Seconds from here until each target has the payload in one piece; it is sent once (CC)."""
        window = threading.Semaphore(WINDOW_CHUNKS)
        total = len(payload)
        start = time.monotonic()
        with self._expecting() as (answers, about):
            for offset in range(0, total, CHUNK_BYTES):
                window.acquire()
                headers: dict[str, Any] = {"offset": offset, "total": total}
                if len(targets) > 1:
                    headers["CC"] = targets[1:]
                properties = BasicProperties(
                    headers=headers,
                    reply_to=about.reply_to,
                    correlation_id=about.correlation_id,
                    delivery_mode=1,
                )
                chunk = bytes(payload[offset : offset + CHUNK_BYTES])
                self._link.publish(
                    "", targets[0], chunk, properties, mandatory=True, confirmed=window.release
                )
            return max(_time(answers) for _ in targets) - start

    def bytes_sent(self) -> int:
        return self._link.bytes_sent()

    def reset_peaks(self) -> None:
        reset_peak()
        self._idle = memory_bytes("VmRSS")
        for _, pipe in self._processes:
            pipe.send("reset")
            pipe.recv()

    def peaks_bytes(self) -> tuple[int, int]:
        """Of this process and of the largest peer, above what they held at `reset_peaks`."""
        for _, pipe in self._processes:
            pipe.send("peak")
        return memory_bytes("VmHWM") - self._idle, max(pipe.recv() for _, pipe in self._processes)

    @contextlib.contextmanager
    def _expecting(self) -> Iterator[tuple[queue.SimpleQueue[tuple[str, bytes]], BasicProperties]]:
        number = str(next(self._numbers))
        answers: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._pending[number] = answers
        try:
            yield answers, BasicProperties(correlation_id=number, reply_to=self._replies, delivery_mode=1)
        finally:
            del self._pending[number]

    def _on_reply(
        self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        self._answer(properties, body, properties.type)
        channel.basic_ack(method.delivery_tag)

    def _answer(self, properties: BasicProperties, body: bytes, kind: str) -> None:
        if (answers := self._pending.get(properties.correlation_id)) is not None:
            answers.put((kind, body))


def _ignore() -> None: ...


def _expect(answers: queue.SimpleQueue[tuple[str, bytes]], wanted: str) -> bytes:
    kind, body = answers.get(timeout=DEADLINE_S)
    if kind != wanted:
        raise RuntimeError(f"expected {wanted}, got {kind}")
    return body


def _time(answers: queue.SimpleQueue[tuple[str, bytes]]) -> float:
    # The monotonic clock is the machine's, not the process's.
    (at,) = struct.unpack("d", _expect(answers, "received"))
    return float(at)


# ---- one figure each


def service_latencies_s(raw: RawPika, calls: int, body: bytes = bytes(100)) -> list[float]:
    return [_timed(lambda: raw.call(body)) for _ in range(calls)]


def task_latencies_s(raw: RawPika, tasks: int, body: bytes = bytes(100)) -> list[float]:
    return [_timed(lambda: raw.run_task(body)) for _ in range(tasks)]


def calls_per_second(raw: RawPika, callers: int = 16, calls: int = 500, body: bytes = bytes(100)) -> float:
    """Of ``callers`` threads that call ``calls`` times each, one after the other."""

    def call_all() -> None:
        for _ in range(calls):
            raw.call(body)

    threads = [threading.Thread(target=call_all) for _ in range(callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return callers * calls / (time.perf_counter() - start)


def event_deliveries_per_second(raw: RawPika, events: int, body: bytes = bytes(100)) -> float:
    """Over all receivers of ``raw``."""
    return events * len(raw.targets) / raw.emit(events, body)


def payload_s(raw: RawPika, payload: bytes | bytearray | memoryview) -> float:
    """One way to one receiver."""
    return raw.transfer(memoryview(payload), raw.targets[:1])


def broadcast_s(
    raw: RawPika, payload: bytes | bytearray | memoryview, *, per_process: bool = False
) -> tuple[float, int]:
    """Seconds until each receiver has it, and bytes that left this process. ``per_process``: copied there."""
    before = raw.bytes_sent()
    seconds = raw.transfer(memoryview(payload), raw.shared_targets if per_process else raw.targets)
    return seconds, raw.bytes_sent() - before


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def measure(url: str, quick: bool) -> dict[str, float]:
    """All figures, in microseconds, milliseconds, megabytes and per second, as their names say."""
    factor = 1 if quick else 5
    figures: dict[str, float] = {}
    payload = bytearray(b"\1") * 100_000_000
    with RawPika(url) as raw:
        # first, while no process holds memory that it could use again
        raw.reset_peaks()
        payload_s(raw, payload)
        sender, receiver = raw.peaks_bytes()
        figures["100 MB sender peak MB, beyond the payload"] = sender / 1e6
        figures["100 MB receiver peak MB"] = receiver / 1e6
        service_latencies_s(raw, 200)
        calls = service_latencies_s(raw, 400 * factor)
        figures["service p50 us"], figures["service p99 us"] = (percentile(calls, p) * 1e6 for p in (50, 99))
        figures["calls/s, 16 callers"] = calls_per_second(raw, calls=100 * factor)
        tasks = task_latencies_s(raw, 200 * factor)
        figures["task p50 us"], figures["task p99 us"] = (percentile(tasks, p) * 1e6 for p in (50, 99))
        for megabytes in (1, 25, 100):
            payload = bytearray(b"\1") * (megabytes * 1_000_000)
            payload_s(raw, payload)
            figures[f"{megabytes} MB one way ms"] = statistics.median(
                payload_s(raw, payload) * 1e3 for _ in range(3 if quick else 7)
            )
    with RawPika(url, processes=2, receivers=4) as raw:
        event_deliveries_per_second(raw, 1_000)
        figures["event deliveries/s, 8 subscribers"] = event_deliveries_per_second(raw, 4_000 * factor)
    payload = bytearray(b"\1") * 25_000_000
    for receivers in (8, 16):
        with RawPika(url, processes=2, receivers=receivers // 2) as raw:
            for per_process in (False, True):
                label = f"25 MB to {receivers}{', a copy per process' if per_process else ''}"
                broadcast_s(raw, payload, per_process=per_process)
                runs = [broadcast_s(raw, payload, per_process=per_process) for _ in range(3 if quick else 7)]
                figures[f"{label}, ms"] = statistics.median(seconds for seconds, _ in runs) * 1e3
                figures[f"{label}, sent MB"] = max(sent for _, sent in runs) / 1e6
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--broker", help="amqp://user:password@host/vhost; a private node if not given")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = options.broker
        if url is None:
            sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
            from tests.broker.fixtures import open_broker

            broker = open_broker()
            stack.callback(broker.stop)
            url = broker.url()
        figures = measure(url, options.quick)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:42} {figure:12,.1f}")


if __name__ == "__main__":
    main()
