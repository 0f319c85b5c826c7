"""Two things that pika does slowly, changed in the one place that touches its private parts.

Both were measured (``benchmarks/raw_pika.py``), and ``tests/messaging/rabbitmq/test_tuning.py`` fails when
pika changes what they rely on. Without them everything works, slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import pika
from pika.adapters.utils import io_services_utils

__all__ = ["MERGED_BYTES", "READ_BYTES", "MergingConnection", "tune_reads"]

#: At a time from the socket. With pika's own 4 KiB, a frame of 128 KiB is put together from 32 pieces, each
#: of which copies what came before it.
READ_BYTES = 256 * 1024
#: Up to this size, frames that leave in one turn of the loop are merged.
MERGED_BYTES = 32 * 1024


def tune_reads() -> bool:
    """Read more at a time, in this whole process. ``False``: pika does not have that knob any more."""
    transport = getattr(io_services_utils, "_AsyncTransportBase", None)
    if transport is None or not hasattr(transport, "_MAX_RECV_BYTES"):
        return False
    transport._MAX_RECV_BYTES = READ_BYTES
    transport._MAX_CONSUME_BYTES = 4 * READ_BYTES
    return True


class MergingConnection(pika.SelectConnection):  # type: ignore[misc]  # pika ships no types
    """Sends the small frames of one turn of the loop at once; a message alone is three, each a system call.

    Large ones stay apart: what a partial send leaves over is copied.
    """

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        size = sum(map(len, marshaled_frames))
        waiting = getattr(self._transport, "_tx_buffers", None)
        if size > MERGED_BYTES or waiting is None:
            super()._output_marshaled_frames(marshaled_frames)
            return
        data = b"".join(marshaled_frames)
        self.bytes_sent += size
        self.frames_sent += len(marshaled_frames)
        if waiting and len(waiting[-1]) + size <= MERGED_BYTES:
            waiting[-1] += data
            self._transport._tx_buffered_byte_count += size
        else:
            self._adapter_emit_data(data)
