"""What pika does slowly, changed in the one place that touches its private parts.

All of it was measured (``benchmarks/broker.py``), and ``tests/messaging/rabbitmq/test_tuning.py`` fails when
pika changes what it relies on.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pika
import pika.frame
import pika.spec

from roleml.messaging.rabbitmq.properties import decode_properties

__all__ = ["MERGED_BYTES", "READ_BYTES", "TunedConnection"]

#: At a time from the socket. With pika's own 4 KiB, a frame of 128 KiB is put together from 32 pieces, each
#: of which copies what came before it.
READ_BYTES = 256 * 1024
#: Up to this size, frames that leave in one turn of the loop are merged.
MERGED_BYTES = 32 * 1024

#: Properties that are kept decoded: what goes to several actors of a process comes once for each.
RECENT = 512

_FRAME = struct.Struct(">BHL")
_BODY_SIZE = struct.Struct(">Q")
_DELIVER = struct.pack(">I", pika.spec.Basic.Deliver.INDEX)
_AROUND_BYTES = 8  # that, and the end mark
_END = pika.spec.FRAME_END
_END_MARK = bytes((_END,))
_CONTENT = (pika.spec.FRAME_HEADER, pika.spec.FRAME_BODY)


class TunedConnection(pika.SelectConnection):  # type: ignore[misc]  # pika ships no types
    """Sends the small frames of a turn at once, takes many from one read, and lends itself to other threads.

    A message alone is three frames, each of which would be a system call, after a turn of the loop that finds
    the socket writable. Large frames stay apart: what a partial send leaves over is copied.

    A turn belongs to one thread: to the connection's own while it handles what has come, or to another one
    that publishes a small message. That saves it waking the connection's thread, half the way of a message.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._io_thread = threading.get_ident()
        self._lock = threading.RLock()
        self._turns = 0
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._on_confirm: dict[int, Callable[[Any], Any]] = {}
        self._recent: dict[bytes, Any] = {}
        super().__init__(*args, **kwargs)

    def _proto_connection_made(self, transport: Any) -> None:
        """Read more at a time. Without these knobs pika reads as it does, more slowly."""
        transport._MAX_RECV_BYTES = READ_BYTES
        # One read for each time that the socket is readable: a second one mostly finds nothing, and raises.
        transport._MAX_CONSUME_BYTES = 1
        super()._proto_connection_made(transport)

    # any thread

    def begin_turn(self) -> None:
        """Have the connection to oneself, and keep small frames until the turn ends, or is large."""
        self._lock.acquire()
        self._turns += 1

    def try_turn(self) -> bool:
        """The same if nobody else is in a turn."""
        if not self._lock.acquire(blocking=False):
            return False
        self._turns += 1
        return True

    def end_turn(self) -> None:
        self._turns -= 1
        if self._small_bytes and not self._turns:
            self._send_small()
        self._lock.release()

    # the connection's thread

    def confirmed_by(self, channel: Any, callback: Callable[[Any], Any]) -> None:
        """Give the confirms of a channel to ``callback`` directly, past pika's table of callbacks."""
        self._on_confirm[channel.channel_number] = callback

    # sending: in a turn of any thread, if what is sent is small; what pika sends itself, in its thread

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        size = sum(map(len, marshaled_frames))
        with self._lock:
            self.bytes_sent += size
            self.frames_sent += len(marshaled_frames)
            if size <= MERGED_BYTES:
                self._small += marshaled_frames
                self._small_bytes += size
                if self._turns and self._small_bytes <= MERGED_BYTES:
                    return
                marshaled_frames = ()
            if self._small_bytes:
                self._send_small()
            for each in marshaled_frames:
                self._adapter_emit_data(each)

    def _send_message(self, channel_number: int, method_frame: Any, content: tuple[Any, bytes]) -> None:
        """A large body is copied once, into its frames."""
        properties, body = content
        if len(body) <= MERGED_BYTES:
            super()._send_message(channel_number, method_frame, content)
            return
        frames = [
            pika.frame.Method(channel_number, method_frame).marshal(),
            pika.frame.Header(channel_number, len(body), properties).marshal(),
        ]
        view, most = memoryview(body), self._body_max_length
        for start in range(0, len(body), most):
            piece = view[start : start + most]
            head = _FRAME.pack(pika.spec.FRAME_BODY, channel_number, len(piece))
            frames.append(b"".join((head, piece, _END_MARK)))
        self._output_marshaled_frames(frames)

    def _send_small(self) -> None:
        """To the socket at once if nothing waits for it; the transport sends the rest, and sees errors."""
        data, self._small, self._small_bytes = b"".join(self._small), [], 0
        transport = self._transport
        plain = type(transport).__name__ == "_AsyncPlaintextTransport"  # TLS has more to say about sending
        if plain and transport._state == transport._STATE_ACTIVE and not transport._tx_buffered_byte_count:
            with contextlib.suppress(OSError):
                data = data[transport._sock.send(data) :]
        if not data:
            return
        if threading.get_ident() == self._io_thread:
            self._adapter_emit_data(data)
        else:
            self._small, self._small_bytes = [data], len(data)
            self.ioloop.add_callback_threadsafe(self._send_rest)

    def _send_rest(self) -> None:
        self.begin_turn()
        self.end_turn()

    # receiving

    def _on_data_available(self, data_in: bytes) -> None:
        """As pika does it, without moving what is left after each frame."""
        self.bytes_received += len(data_in)  # the heartbeat goes by it
        self.begin_turn()
        try:
            rest, start = self._frame_buffer, 0
            if rest and len(data_in) <= MERGED_BYTES:
                rest, data_in = b"", rest + data_in
            if rest:  # complete the frame that it begins, rather than move all that has come
                start = _missing_bytes(rest, data_in)
                self._take_frames(rest + data_in[:start])
            if start <= len(data_in):
                self._take_frames(data_in, start)
        finally:
            self.end_turn()

    def _take_frames(self, data: bytes, start: int = 0) -> None:
        size = len(data)
        if data.startswith(b"AMQP", start):  # a broker that speaks another version
            self._frame_buffer = b""
            super()._on_data_available(data)
            return
        while size - start >= _AROUND_BYTES:
            kind, number, length = _FRAME.unpack_from(data, start)
            end = start + length + _AROUND_BYTES
            if end > size:
                break
            if data[end - 1] != _END:
                raise pika.exceptions.InvalidFrameError("Invalid FRAME_END marker")
            frame = self._frame_of(kind, number, data, start + _AROUND_BYTES - 1, end)
            start = end
            self._take_frame(kind, number, frame)
        self._frame_buffer = data[start:] if start else data

    def _frame_of(self, kind: int, number: int, data: bytes, start: int, end: int) -> Any:
        if kind == pika.spec.FRAME_BODY:
            return pika.frame.Body(number, data[start : end - 1])
        if kind == pika.spec.FRAME_HEADER:
            encoded = data[start + 12 : end - 1]
            properties = self._recent.get(encoded)
            if properties is None:
                if len(self._recent) >= RECENT:
                    self._recent.clear()
                properties = self._recent[encoded] = decode_properties(encoded)
            return pika.frame.Header(number, _BODY_SIZE.unpack_from(data, start + 4)[0], properties)
        if data.startswith(_DELIVER, start):
            return pika.frame.Method(number, pika.spec.Basic.Deliver().decode(data, start + 4))
        return pika.frame.decode_frame(data[start - _AROUND_BYTES + 1 : end])[1]

    def _take_frame(self, kind: int, number: int, frame: Any) -> None:
        if kind not in _CONTENT:
            method = type(getattr(frame, "method", None))
            if method is pika.spec.Basic.Ack and number in self._on_confirm:
                self.frames_received += 1
                self._on_confirm[number](frame)
                return
            if method is not pika.spec.Basic.Deliver:
                self._process_frame(frame)
                return
        # Nobody registers for these, and to find that out takes longer than to deliver them.
        self.frames_received += 1
        self._deliver_frame_to_channel(frame)


def _missing_bytes(rest: bytes, data: bytes) -> int:
    """Of the frame that ``rest`` begins."""
    head = (rest + data[:_AROUND_BYTES])[:_AROUND_BYTES]
    return int(_FRAME.unpack_from(head)[2]) + _AROUND_BYTES - len(rest)
