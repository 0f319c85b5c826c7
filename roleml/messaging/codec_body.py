"""An encoded value, and the frame in which it crosses a wire.

frame:  magic  version  buffer count  header size  buffer size * count  header  buffers
        4      u16      u32           u64          u64 each
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from roleml.messaging.exceptions import DecodeError

__all__ = ["Body"]

_MAGIC = b"RMLb"
_VERSION = 1
_PREFIX = struct.Struct("<4sHIQ")
_HUGE_BYTES = 32 * 1024 * 1024  # where glibc stops to keep freed memory


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """What an encoded value consists of: a small header, and the raw memory of its arrays.

    Straight from `Codec.encode` the buffers are views of the sender's own memory: nothing was copied, and
    what the sender writes to its arrays shows here, until `snapshot`.

    `pickled` says, of a body straight from `Codec.encode`, that reading it runs code.
    """

    header: bytes
    buffers: tuple[memoryview, ...] = ()
    pickled: bool = False

    @property
    def nbytes(self) -> int:
        """Size of header and buffers, without framing."""
        return len(self.header) + sum(buffer.nbytes for buffer in self.buffers)

    def snapshot(self) -> Body:
        """The same body in memory of its own: each buffer is copied once, unless it can never change."""
        if not self.buffers:
            return self
        return Body(self.header, tuple(_frozen(buffer) for buffer in self.buffers), self.pickled)

    def parts(self) -> Iterator[bytes | memoryview]:
        """The pieces of the frame in order, buffers uncopied, for a socket that gathers."""
        sizes = [buffer.nbytes for buffer in self.buffers]
        prefix = _PREFIX.pack(_MAGIC, _VERSION, len(sizes), len(self.header))
        yield prefix + struct.pack(f"<{len(sizes)}Q", *sizes)
        yield self.header
        yield from self.buffers

    def to_frame(self) -> bytes:
        """The frame in one piece; copies everything once."""
        return b"".join(self.parts())

    @classmethod
    def from_frame(cls, frame: bytes | bytearray | memoryview) -> Body:
        """Read a frame; the buffers are views of it, so it must stay unchanged while the body is used.

        Raises DecodeError when this is not one whole frame of a known version.
        """
        view = memoryview(frame)
        if view.format != "B" or view.ndim != 1 or not view.c_contiguous:
            raise DecodeError(f"a frame is flat bytes, not a memoryview of format {view.format!r}")
        if view.nbytes < _PREFIX.size:
            raise DecodeError(f"a frame of {view.nbytes} bytes is shorter than its own prefix")
        magic, version, count, header_size = _PREFIX.unpack_from(view)
        if magic != _MAGIC:
            raise DecodeError(f"this is not a RoleML frame: it starts with {magic!r} instead of {_MAGIC!r}")
        if version != _VERSION:
            raise DecodeError(f"the frame has version {version}, this RoleML reads version {_VERSION}")
        start = _PREFIX.size + 8 * count
        if not count and view.nbytes == start + header_size:  # most messages
            return cls(bytes(view[start:]))
        if view.nbytes < start:
            raise DecodeError(f"a frame of {view.nbytes} bytes cannot list {count} buffers")
        sizes = struct.unpack_from(f"<{count}Q", view, _PREFIX.size)
        ends = list(accumulate(sizes, initial=start + header_size))
        if ends[-1] != view.nbytes:
            raise DecodeError(f"the frame announces {ends[-1]} bytes but has {view.nbytes}")
        buffers = tuple(view[begin:end] for begin, end in pairwise(ends))
        return cls(bytes(view[start : ends[0]]), buffers)

    def __repr__(self) -> str:
        return f"<Body of {self.nbytes} bytes: header {len(self.header)}, {len(self.buffers)} buffers>"


def _frozen(buffer: memoryview) -> memoryview:
    """A copy that nobody writes to; the buffer itself, if nobody can."""
    if type(buffer.obj) in (bytes, mmap.mmap):  # the sender's arrays are neither, our own copies are
        return buffer
    if buffer.nbytes < _HUGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return memoryview(bytes(buffer))
    # malloc returns such sizes to the system at once, so each copy would fault in its pages 4 KiB at a time:
    # a third of the speed
    pages = mmap.mmap(-1, buffer.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    pages[:] = buffer
    return memoryview(pages).toreadonly()
