"""Patterns of actor names, and the templates of values."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.library.roles.conductor.helpers import (
    _build_template_value_producer,
    _is_template,
    apply_templates,
    detect_templates,
    match_actors,
)

numbers = st.integers(0, 200)
ranges = st.lists(
    st.tuples(numbers, st.integers(0, 20)).map(lambda p: (p[0], sum(p))), min_size=1, max_size=4
)


def written(pairs: list[tuple[int, int]]) -> str:
    return ", ".join(f"{low}-{high}" if low != high else str(low) for low, high in pairs)


def union(pairs: list[tuple[int, int]]) -> list[int]:
    return sorted({number for low, high in pairs for number in range(low, high + 1)})


@given(ranges, st.sampled_from(["$c[{}]", "$[{}]"]))
def test_c_gives_one_after_the_other_and_begins_again(pairs: list[tuple[int, int]], form: str) -> None:
    produce = _build_template_value_producer(form.format(written(pairs)))
    expected = union(pairs)
    assert [produce() for _ in range(2 * len(expected))] == 2 * expected


@given(ranges, st.sampled_from(["$a[{}]", "@[{}]"]))
def test_a_gives_all_of_them_and_each_actor_a_list_of_its_own(
    pairs: list[tuple[int, int]], form: str
) -> None:
    produce = _build_template_value_producer(form.format(written(pairs)))
    first, second = produce(), produce()
    assert first == second == union(pairs)
    assert first is not second


@given(ranges, st.sampled_from(["$e[{}]", "~[{}]"]))
def test_e_gives_the_first_range_without_the_others(pairs: list[tuple[int, int]], form: str) -> None:
    others = set(union(pairs[1:]))
    expected = [number for number in union(pairs[:1]) if number not in others]
    text = form.format(written(pairs))
    if not expected:
        with pytest.raises(ValueError, match="nothing is left"):
            _build_template_value_producer(text)
        return
    produce = _build_template_value_producer(text)
    assert [produce() for _ in range(2 * len(expected))] == 2 * expected


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("$r[4, 11]", range(4, 12)),
        ("^[4,11]", range(4, 12)),
        ("$r[4, 22, 2]", range(4, 23, 2)),
        ("$r[4, 99, 5, -1]", range(4, 100, 5)),
        ("$r[9, 1, -2]", range(9, 0, -2)),
    ],
)
def test_r_gives_a_random_one(text: str, allowed: range) -> None:
    produce = _build_template_value_producer(text)
    random.seed(1)
    drawn = {produce() for _ in range(600)}
    assert drawn == set(allowed)


def test_r_gives_several_different_ones_and_the_seed_decides_which() -> None:
    produce = _build_template_value_producer("$r[4, 99, 1, 10]")
    random.seed(7)
    first = produce()
    random.seed(7)
    assert produce() == first
    assert len(set(first)) == 10
    assert set(first) <= set(range(4, 100))


@pytest.mark.parametrize(
    "text",
    ["$c[]", "$c[a]", "$c[3-1]", "$c[1,]", "$c[1--3]", "$c[-1]", "$a[ ]", "$e[1-3, 0-5]", "$r[1]",
     "$r[1,2,3,4,5]", "$r[1, 9, 1, 0]", "$r[5, 1]", "$r[1, 3, 1, 4]", "$r[1, 9, 0]", "$r[1, x]"],
)  # fmt: skip
def test_malformed_templates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid template"):
        _build_template_value_producer(text)


@pytest.mark.parametrize(
    "text", ["$c[1]", "$r[1, 2]", "$a[1-3]", "$e[1]", "$[1]", "@[1]", "~[1]", "^[1]", "$c[x]"]
)
def test_templates_are_recognised(text: str) -> None:
    assert _is_template(text)


@pytest.mark.parametrize(
    "value",
    ["#[4-11]", "*[1]", "![1]", "&[1]", "$1", "$x[1]", "x$c[1]", "$c[1]x", "", "c[1]", "$c", 1, None],
)  # fmt: skip
def test_other_texts_are_none(value: Any) -> None:
    assert not _is_template(value)


def test_values_are_found_at_any_depth_and_keys_are_left_alone() -> None:
    item = {"a": "$c[1-3]", "b": {"c": ["x", "$a[1,2]"]}, "$c[1]": "plain", "c": ["y", "z", "$c[5-6]"]}
    found: dict[tuple[Any, ...], Any] = {}
    assert detect_templates(item, found) is found
    assert list(found) == [("a",), ("b", "c", 1), ("c", 2)]
    first, second = apply_templates(item, found), apply_templates(item, found)
    assert first == {"a": 1, "b": {"c": ["x", [1, 2]]}, "$c[1]": "plain", "c": ["y", "z", 5]}
    assert (second["a"], second["c"][2]) == (2, 6)
    assert item["a"] == "$c[1-3]"
    assert first["b"] is not second["b"]


def test_a_template_may_be_the_whole_item() -> None:
    assert apply_templates("$c[7]", detect_templates("$c[7]")) == 7


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("client.*", ["client1", "client2", "client10"]),
        ("client1", ["client1"]),
        ("client", []),
        ("server|client2", ["server", "client2"]),
        ("client(1|10)", ["client1", "client10"]),
        ("", ["server", "client1", "client2", "client10"]),
    ],
)
def test_a_pattern_matches_whole_names(pattern: str, expected: list[str]) -> None:
    assert match_actors(iter(["server", "client1", "client2", "client10"]), pattern) == expected


def test_wrong_patterns_are_refused() -> None:
    with pytest.raises(TypeError, match="not the text 'abc'"):
        match_actors("abc", "a")
    with pytest.raises(ValueError, match=r"'client\(' is no regular expression"):
        match_actors(["client"], "client(")
