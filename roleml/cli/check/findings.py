"""What a check finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from roleml.core.builders.errors import ConfigError, Problem, Problems

__all__ = ["Code", "Findings", "problems_of"]


class Code(Enum):
    """What only `roleml check` sees, beside what building would raise. The values never change."""

    PROFILES = "RML-C004"
    ELEMENT = "RML-C101"
    NAME = "RML-C102"
    FORM = "RML-C103"
    MEMBER = "RML-C104"
    LINK = "RML-C105"
    NOBODY_HEARD = "RML-C106"
    EVENT = "RML-C107"
    CONDITIONS = "RML-C108"
    UNREACHABLE = "RML-C109"
    PATTERN = "RML-C110"
    NO_EFFECT = "RML-C111"


@dataclass
class Findings:
    """What was found: errors keep it from working, warnings are probably not what was meant."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def sorted(self) -> list[tuple[str, Problem]]:
        """All, by their place."""
        both = [("error", each) for each in self.errors] + [("warning", each) for each in self.warnings]
        once = {(each.mark, each.text): (severity, each) for severity, each in both}
        return sorted(once.values(), key=lambda item: item[1].mark or ("", 0, 0))


def problems_of(problems: Problems) -> Sequence[Problem]:
    try:
        problems.raise_if_any()
    except ConfigError as e:
        return e.problems
    return ()
