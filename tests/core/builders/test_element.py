from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roleml.core.builders.element import (
    get_registered_deserializer,
    get_registered_initializer,
    get_registered_serializer,
    load_element_impl_spec,
    parse_descriptors,
    register_deserializer,
    register_initializer,
    register_serializer,
)
from roleml.core.role.elements import ConstructStrategy, ElementImplementation, InitializeStrategy


class Model:
    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr
        self.initialized = False

    def initialize(self) -> None:
        self.initialized = True

    def serialize(self, file: Any) -> None:
        file.append(self.lr)


def make(lr: float) -> Callable[[], Model]:
    return lambda: Model(lr)


THING = {"an": "object"}


def named(name: str) -> str:
    return f"{__name__}.{name}"


def test_an_empty_spec_is_an_empty_implementation() -> None:
    assert load_element_impl_spec({}) == ElementImplementation()
    assert load_element_impl_spec({"class": None, "impl": None}) == ElementImplementation()


def test_names_are_replaced_by_what_they_name() -> None:
    spec = {
        "class": named("Model"),
        "impl": named("THING"),
        "constructor": named("make"),
        "construct_strategy": "Once_Eager",
        "constructor_args": {"lr": 0.1},
        "initializer": named("make"),
        "initialize_strategy": "every_call",
        "serializer": "pickle.dumps",
        "serializer_destination": "out",
        "serializer_mode": "TEXT",
        "deserializer": "pickle.loads",
        "deserializer_source": Path("in"),
        "deserializer_mode": "binary",
        "destructor": named("make"),
    }
    before = copy.deepcopy(spec)
    assert load_element_impl_spec(spec) == ElementImplementation(
        cls=Model,
        impl=THING,
        constructor=make,
        construct_strategy=ConstructStrategy.ONCE_EAGER,
        constructor_args={"lr": 0.1},
        initializer=make,
        initialize_strategy=InitializeStrategy.EVERY_CALL,
        serializer=pickle.dumps,
        serializer_destination="out",
        serializer_mode="text",
        deserializer=pickle.loads,
        deserializer_source=Path("in"),
        deserializer_mode="binary",
        destructor=make,
    )
    assert spec == before
    parsed = parse_descriptors(spec)
    assert parsed["class"] is Model
    assert parsed["constructor_args"] == {"lr": 0.1}


def test_objects_are_taken_as_they_are() -> None:
    marker = object()
    impl = load_element_impl_spec({"class": Model, "impl": marker, "constructor": make, "destructor": print})
    assert (impl.cls, impl.impl, impl.constructor, impl.destructor) == (Model, marker, make, print)
    for value in (b"bytes", {"a": 1}, [1], 0, False):
        assert load_element_impl_spec({"impl": value}).impl is value


def test_strategies_may_be_members() -> None:
    impl = load_element_impl_spec({"construct_strategy": ConstructStrategy.EVERY_CALL})
    assert impl.construct_strategy is ConstructStrategy.EVERY_CALL


def test_a_class_as_constructor_is_not_instantiated() -> None:
    for constructor in (Model, named("Model")):
        assert load_element_impl_spec({"constructor": constructor}).constructor is Model


def test_a_constructor_may_be_made_by_a_type_with_options() -> None:
    for made_by in (make, named("make")):
        impl = load_element_impl_spec({"constructor": {"type": made_by, "options": {"lr": 7}}})
        assert impl.constructor is not None
        assert impl.constructor().lr == 7


def test_self_stands_for_the_methods_of_the_object() -> None:
    impl = load_element_impl_spec({"initializer": "self", "serializer": "self"})
    assert impl.initializer is not None
    assert impl.serializer is not None
    model = Model(3)
    impl.initializer(model)
    assert model.initialized
    file: Any = []
    impl.serializer(model, file)
    assert file == [3]


def test_pickle_and_json_stand_for_dumping_and_loading() -> None:
    impl = load_element_impl_spec({"serializer": "pickle", "deserializer": "pickle"})
    assert (impl.serializer, impl.deserializer) == (pickle.dump, pickle.load)
    impl = load_element_impl_spec({"serializer": "json", "deserializer": "json"})
    assert (impl.serializer, impl.deserializer) == (json.dump, json.load)


def test_the_serializer_json_gets_a_text_file() -> None:
    assert load_element_impl_spec({"serializer": "json"}).serializer_mode == "text"
    assert load_element_impl_spec({"serializer": "pickle"}).serializer_mode is None
    with pytest.raises(TypeError, match=r"serializer_mode: the serializer 'json' writes text"):
        load_element_impl_spec({"serializer": "json", "serializer_mode": "binary"})


def test_further_aliases_can_be_registered() -> None:
    register_initializer("test-own", lambda: make)
    register_serializer("test-own", lambda: print)
    register_deserializer("test-own", lambda: len)
    impl = load_element_impl_spec(
        {"initializer": "test-own", "serializer": "test-own", "deserializer": "test-own"}
    )
    assert (impl.initializer, impl.serializer, impl.deserializer) == (make, print, len)
    assert get_registered_initializer("test-own") is make
    assert get_registered_serializer("test-own") is print
    assert get_registered_deserializer("test-own") is len
    assert get_registered_deserializer("json") is json.load


@pytest.mark.parametrize(
    "get", [get_registered_initializer, get_registered_serializer, get_registered_deserializer]
)
def test_an_unregistered_alias_is_a_runtime_error(get: Callable[[str], Any]) -> None:
    with pytest.raises(RuntimeError, match="is registered as 'nothing'"):
        get("nothing")


def raising() -> None:
    raise OSError("no")


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"clas": "a.B"}, TypeError, "clas: unknown key 'clas' .*did you mean 'class'"),
    ({"class": 3}, TypeError, "class: expected a class or its dotted name, not 3"),
    ({"class": named("THING")}, TypeError, "class: .*THING' is not a class"),
    ({"class": named("Modl")}, AttributeError, "class: cannot import .*did you mean 'Model'"),
    ({"class": "no_such_package.Model"}, ModuleNotFoundError, "class: .*no module 'no_such_package'"),
    ({"impl": "not_dotted"}, ValueError, "impl: expected a dotted name"),
    ({"constructor": named("THING")}, TypeError, "constructor: .*cannot be called"),
    ({"constructor": {"type": named("THING")}}, TypeError, r"constructor\.type: .*cannot be called"),
    ({"constructor": {"type": named("make")}}, TypeError, "constructor: .*'lr'"),
    (
        {"constructor": {"type": named("make"), "options": {"rl": 1}}},
        TypeError,
        "argument 'rl' of make; known are 'lr'",
    ),
    ({"constructor": {"type": named("raising")}}, ValueError, "constructor: raising failed with OSError: no"),
    ({"construct_strategy": "sometimes"}, KeyError, "construct_strategy: expected one of once"),
    ({"initializer": "slef"}, ValueError, "initializer: 'slef' is neither .*did you mean 'self'"),
    ({"serializer": "pickel"}, ValueError, "serializer: 'pickel' is neither .*did you mean 'pickle'"),
    ({"deserializer": "self"}, ValueError, "deserializer: 'self' is neither"),
    ({"serializer_mode": "bytes"}, ValueError, "serializer_mode: expected one of binary, text"),
    ({"constructor_args": [1]}, TypeError, "constructor_args: expected a mapping"),
    ({"destructor": 3}, TypeError, "destructor: expected a function"),
]


@pytest.mark.parametrize(("spec", "kind", "text"), WRONG)
def test_a_wrong_value_is_an_error_of_the_published_class(
    spec: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as info:
        load_element_impl_spec(spec)
    assert isinstance(info.value, ValueError)
