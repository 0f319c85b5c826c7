"""What was heard of events that carry their numbers: each once, in order, and which are missing."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Hearing"]


@dataclass
class Hearing:
    """What one subscriber has heard of one channel whose numbers go up by ``step``."""

    step: int = 1
    heard: int = 0
    last: int | None = None
    #: the first and the last number of each gap
    gaps: list[tuple[int, int]] = field(default_factory=list)
    #: what came twice or out of order, which is never right
    wrong: list[str] = field(default_factory=list)

    def hear(self, number: int) -> None:
        self.heard += 1
        if self.last is not None and number <= self.last:
            self.wrong.append(f"{number} came after {self.last}")
            return
        if self.last is not None and number > self.last + self.step:
            self.gaps.append((self.last + self.step, number - self.step))
        self.last = number

    def missed(self) -> int:
        return sum((last - first) // self.step + 1 for first, last in self.gaps)

    def gaps_outside(self, first: int, last: int) -> list[tuple[int, int]]:
        """Those that are not wholly between these numbers."""
        return [gap for gap in self.gaps if not (first <= gap[0] and gap[1] <= last)]

    def forget(self) -> None:
        """Begin to count anew; what comes next still has to follow what came last."""
        self.heard, self.gaps, self.wrong = 0, [], []
