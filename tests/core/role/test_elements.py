from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, Protocol, Union

import pytest

from roleml.core.role.elements import (
    ConstructStrategy,
    Element,
    ElementImplementation,
    Factory,
    InitializeStrategy,
)


class Model(Protocol):
    def train(self) -> None: ...


class Worker:
    model = Element(Model)
    made = Factory(Model)


def test_the_default_strategy_is_once() -> None:
    assert ConstructStrategy.DEFAULT is ConstructStrategy.ONCE
    assert InitializeStrategy.DEFAULT is InitializeStrategy.ONCE
    assert [member.name for member in ConstructStrategy] == ["ONCE", "ONCE_EAGER", "EVERY_CALL"]
    assert [member.name for member in InitializeStrategy] == ["ONCE", "EVERY_CALL"]


def test_the_fields_of_a_declaration_come_in_the_documented_order() -> None:
    assert [field.name for field in dataclasses.fields(Element) if field.init] == [
        "cls",
        "default_impl",
        "default_constructor",
        "default_construct_strategy",
        "default_constructor_args",
        "default_initializer",
        "default_initialize_strategy",
        "default_serializer",
        "default_serializer_mode",
        "default_deserializer",
        "default_deserializer_mode",
        "default_destructor",
        "optional",
        "type_check",
    ]


def test_a_factory_is_an_element_that_constructs_at_every_call() -> None:
    declaration = Factory(Model)
    assert isinstance(declaration, Element)
    assert declaration.default_construct_strategy is ConstructStrategy.EVERY_CALL
    assert Element(Model).default_construct_strategy is ConstructStrategy.ONCE
    assert Factory(Model, default_construct_strategy=ConstructStrategy.ONCE).default_construct_strategy is (
        ConstructStrategy.ONCE
    )


def test_declarations_can_be_subscripted() -> None:
    assert Element[int](int).cls is int
    assert Factory[int](int).cls is int


def test_an_implementation_narrows_nothing_by_object_any_and_none() -> None:
    assert not ElementImplementation().narrowed
    assert not ElementImplementation(cls=Any).narrowed
    assert not ElementImplementation(cls=None).narrowed
    assert ElementImplementation(cls=int).narrowed


@pytest.mark.parametrize(
    "use",
    [
        lambda element: element(),
        lambda element: element.construct(),
        lambda element: element.reset(),
        lambda element: element.serializable,
        lambda element: element.deserializable,
        lambda element: element.serialize(),
        lambda element: element.deserialize(),
    ],
)
def test_what_is_not_implemented_refuses_and_names_itself_and_its_type(use: Callable[[Any], Any]) -> None:
    with pytest.raises(RuntimeError, match=r"element Worker.model of type .*Model is not implemented"):
        use(Worker.model)
    assert Worker.model.implemented is False


@pytest.mark.parametrize("cls", [Union[int, str], int | str, typing.Iterable, Any, typing.Callable])  # noqa: UP007  # the older spelling is a subject
def test_the_refusal_works_for_types_without_a_name(cls: Any) -> None:
    with pytest.raises(RuntimeError, match=r"type .* is not implemented"):
        Element(cls)()


def test_a_strategy_by_name_is_refused_in_a_declaration_and_the_members_are_named() -> None:
    with pytest.raises(TypeError, match=r"'once_eager'.*ConstructStrategy\.ONCE_EAGER"):
        Element(dict, default_construct_strategy="once_eager")  # type: ignore[arg-type]
