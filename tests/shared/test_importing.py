from __future__ import annotations

import re
import sys
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytest

from roleml.shared.importing import as_class, as_definition, as_function, load, load_definition


class Plain:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs


class Special(Plain):
    pass


class Adder:
    def __init__(self, amount: int = 1) -> None:
        self.amount = amount

    def __call__(self, value: int) -> int:
        return value + self.amount


def make_plain(**kwargs: Any) -> Plain:
    return Plain(**kwargs)


HERE = __name__


def test_a_dotted_name_gives_the_attribute_of_a_module() -> None:
    assert load_definition("collections.OrderedDict") is OrderedDict
    assert load_definition(f"{HERE}.Plain") is Plain


def test_names_in_main_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "Thing", Plain, raising=False)
    assert load_definition("__main__.Thing") is Plain


@pytest.mark.parametrize("name", ["", "plain", ".plain", "plain.", "a..b"])
def test_a_name_without_module_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="dotted name"):
        load_definition(name)


def test_a_missing_module_is_named_with_the_nearest_one() -> None:
    with pytest.raises(
        ModuleNotFoundError, match=r"no module 'roleml.shared.importin'; did you mean 'importing'\?"
    ) as info:
        load_definition("roleml.shared.importin.load")
    assert info.value.name == "roleml.shared.importin"


def test_a_missing_top_level_package_is_a_module_not_found_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no module 'no_such_package_x'"):
        load_definition("no_such_package_x.sub.Thing")


def test_a_missing_attribute_is_named_with_the_nearest_one() -> None:
    with pytest.raises(
        AttributeError, match=re.escape("no attribute 'OrderdDict'; did you mean 'OrderedDict'?")
    ):
        load_definition("collections.OrderdDict")


def test_a_failing_import_inside_the_module_is_shown_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_with_bad_import.py").write_text("import package_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'package_that_is_not_there'$"):
        load_definition("module_with_bad_import.Thing")


def test_as_functions_pass_objects_and_import_strings() -> None:
    assert as_class(Plain) is Plain
    assert as_class("collections.OrderedDict") is OrderedDict
    assert as_class(typing.Iterable) is typing.Iterable
    assert as_function(make_plain) is make_plain
    assert as_function(f"{HERE}.make_plain") is make_plain
    assert as_definition(3) == 3
    assert as_definition("sys.path") is sys.path


def test_as_class_and_as_function_refuse_other_things() -> None:
    with pytest.raises(TypeError, match=r"'sys.path' .*not a class"):
        as_class("sys.path")
    with pytest.raises(TypeError, match=r"'sys.path' .*not callable"):
        as_function("sys.path")


def test_load_returns_an_instance_as_it_is() -> None:
    plain = Plain()
    assert load(plain, Plain) is plain
    assert load([1], Iterable) == [1]


def test_load_instantiates_a_class() -> None:
    made = load(f"{HERE}.Special", Plain, args=[1], kwargs={"a": 2})
    assert type(made) is Special
    assert (made.args, made.kwargs) == ((1,), {"a": 2})


def test_load_calls_a_factory_function() -> None:
    assert load(make_plain, Plain, kwargs={"a": 2}).kwargs == {"a": 2}


def test_load_refuses_a_class_of_another_kind_without_calling_it() -> None:
    with pytest.raises(TypeError, match=r"not a subclass of .*Special"):
        load(Plain, Special)


def test_load_refuses_a_final_mismatch() -> None:
    with pytest.raises(TypeError, match="not an instance of int"):
        load(make_plain, int)
    with pytest.raises(TypeError, match="not an instance of int"):
        load("sys.path", int)


def test_load_merges_options_and_kwargs_where_kwargs_win() -> None:
    spec = {"type": f"{HERE}.Plain", "options": {"a": 1, "b": 1}}
    made = load(spec, Plain, args=["x"], kwargs={"b": 2})
    assert (made.args, made.kwargs) == (("x",), {"a": 1, "b": 2})
    assert spec == {"type": f"{HERE}.Plain", "options": {"a": 1, "b": 1}}


def test_a_mapping_with_further_keys_is_an_object_and_not_a_spec() -> None:
    value = {"type": "a", "other": 1}
    assert load(value, dict) is value


def test_load_prefers_builtin_sources_to_getters_and_both_to_imports() -> None:
    assert load("x", Plain, builtin_sources={"x": Special}).__class__ is Special
    assert load("y", Plain, builtin_source_getters={"y": lambda: Special}).__class__ is Special
    both = load("x", Plain, builtin_sources={"x": Special}, builtin_source_getters={"x": lambda: Plain})
    assert type(both) is Special
    assert load({"type": "x", "options": {"a": 1}}, Plain, builtin_sources={"x": Special}).kwargs == {"a": 1}


def test_an_unknown_alias_names_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"'sequental' .*did you mean 'sequential'\?"):
        load("sequental", Plain, builtin_sources={"sequential": Special})


def test_load_for_callables_keeps_functions_and_instantiates_callable_classes() -> None:
    for callable_type in (Callable, typing.Callable, Callable[[int], int]):
        assert load(make_plain, callable_type) is make_plain
        assert load({"type": Adder, "options": {"amount": 2}}, callable_type)(1) == 3
        assert load(Adder, callable_type)(1) == 2
        assert load(list, callable_type) is list


def test_load_with_protocols_checks_the_made_object() -> None:
    @runtime_checkable
    class HasArgs(Protocol):
        args: tuple[Any, ...]

    assert type(load(Plain, HasArgs)) is Plain
    with pytest.raises(TypeError, match="not an instance"):
        load(Adder, HasArgs)


def test_strings_cannot_be_loaded() -> None:
    with pytest.raises(TypeError, match="str"):
        load("a.b", str)
