"""What the tuning relies on in pika. When one of these fails, look at pika's new way first."""

from __future__ import annotations

import inspect
from typing import Any

import pika
import pytest
from pika import SelectConnection, spec
from pika.adapters.base_connection import BaseConnection
from pika.adapters.utils import io_services_utils
from pika.connection import Connection
from pika.exceptions import InvalidFrameError
from pika.frame import Body, Header, Heartbeat, Method

from roleml.messaging.rabbitmq.tuning import TunedConnection


def test_pika_reads_its_socket_through_the_knobs_that_are_tuned() -> None:
    consume = inspect.getsource(io_services_utils._AsyncTransportBase._consume)
    assert "self._MAX_RECV_BYTES" in consume
    assert "self._MAX_CONSUME_BYTES" in consume
    assert "_proto_connection_made" in vars(BaseConnection)


def test_pika_sends_every_frame_through_the_method_that_merges_them() -> None:
    assert "_output_marshaled_frames" in vars(Connection)
    assert "_output_marshaled_frames" in inspect.getsource(Connection._send_message)
    assert "_adapter_emit_data" in inspect.getsource(Connection._output_marshaled_frames)
    assert issubclass(TunedConnection, pika.SelectConnection)


def test_pika_counts_what_a_transport_has_not_sent_yet_until_it_has() -> None:
    plain = io_services_utils._AsyncPlaintextTransport
    assert issubclass(plain, io_services_utils._AsyncTransportBase)
    produce = inspect.getsource(plain._produce)
    assert produce.index("_sigint_safe_send(") < produce.index("_tx_buffered_byte_count -=")
    assert "_STATE_ACTIVE" in inspect.getsource(plain.write)


def test_pika_hands_on_what_it_reads_where_it_is_taken_over() -> None:
    assert "_on_data_available" in inspect.getsource(SelectConnection._proto_data_received)
    assert "_frame_buffer" in inspect.getsource(Connection._on_data_available)
    assert "bytes_received" in inspect.getsource(Connection._trim_frame_buffer)
    steps = inspect.getsource(Connection._process_frame)
    assert "frames_received" in steps
    assert "_deliver_frame_to_channel" in steps


class Recorder(TunedConnection):
    """Takes frames without a connection."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.bytes_received = self.frames_received = 0
        self._frame_buffer = b""
        self._on_confirm, self._recent = {}, {}

    def begin_turn(self) -> None: ...

    def end_turn(self) -> None: ...

    def _process_frame(self, frame: Any) -> None:
        self.taken.append(("other", frame.channel_number))

    def _deliver_frame_to_channel(self, frame: Any) -> None:
        self.taken.append((frame.NAME, frame.channel_number))


def _frames() -> bytes:
    deliver = spec.Basic.Deliver("tag", 1, exchange="e", routing_key="k")
    properties = spec.BasicProperties(headers={"kind": "service"})
    frames = [Method(3, deliver), Header(3, 5, properties), Body(3, b"12345"), Heartbeat()]
    frames += [Method(2, spec.Basic.Ack(1)), Method(1, spec.Channel.OpenOk())]
    return b"".join(each.marshal() for each in frames)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 30, 1000])
def test_frames_are_taken_however_the_bytes_come(size: int) -> None:
    recorder, data = Recorder(), _frames()
    confirms: list[Any] = []
    recorder.confirmed_by(Body(2, b""), confirms.append)  # whatever has that number
    for start in range(0, len(data), size):
        recorder._on_data_available(data[start : start + size])
    content = [("METHOD", 3), ("Header", 3), ("Body", 3)]
    assert recorder.taken == [*content, ("other", 0), ("other", 1)]
    assert [frame.channel_number for frame in confirms] == [2]
    assert recorder.bytes_received == len(data)  # the heartbeat goes by it


@pytest.mark.parametrize("size", [40_000, 100_000, 100_009, 131_073, 1_000_000])
def test_large_frames_are_taken_however_the_bytes_come(size: int) -> None:
    recorder, fragments = Recorder(), [bytes([number]) * 100_001 for number in range(5)]
    taken: list[bytes] = []
    recorder._deliver_frame_to_channel = lambda frame: taken.append(frame.fragment)  # type: ignore[method-assign]
    data = b"".join(Body(3, fragment).marshal() for fragment in fragments)
    for start in range(0, len(data), size):
        recorder._on_data_available(data[start : start + size])
    assert taken == fragments
    assert recorder._frame_buffer == b""


def test_bytes_that_are_no_frame_end_the_connection() -> None:
    data = bytearray(Body(3, b"12345").marshal())
    data[-1] = 0
    with pytest.raises(InvalidFrameError):
        Recorder()._on_data_available(bytes(data))
