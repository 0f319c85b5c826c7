"""What the tuning relies on in pika. When one of these fails, look at pika's new way first."""

from __future__ import annotations

import inspect

import pika
from pika.adapters.utils import io_services_utils
from pika.connection import Connection

from roleml.messaging.rabbitmq.tuning import READ_BYTES, MergingConnection, tune_reads


def test_pika_reads_its_socket_through_the_knob_that_is_tuned() -> None:
    assert tune_reads()
    transport = io_services_utils._AsyncTransportBase
    assert "_MAX_RECV_BYTES" in inspect.getsource(transport._consume)
    assert "_MAX_CONSUME_BYTES" in inspect.getsource(transport._consume)
    assert transport._MAX_RECV_BYTES == READ_BYTES


def test_pika_sends_every_frame_through_the_method_that_merges_them() -> None:
    assert "_output_marshaled_frames" in vars(Connection)
    assert "_output_marshaled_frames" in inspect.getsource(Connection._send_message)
    assert "_adapter_emit_data" in inspect.getsource(Connection._output_marshaled_frames)
    assert "_tx_buffered_byte_count" in inspect.getsource(io_services_utils._AsyncTransportBase)
    assert issubclass(MergingConnection, pika.SelectConnection)
