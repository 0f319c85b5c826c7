from __future__ import annotations

import functools
from typing import Any

import pytest

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, EventHandler, HandlerDecorator, Service, Task, attribute

CALLER = RoleInstanceID("A", "caller")


@pytest.mark.parametrize("decorator", [Service, Task])
def test_a_channel_is_declared_bare_called_or_named(decorator: Any) -> None:
    class R(Role):
        @decorator
        def bare_one(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "bare"

        @decorator()
        def called_one(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "called"

        @decorator("a_name")
        def method(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "named"

        @decorator("both", expand=True)
        def other(self, caller: RoleInstanceID) -> str:
            return "both"

        @decorator(name="by_keyword")
        def another(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "keyword"

        @decorator(channel_name="by_old_keyword")
        def yet_another(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "keyword"

    registry = R.services if decorator is Service else R.tasks
    assert registry == {
        "bare-one": "bare_one",
        "called-one": "called_one",
        "a-name": "method",
        "both": "other",
        "by-keyword": "another",
        "by-old-keyword": "yet_another",
    }
    assert (R.tasks if decorator is Service else R.services) == {}


def test_a_channel_with_two_names_is_refused() -> None:
    with pytest.raises(TypeError, match=r"two names, 'a' and 'b'"):
        Service("a", name="b")  # type: ignore[call-overload]


@pytest.mark.parametrize("decorator", [Service, Service("x"), Task, HandlerDecorator(expand=True)])
def test_a_bound_method_cannot_be_decorated(decorator: Any) -> None:
    class R(Role):
        def method(self, caller: RoleInstanceID) -> None: ...

    with pytest.raises(TypeError, match=r"R\.method is a bound method"):
        decorator(R().method)


@pytest.mark.parametrize("decorator", [Service, Task("x"), EventHandler("peer", "news", expand=True)])
def test_a_handler_is_no_async_function(decorator: Any) -> None:
    async def handler(self: Any, caller: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    async def generating(self: Any, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
        yield

    for function in (handler, generating):
        with pytest.raises(TypeError, match=rf"{function.__name__} is an async function; write it without"):
            decorator(function)


def test_a_handler_that_cannot_be_called_as_one_is_told_what_it_takes() -> None:
    def forgot_to_expand(self: Any, caller: Any, epochs=1): ...  # type: ignore[no-untyped-def]
    def no_caller(self: Any) -> None: ...
    def too_many(self: Any, caller: Any, args: Any, payloads: Any, more: Any) -> None: ...

    for method in (forgot_to_expand, no_caller, too_many):
        for decorator in (Service, Task("x"), EventHandler("peer", "news")):
            with pytest.raises(
                TypeError, match=rf"{method.__name__}\(self.* as \(self, caller, args, payloads\): "
            ):
                decorator(method)
    with pytest.raises(
        TypeError, match=r"epochs=1\) cannot be called .*: too many positional .*; with expand=True"
    ):
        Service(forgot_to_expand)
    with pytest.raises(
        TypeError, match=r"no_caller\(self.*\) .* as \(self, caller, \*\*args, \*\*payloads\): "
    ):
        Task(expand=True)(no_caller)


def test_a_handler_may_be_what_another_decorator_made_of_a_method() -> None:
    def logged(method: Any) -> Any:
        @functools.wraps(method)
        def wrapper(*parts: Any) -> Any:
            return method(parts[0], parts[1], **parts[2])

        return wrapper

    class R(Role):
        @Service
        @logged
        def ask(self, caller: RoleInstanceID, question: str) -> str:
            return question

        @Service
        @staticmethod
        def tell(caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "told"

    assert R().ask(CALLER, {"question": "why"}, {}) == "why"
    assert R.services == {"ask": "ask", "tell": "tell"}


def test_an_expanded_handler_takes_both_parts_as_keywords() -> None:
    class R(Role):
        @Service(expand=True)
        def add(self, caller: RoleInstanceID, a: int, b: int = 2, *, c: int) -> Any:
            return caller, a + b + c

    assert R().add(CALLER, {"a": 1}, {"c": 4}) == (CALLER, 7)


@pytest.mark.parametrize(
    ("args", "payloads"), [({}, {}), ({"a": 1, "x": 2}, {}), ({"a": 1}, {"a": 2})], ids=str
)
def test_a_key_that_is_missing_unexpected_or_twice_is_a_type_error_of_the_handler(
    args: Any, payloads: Any
) -> None:
    class R(Role):
        @Task(expand=True)
        def only_a(self, caller: RoleInstanceID, a: int) -> None: ...

    with pytest.raises(TypeError):
        R().only_a(CALLER, args, payloads)


def test_a_handler_that_is_not_expanded_stays_the_method_it_was() -> None:
    class R(Role):
        @Service
        def parts(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
            """The doc."""
            return caller, args, payloads

    assert R().parts(CALLER, {"a": 1}, {"b": 2}) == (CALLER, {"a": 1}, {"b": 2})
    assert R.parts.__doc__ == "The doc."


def test_an_event_is_named_after_its_attribute_or_as_given() -> None:
    class R(Role):
        round_done = Event()
        x = Event("model_updated")

    assert R.events == {"round-done": "round_done", "model-updated": "x"}


def test_an_event_of_a_role_that_was_not_added_cannot_be_emitted() -> None:
    class R(Role):
        round_done = Event()

    with pytest.raises(RuntimeError, match=r"role not initialized"):
        R().round_done.emit()
    with pytest.raises(RuntimeError, match=r"self\.round_done\.emit"):
        R.round_done.emit()


def test_an_event_handler_keeps_its_declaration_and_standardises_the_channel() -> None:
    def only_me(instance: RoleInstanceID) -> bool:
        return instance == CALLER

    class R(Role):
        @EventHandler(
            "the_trainer", "round_done", conditions={"n": attribute("n")}, mode="once", extra_filter=only_me
        )
        def on_round(self, source: RoleInstanceID, args: Any, payloads: Any) -> Any:
            return source, args, payloads

    declared = R.event_handlers["on_round"]
    assert (declared.relationship, declared.channel_name) == ("the_trainer", "round-done")
    assert (declared.conditions, declared.mode) == ({"n": attribute("n")}, "once")
    assert declared.extra_filter is only_me
    assert R.subscriptions == {"on_round"}
    assert R().on_round(CALLER, {}, {}) == (CALLER, {}, {})


def test_an_event_handler_refuses_a_mode_and_conditions_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match=r"unknown subscription mode 'twice'; it is 'once' or 'forever'"):
        EventHandler("peer", "news", mode="twice")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"conditions map names to values, .* these are \['a'\]"):
        EventHandler("peer", "news", conditions=["a"])  # type: ignore[arg-type]


def test_an_event_handler_has_no_bare_form() -> None:
    with pytest.raises(TypeError):
        EventHandler(lambda self, source, args, payloads: None)  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError, match=r"name of a relationship"):
        EventHandler(lambda self, source, args, payloads: None, "done")  # type: ignore[arg-type]


def test_the_handler_decorator_alone_expands_a_handler_for_a_manual_subscription() -> None:
    class R(Role):
        @HandlerDecorator(expand=True)
        def on_news(self, source: RoleInstanceID, n: int) -> Any:
            return source, n

    assert R().on_news(CALLER, {"n": 1}, {}) == (CALLER, 1)
    assert R.subscriptions == set()
    assert R.services == R.tasks == {}
