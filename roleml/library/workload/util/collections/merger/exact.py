"""Sums of arrays that come out the same in whichever order the terms arrive.

Floating-point addition is not associative: the average of five models depends, in its last bits, on which
client finished first, and after a few rounds of training the difference is visible. Sorting the models
first would need all of them in memory. Here every sum is kept as an unevaluated pair of float64 arrays,
`high + low`, where `low` collects the rounding error of each addition, which is itself a float64 (TwoSum:
Knuth, The Art of Computer Programming, vol. 2, section 4.2.2; the accumulation is that of Ogita, Rump and
Oishi, "Accurate Sum and Dot Product", SIAM J. Sci. Comput. 26(6), 2005).

The pair has 106 bits. It holds the sum of up to a thousand terms of one element exactly, and so
independently of their order, while their magnitudes differ by a factor of less than 2**50 for float32 terms
(weighted with whole numbers) and 2**30 for float64 terms. Beyond that the error is about 2**-106 of the
largest term: a different order changes the rounded result only if the sum lies that close to the middle
between two floats.

Memory: 16 bytes per element, however many terms are added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ArraySum"]

# Elements handled at a time, so that the temporaries of TwoSum stay in the processor's cache.
BLOCK = 1 << 14


class ArraySum:
    """A running sum of arrays of one shape. The terms are only read, never kept."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        size = int(np.prod(shape, dtype=np.int64))
        self._high = np.zeros(size)
        self._low = np.zeros(size)

    def add(self, term: npt.NDArray[Any], weight: float = 1.0) -> None:
        """Add `weight * term`; the product is rounded to float64 first (it is exact for float32 terms and
        whole weights below 2**29).
        """
        flat = np.reshape(term, -1)
        # infinities and NaN of a model that has diverged pass through; `value` sorts them out
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, len(flat), BLOCK):
                part = slice(start, start + BLOCK)
                high, low = self._high[part], self._low[part]
                value = flat[part].astype(np.float64)
                if weight != 1.0:
                    value *= weight
                total = high + value
                moved = total - high
                low += (high - (total - moved)) + (value - moved)
                high[:] = total

    def value(self, divisor: float = 1.0) -> npt.NDArray[np.float64]:
        """The sum divided by `divisor`, as a new array."""
        with np.errstate(invalid="ignore", over="ignore"):
            total = self._high + self._low
            # where the sum is infinite, the recorded error is NaN and means nothing
            if not np.isfinite(total).all():
                total = np.where(np.isfinite(self._high), total, self._high)
            if divisor != 1.0:
                total /= divisor
        return total.reshape(self.shape)
