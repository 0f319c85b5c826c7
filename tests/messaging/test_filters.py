from __future__ import annotations

import decimal
import enum
import fractions
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.core.actor.conditions import OPERATORS, Condition, check_conditions
from roleml.messaging.filters import MAX_STAMP_BYTES, OPAQUE, filter_of, passes, stamp, stamps_of


class Color(str, enum.Enum):
    RED = "red"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([0, 1, 1.0, True, -0.0, 2**63, float(2**63), "red", Color.RED, "x" * 300]),
    st.sampled_from(
        [np.float64(1), np.int64(1), np.bool_(True), decimal.Decimal(1), fractions.Fraction(1, 2)]
    ),
    st.lists(st.integers(), max_size=2),
)


@given(st.dictionaries(st.sampled_from("abc"), SCALARS), st.dictionaries(st.sampled_from("abc"), SCALARS))
def test_a_filter_never_holds_back_what_python_finds_equal(
    args: dict[str, Any], wanted: dict[str, Any]
) -> None:
    if all(Condition(name, "eq", value).holds(args) for name, value in wanted.items()):
        assert passes(stamps_of(args), [filter_of(wanted.items())])


STAMPED = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(-1e18, 1e18),
    st.text(max_size=3),
    st.sampled_from([0, 1, 1.0, True, -0.0, "n:1", "z:", "", math.nan]),
)


@given(st.dictionaries(st.sampled_from("abc"), STAMPED), st.dictionaries(st.sampled_from("abc"), STAMPED))
def test_among_short_scalars_a_filter_lets_through_just_what_python_finds_equal(
    args: dict[str, Any], wanted: dict[str, Any]
) -> None:
    judged = {name: value for name, value in wanted.items() if value == value}  # nothing equals NaN
    conditions = [Condition(name, "eq", value) for name, value in judged.items()]
    assert passes(stamps_of(args), [filter_of(judged.items())]) == check_conditions(args, conditions)


@given(
    st.dictionaries(st.sampled_from("abc"), SCALARS),
    st.lists(
        st.builds(Condition, st.sampled_from("abcd"), st.sampled_from(sorted(OPERATORS)), SCALARS), max_size=4
    ),
)
def test_conditions_of_any_operators_that_hold_pass_the_filter_of_their_equalities(
    args: dict[str, Any], conditions: list[Condition]
) -> None:
    """As a subscription asks for them, see `Inlet.filters`."""
    if check_conditions(args, conditions):
        equalities = filter_of((each.name, each.value) for each in conditions if each.is_equality)
        assert passes(stamps_of(args), [equalities])


@given(SCALARS, SCALARS)
def test_equal_values_with_stamps_have_the_same_stamp_and_others_different_ones(a: Any, b: Any) -> None:
    first, second = stamp(a), stamp(b)
    if first is not None and second is not None:
        assert (first == second) == bool(a == b)


def test_a_filter_holds_back_what_differs() -> None:
    wanted = [filter_of([("phase", "train"), ("round", 3)])]
    assert passes(stamps_of({"phase": "train", "round": 3.0, "loss": 0.1}), wanted)
    assert not passes(stamps_of({"phase": "train", "round": 4}), wanted)
    assert not passes(stamps_of({"phase": "train"}), wanted)


def test_an_event_passes_if_it_passes_any_filter() -> None:
    filters = [filter_of([("a", 1)]), filter_of([("b", 2)])]
    assert passes(stamps_of({"a": 0, "b": 2}), filters)
    assert not passes(stamps_of({"a": 0, "b": 0}), filters)
    assert not passes({}, [])


@pytest.mark.parametrize("value", [[1], np.float32(1), "x" * (MAX_STAMP_BYTES + 1), 2**70, object()])
def test_a_value_without_a_stamp_makes_its_event_pass_everywhere(value: object) -> None:
    assert stamps_of({"a": value}) == {OPAQUE: "1"}
    assert passes(stamps_of({"a": value}), [filter_of([("b", 1)])])


def test_nan_equals_nothing_and_needs_no_stamp() -> None:
    assert stamps_of({"a": math.nan}) == {}
    assert filter_of([("a", math.nan)]) == frozenset()
