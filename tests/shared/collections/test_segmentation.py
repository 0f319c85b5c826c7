from __future__ import annotations

import pytest

from roleml.shared.collections.segmentation import SegmentedList


@pytest.fixture
def letters() -> SegmentedList[str]:
    result: SegmentedList[str] = SegmentedList(3)
    result.get_segment(0).extend("ab")
    result[1].append("c")
    result[2].extend("de")
    return result


def test_segments_are_the_lists_themselves(letters: SegmentedList[str]) -> None:
    assert letters.segments == (["a", "b"], ["c"], ["d", "e"])
    assert letters.get_segment(1) is letters[1] is letters.segments[1]


def test_iterating_chains_all_segments(letters: SegmentedList[str]) -> None:
    assert list(letters.iter()) == list("abcde")


def test_iterating_takes_segments_from_start_to_before_end(letters: SegmentedList[str]) -> None:
    assert list(letters.iter(1)) == list("cde")
    assert list(letters.iter(end=1)) == list("ab")
    assert list(letters.iter(1, 2)) == ["c"]


def test_a_range_fills_in_what_start_and_end_leave_open(letters: SegmentedList[str]) -> None:
    assert list(letters.iter(range=(1, 3))) == list("cde")
    assert list(letters.iter(2, range=(1, 3))) == list("de")
    assert list(letters.iter(end=2, range=(1, 3))) == ["c"]


def test_an_unknown_segment_is_an_index_error(letters: SegmentedList[str]) -> None:
    with pytest.raises(IndexError):
        letters.get_segment(3)


def test_a_list_without_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one segment"):
        SegmentedList(0)
