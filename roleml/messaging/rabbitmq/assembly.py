"""The memory of a payload whose pieces come one after the other."""

from __future__ import annotations

import mmap
from typing import Any

__all__ = ["Assembly"]

#: From this size on, memory is asked from the system in huge pages: to touch it takes a quarter of the time.
HUGE_BYTES = 4 << 20


class Assembly:
    """Grows with its pieces, or takes its memory at once if it is told how many bytes will come.

    ``total`` is a stranger's word: what is no size is ignored, what is too small is exceeded, and what is too
    large costs addresses, no memory.
    """

    __slots__ = ("_filled", "_memory", "total")

    def __init__(self, total: Any = None) -> None:
        self._memory: bytearray | mmap.mmap = bytearray()
        self._filled = 0
        self.total = total if isinstance(total, int) else None
        if isinstance(total, int) and total >= HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                pages = mmap.mmap(-1, total, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            except (OSError, OverflowError, ValueError):
                return
            pages.madvise(mmap.MADV_HUGEPAGE)
            self._memory = pages

    def __len__(self) -> int:
        return self._filled

    def append(self, piece: bytes) -> None:
        end = self._filled + len(piece)
        if isinstance(self._memory, bytearray):
            self._memory += piece
        elif end <= len(self._memory):
            self._memory[self._filled : end] = piece
        else:
            self._memory = bytearray(memoryview(self._memory)[: self._filled])
            self._memory += piece
        self._filled = end

    def frame(self) -> memoryview:
        """What has come so far. Nothing may come after that."""
        return memoryview(self._memory)[: self._filled]
