from __future__ import annotations

import operator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.core.actor.conditions import OPERATORS, check_conditions, parse_condition, parse_conditions
from roleml.core.role.channels import attribute

NUMBERS = st.integers(-3, 3)
NAMES = st.sampled_from(["a", "b", "c", "a_b"])
COMPARISONS: dict[str, Any] = {
    "": operator.eq,
    "eq": operator.eq,
    "==": operator.eq,
    "gt": operator.gt,
    ">": operator.gt,
    "ge": operator.ge,
    ">=": operator.ge,
    "lt": operator.lt,
    "<": operator.lt,
    "le": operator.le,
    "<=": operator.le,
}


def holds(args: Any, conditions: Any) -> bool:
    return check_conditions(args, parse_conditions(conditions))


@given(st.dictionaries(NAMES, NUMBERS), NAMES, st.sampled_from(sorted(COMPARISONS)), NUMBERS)
def test_a_comparison_is_made_between_the_message_and_the_condition(
    args: dict[str, int], name: str, op: str, value: int
) -> None:
    expected = name in args and COMPARISONS[op](args[name], value)
    assert holds(args, {f"{name}__{op}": value}) is expected


@given(st.dictionaries(NAMES, NUMBERS), st.dictionaries(NAMES, NUMBERS))
def test_a_name_alone_means_equality_and_all_must_hold(
    args: dict[str, int], conditions: dict[str, int]
) -> None:
    assert holds(args, conditions) is all(args.get(name) == value for name, value in conditions.items())


@given(
    st.dictionaries(NAMES, NUMBERS),
    st.dictionaries(st.tuples(NAMES, st.sampled_from(sorted(COMPARISONS))), NUMBERS),
)
def test_conditions_are_a_conjunction(args: dict[str, int], spec: dict[tuple[str, str], int]) -> None:
    conditions = {f"{name}__{op}": value for (name, op), value in spec.items()}
    assert holds(args, conditions) is all(holds(args, {key: value}) for key, value in conditions.items())


def test_every_documented_operator_is_there() -> None:
    assert set(OPERATORS) == {*COMPARISONS, "contains"}


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [([1, 2], 1, True), ([1, 2], 3, False), ("abc", "bc", True), ({"k": 0}, "k", True), (5, 5, False)],
)
def test_contains_looks_into_the_message(value: Any, wanted: Any, expected: bool) -> None:
    assert holds({"x": value}, {"x__contains": wanted}) is expected


def test_the_documented_example() -> None:
    messages = [{"a": 1, "b": 2, "c": "4"}, {"a": 2, "b": 4, "c": "8"}, {"a": 4, "b": 8, "c": "16"}]

    def matches(conditions: dict[str, Any]) -> list[int]:
        return [n for n, args in enumerate(messages) if holds(args, conditions)]

    assert matches({"a__gt": 1}) == [1, 2]
    assert matches({"a__gt": 1, "c": "16"}) == [2]
    assert matches({"d": 32}) == []


@pytest.mark.parametrize("args", [{"a": "text"}, {"a": None}, {"a": [1]}, {"a": {}}, {"b": 5}, {}])
def test_what_cannot_be_compared_or_is_missing_does_not_match(args: Any) -> None:
    assert not holds(args, {"a__gt": 1})


def test_a_value_without_a_single_truth_does_not_match() -> None:
    import numpy as np

    assert not holds({"a": np.array([1, 2])}, {"a": 1})
    assert not holds({"a": np.array([1, 2])}, {"a__gt": 0})
    assert holds({"a": np.float32(2)}, {"a__gt": 1})


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ([("a", 1)], r"conditions map names to values, such as \{'loss__lt': 0.5\}; these are \["),
        ({1: 2}, r"name or name__operator, not 1"),
        ({"a": attribute("limit")}, r"'a'.* @EventHandler; here, give the value itself: self\.limit"),
    ],
)
def test_conditions_of_another_form_are_told_apart(conditions: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        parse_conditions(conditions)


@pytest.mark.parametrize("op", ["eq", "lt", "contains"])
def test_a_tensor_or_a_decimal_that_is_no_number_does_not_match(op: str) -> None:
    import torch

    for value in (torch.tensor([1, 2]), Decimal("sNaN"), Decimal("NaN")):
        assert not holds({"a": value}, {f"a__{op}": 3})


@pytest.mark.parametrize(("key", "name"), [("a__b__gt", "a"), ("a__b__nonsense", "a"), ("__a__gt", "")])
def test_a_key_of_more_than_two_parts_tests_the_first_for_equality(key: str, name: str) -> None:
    condition = parse_condition(key, 1)
    assert (condition.name, condition.operator) == (name, "eq")
    assert condition.holds({name: 1})
    assert not condition.holds({name: 2})


def test_a_single_underscore_belongs_to_the_name() -> None:
    assert holds({"round_number": 3}, {"round_number": 3, "round_number__gt": 2})


def test_an_unknown_operator_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"unknown operator 'gtt' in the condition 'a__gtt'.*did you mean 'gt'"
    ):
        parse_condition("a__gtt", 1)
    with pytest.raises(ValueError, match=r"operators: eq, ==, gt"):
        parse_conditions({"fine": 1, "a__foo": 1})


def test_no_conditions_always_hold() -> None:
    for nothing in (None, {}):
        assert holds({}, nothing)
        assert holds({"a": 1}, nothing)


def test_parsing_the_same_mapping_twice_gives_the_same_object() -> None:
    conditions = {"a__gt": 1, "b": 2}
    assert parse_conditions(conditions) is parse_conditions(conditions)


def test_a_mapping_changed_since_is_parsed_anew() -> None:
    conditions = {"a": 1}
    first = parse_conditions(conditions)
    conditions["a"] = 2
    assert parse_conditions(conditions) is not first
    assert holds({"a": 2}, conditions)


def test_a_new_mapping_at_a_reused_address_is_not_taken_for_the_old_one() -> None:
    for n in range(2000):
        assert holds({"a": n}, {"a": n})
        assert not holds({"a": n}, {"a": n + 1})


def test_the_documented_path_of_the_helpers() -> None:
    from roleml.core.actor.manager import helpers  # type: ignore[import-not-found]

    assert helpers.parse_conditions is parse_conditions
    assert helpers.check_conditions is check_conditions
    assert helpers.parse_condition is parse_condition
