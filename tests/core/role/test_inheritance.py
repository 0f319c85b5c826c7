from __future__ import annotations

from typing import Any

import pytest

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, EventHandler, Service, Task
from roleml.core.role.elements import Element
from roleml.core.role.types import PluginAttribute

CALLER = RoleInstanceID("A", "caller")


class Plugin(PluginAttribute):
    pass


class OtherPlugin(PluginAttribute):
    PLUGIN_NAME = "explicit"


class NarrowerPlugin(Plugin):
    pass


class Parent(Role):
    done = Event()
    model = Element(dict)
    partner = Plugin()

    @Service
    def ask(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
        return "parent"

    @Task(expand=True)
    def work(self, caller: RoleInstanceID, n: int) -> int:
        return n

    @EventHandler("peer", "news", mode="once")
    def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> str:
        return "parent"


def test_a_subclass_adds_to_copies_of_the_registries() -> None:
    class Child(Parent):
        failed = Event()
        data = Element(list)
        friend = Plugin()

        @Service
        def tell(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None: ...

        @EventHandler("peer", "other-news")
        def on_other(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    assert Child.services == {"ask": "ask", "tell": "tell"}
    assert Child.tasks == {"work": "work"}
    assert Child.events == {"done": "done", "failed": "failed"}
    assert Child.elements == {"model": "model", "data": "data"}
    assert Child.subscriptions == {"on_news", "on_other"}
    assert Child.plugin_attributes == {"Plugin": ["partner", "friend"]}

    assert Parent.services == {"ask": "ask"}
    assert Parent.events == {"done": "done"}
    assert Parent.elements == {"model": "model"}
    assert Parent.subscriptions == {"on_news"}
    assert Parent.plugin_attributes == {"Plugin": ["partner"]}
    assert Role.services == Role.events == Role.elements == {}


def test_declaring_a_channel_again_replaces_its_method() -> None:
    class Child(Parent):
        @Service("ask")
        def another(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "child"

    assert Child.services == {"ask": "another"}


def test_declaring_an_attribute_again_replaces_its_channel() -> None:
    class Child(Parent):
        @Task("question")
        def ask(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "child"

    assert Child.services == {}
    assert Child.tasks == {"work": "work", "question": "ask"}


def test_an_undecorated_override_keeps_the_channel_and_gets_the_raw_parts() -> None:
    class Child(Parent):
        def work(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:  # type: ignore[override]
            return args, payloads

    class GrandChild(Child):
        pass

    for cls in (Child, GrandChild):
        assert cls.tasks == {"work": "work"}
        assert cls().work(CALLER, {"n": 1}, {}) == ({"n": 1}, {})


def test_an_undecorated_override_of_an_event_handler_keeps_its_subscription() -> None:
    class Child(Parent):
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "child"

    assert Child.subscriptions == {"on_news"}
    assert Child.event_handlers["on_news"] == Parent.event_handlers["on_news"]
    assert Child.event_handlers["on_news"].mode == "once"


def test_several_parents_are_merged_and_the_first_one_wins() -> None:
    class Left(Role):
        left = Event()
        partner = Plugin()

        @Service
        def ask(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "left"

        @EventHandler("left", "news")
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    class Right(Role):
        right = Event()
        other = Plugin()
        strange = OtherPlugin()

        @Service("ask")
        def answer(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "right"

        @Task
        def work(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None: ...

        @EventHandler("right", "news")
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    class Both(Left, Right):
        pass

    assert Both.services == {"ask": "ask"}
    assert Both.tasks == {"work": "work"}
    assert set(Both.events) == {"left", "right"}
    assert Both.event_handlers["on_news"].relationship == "left"
    assert sorted(Both.plugin_attributes["Plugin"]) == ["other", "partner"]
    assert Both.plugin_attributes["OtherPlugin"] == ["strange"]
    assert Left.plugin_attributes == {"Plugin": ["partner"]}
    assert Right.plugin_attributes == {"Plugin": ["other"], "OtherPlugin": ["strange"]}


def test_a_parent_that_is_no_role_may_declare_channels_too() -> None:
    class Counting:
        counted = Event()
        counter = Element(int)

        @Service
        def count(self, caller: RoleInstanceID, args: Any, payloads: Any) -> int:
            return 1

        @EventHandler("peer", "counted")
        def on_counted(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    class Child(Counting, Parent):
        pass

    assert Child.services == {"ask": "ask", "count": "count"}
    assert set(Child.events) == {"done", "counted"}
    assert set(Child.elements) == {"model", "counter"}
    assert Child.subscriptions == {"on_news", "on_counted"}


def test_one_class_declares_a_channel_once() -> None:
    with pytest.raises(
        TypeError, match=r"Child declares the service 'tell-all' twice, as tell_all and as tell"
    ):

        class Child(Parent):
            @Service
            def tell_all(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None: ...

            @Service("tell-all")
            def tell(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    class SameMethod(Parent):
        @Service
        def tell(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None: ...

        inform = tell

    assert SameMethod.services.keys() == {"ask", "tell"}


def test_a_diamond_takes_the_nearest_declaration() -> None:
    class Left(Parent):
        pass

    class Right(Parent):
        @Service("ask")
        def ask_right(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return "right"

    class Both(Left, Right):
        pass

    assert Both.services == {"ask": "ask_right"}


def test_an_element_declared_again_replaces_the_parents() -> None:
    class Child(Parent):
        model: Element[Any] = Element(list)

    assert Child.elements == {"model": "model"}
    assert Child.__dict__["model"].cls is list


def test_a_handler_set_to_none_is_taken_away() -> None:
    class Child(Parent):
        ask = None  # type: ignore[assignment]
        on_news = None  # type: ignore[assignment]

    assert Child.services == {}
    assert Child.subscriptions == set()


def test_a_plugin_kind_is_named_after_its_class_whatever_it_says() -> None:
    assert Plugin.PLUGIN_NAME == NarrowerPlugin.PLUGIN_NAME == "Plugin"
    assert OtherPlugin.PLUGIN_NAME == "OtherPlugin"
