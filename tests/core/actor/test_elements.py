from __future__ import annotations

import io
import json
import logging
import pickle
import threading
import typing
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Protocol, Union, runtime_checkable

import pytest

from roleml.core.actor.elements import ElementInstance, Elements
from roleml.core.role.base import Role
from roleml.core.role.elements import (
    ConstructStrategy,
    Element,
    ElementImplementation,
    Factory,
    FileMode,
    InitializeStrategy,
)

Impl = ElementImplementation


class Thing:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.log: list[str] = []


class SubThing(Thing):
    pass


def initialize(thing: Thing) -> None:
    thing.log.append("init")


def destruct(thing: Thing) -> None:
    thing.log.append("destruct")


def make(declaration: Element[Any], impl: ElementImplementation | None = None) -> ElementInstance[Any]:
    instance = ElementInstance("role", "thing", declaration, impl or Impl())
    instance.provide()
    return instance


# -- where the object comes from ------------------------------------------------


def test_the_implementation_constructor_goes_before_its_class_and_the_declared_constructor() -> None:
    declaration = Element(Thing, default_constructor=lambda: Thing("declared"))
    assert make(declaration)().args == ("declared",)
    assert type(make(declaration, Impl(cls=SubThing))()) is SubThing
    assert make(declaration, Impl(cls=SubThing, constructor=lambda: Thing("own")))().args == ("own",)


@pytest.mark.parametrize("not_narrowed", [object, Any, None])
def test_a_class_that_narrows_nothing_is_no_constructor(not_narrowed: Any) -> None:
    declaration = Element(Thing, default_constructor=lambda: Thing("declared"))
    assert make(declaration, Impl(cls=not_narrowed))().args == ("declared",)


def test_the_declared_type_is_never_a_constructor() -> None:
    with pytest.raises(RuntimeError, match=r"no provider for element role.thing of type .*Thing"):
        make(Element(Thing))


def test_constructor_arguments_replace_the_declared_ones_and_are_never_merged() -> None:
    declaration = Element(Thing, default_constructor=Thing, default_constructor_args={"a": 1, "b": 2})
    assert make(declaration)().kwargs == {"a": 1, "b": 2}
    assert make(declaration, Impl(constructor_args={"a": 3}))().kwargs == {"a": 3}
    assert make(declaration, Impl(constructor_args={}))().kwargs == {"a": 1, "b": 2}


def test_a_given_object_goes_before_everything_else(tmp_path: Path) -> None:
    given = Thing()
    source = tmp_path / "not-there"
    impl = Impl(impl=given, constructor=Thing, deserializer=pickle.load, deserializer_source=source)
    assert make(Element(Thing), impl)() is given


def test_a_source_goes_before_a_constructor_and_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "saved").write_bytes(pickle.dumps([1]))
    impl = Impl(constructor=list, deserializer=pickle.load, deserializer_source=str(tmp_path / "saved"))
    instance = make(Element(list), impl)
    (tmp_path / "saved").unlink()
    assert instance() == [1]


def test_a_declared_deserializer_reads_the_configured_source(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("[1]", encoding="utf-8")
    declaration = Element(list, default_deserializer=json.load, default_deserializer_mode="text")
    assert make(declaration, Impl(deserializer_source=tmp_path / "saved"))() == [1]


def test_a_deserializer_without_source_reads_nothing() -> None:
    assert make(Element(list), Impl(constructor=list, deserializer=pickle.load))() == []


def test_a_missing_source_is_an_error_when_the_element_is_implemented(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make(Element(list), Impl(deserializer=pickle.load, deserializer_source=tmp_path / "none"))


def test_a_declared_constructor_goes_before_the_declared_object() -> None:
    assert make(Element(list, [1], list))() == []
    assert make(Element(list, [1]))() == [1]


def test_false_objects_are_objects() -> None:
    assert make(Element(int, 0))() == 0
    assert make(Element(int), Impl(impl=0))() == 0
    assert make(Element(dict), Impl(constructor=dict))() == {}


# -- when it is constructed ------------------------------------------------


def test_once_constructs_at_the_first_call_and_keeps_the_object() -> None:
    calls: list[int] = []
    instance = make(Element(Thing), Impl(constructor=lambda: calls.append(1) or Thing()))
    assert instance.implemented
    assert calls == []
    assert instance() is instance()
    assert calls == [1]


def test_once_eager_constructs_when_implemented() -> None:
    calls: list[int] = []
    impl = Impl(
        constructor=lambda: calls.append(1) or Thing(), construct_strategy=ConstructStrategy.ONCE_EAGER
    )
    instance = make(Element(Thing, default_initializer=initialize), impl)
    assert calls == [1]
    assert instance().log == ["init"]
    assert instance() is instance()
    assert calls == [1]


def test_every_call_constructs_anew_and_destructs_the_previous_object_first() -> None:
    instance = make(Factory(Thing, default_constructor=Thing, default_destructor=destruct))
    first = instance()
    second = instance()
    assert first is not second
    assert (first.log, second.log) == (["destruct"], [])


def test_arguments_of_the_call_replace_all_configured_ones() -> None:
    instance = make(Factory(Thing, default_constructor=Thing, default_constructor_args={"a": 1}))
    assert instance().kwargs == {"a": 1}
    assert instance(b=2).kwargs == {"b": 2}
    third = instance(3)
    assert (third.args, third.kwargs) == ((3,), {})


def test_arguments_for_an_existing_object_are_ignored_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    instance = make(Element(Thing, default_constructor=Thing))
    first = instance(a=1)
    assert first.kwargs == {"a": 1}
    assert not caplog.records
    assert instance(a=2) is first
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "role.thing: arguments ignored" in caplog.text


def test_every_call_without_constructor_is_an_error_even_with_an_object() -> None:
    instance = make(Factory(Thing), Impl(impl=Thing()))
    with pytest.raises(RuntimeError, match=r"role.thing cannot be constructed"):
        instance()


def test_a_constructor_that_returns_none_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"constructor of element role.thing returned None"):
        make(Element(Thing, default_constructor=lambda: None))()


def test_a_constructor_that_lacks_arguments_counts_as_an_implementation_and_fails_when_called() -> None:
    instance = make(Element(Thing, default_constructor=lambda dataset: Thing(dataset)))
    assert instance.implemented
    with pytest.raises(TypeError, match="dataset"):
        instance()


def test_what_a_constructor_raises_says_of_which_element_it_is() -> None:
    element = make(Element(int, default_constructor=int, default_constructor_args={"nothing": 1}))
    with pytest.raises(TypeError) as info:
        element()
    assert info.value.__notes__ == ["this constructed the element role.thing"]


def test_construct_forces_a_new_object() -> None:
    instance = make(Element(Thing, default_constructor=Thing, default_destructor=destruct))
    first = instance()
    second = instance.construct(1)
    assert second is not first
    assert second.args == (1,)
    assert first.log == ["destruct"]
    assert instance() is second


def test_construct_without_constructor_keeps_the_object() -> None:
    given = Thing()
    instance = make(Element(Thing, default_destructor=destruct), Impl(impl=given))
    with pytest.raises(RuntimeError, match="cannot be constructed"):
        instance.construct()
    assert instance() is given
    assert given.log == []


# -- initialization and reset ------------------------------------------------


def test_the_initializer_runs_once_per_constructed_or_given_object() -> None:
    for impl in (Impl(constructor=Thing), Impl(impl=Thing())):
        instance = make(Element(Thing, default_initializer=initialize), impl)
        instance()
        assert instance().log == ["init"]
    instance = make(Element(Thing, Thing(), default_initializer=initialize))
    instance()
    assert instance().log == ["init"]


def test_the_own_initializer_replaces_the_declared_one() -> None:
    impl = Impl(constructor=Thing, initializer=lambda thing: thing.log.append("own"))
    assert make(Element(Thing, default_initializer=initialize), impl)().log == ["own"]


def test_the_initializer_runs_at_each_call_where_asked() -> None:
    impl = Impl(constructor=Thing, initialize_strategy=InitializeStrategy.EVERY_CALL)
    instance = make(Element(Thing, default_initializer=initialize), impl)
    instance()
    instance()
    assert instance().log == ["init"] * 3


def test_the_initializer_runs_for_each_new_object() -> None:
    instance = make(Factory(Thing, default_constructor=Thing, default_initializer=initialize))
    assert (instance().log, instance().log) == (["init"], ["init"])


def test_a_deserialized_object_counts_as_initialized() -> None:
    instance = make(
        Element(Thing, default_initializer=initialize, default_deserializer=lambda _: Thing()),
        Impl(constructor=Thing),
    )
    instance.deserialize(io.BytesIO())
    assert instance().log == []


def test_a_failed_initializer_runs_again_at_the_next_call() -> None:
    outcomes: list[Exception | None] = [ValueError("not yet"), None]

    def fragile(thing: Thing) -> None:
        error = outcomes.pop(0)
        if error is not None:
            raise error
        thing.log.append("init")

    instance = make(Element(Thing, default_constructor=Thing, default_initializer=fragile))
    with pytest.raises(ValueError, match="not yet"):
        instance()
    assert instance().log == ["init"]


def test_reset_destructs_and_the_next_call_constructs_and_initializes_again() -> None:
    instance = make(
        Element(Thing, default_constructor=Thing, default_initializer=initialize, default_destructor=destruct)
    )
    first = instance()
    instance.reset()
    instance.reset()
    assert first.log == ["init", "destruct"]
    assert instance() is not first
    assert instance().log == ["init"]


def test_reset_of_an_object_without_constructor_leaves_nothing() -> None:
    instance = make(Element(Thing), Impl(impl=Thing()))
    assert instance.implemented
    instance.reset()
    assert not instance.implemented
    with pytest.raises(RuntimeError):
        instance()


# -- threads ------------------------------------------------


def test_concurrent_first_calls_get_one_initialized_object() -> None:
    together = threading.Barrier(8)
    entered = threading.Event()
    made: list[Thing] = []

    def construct() -> Thing:
        entered.wait(10)
        made.append(Thing())
        return made[-1]

    instance = make(Element(Thing, default_initializer=initialize), Impl(constructor=construct))

    def call() -> tuple[Thing, list[str]]:
        together.wait(10)
        entered.set()
        thing = instance()
        return thing, list(thing.log)

    with ThreadPoolExecutor(8) as pool:
        results = [future.result(10) for future in [pool.submit(call) for _ in range(8)]]
    assert len(made) == 1
    assert all(thing is made[0] and log == ["init"] for thing, log in results)


def test_a_failed_construction_passes_the_turn_to_the_next_caller() -> None:
    first_is_in = threading.Event()
    go_on = threading.Event()
    attempts: list[int] = []

    def construct() -> Thing:
        attempts.append(1)
        if len(attempts) == 1:
            first_is_in.set()
            go_on.wait(10)
            raise ValueError("first")
        return Thing()

    instance = make(Element(Thing), Impl(constructor=construct))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(instance)
        assert first_is_in.wait(10)
        second = pool.submit(instance)
        go_on.set()
        assert isinstance(first.exception(10), ValueError)
        assert isinstance(second.result(10), Thing)


def test_calls_of_a_factory_do_not_wait_for_each_other() -> None:
    both_are_in = threading.Barrier(2)

    def construct() -> Thing:
        both_are_in.wait(10)
        return Thing()

    instance = make(Factory(Thing, default_constructor=construct, default_destructor=destruct))
    with ThreadPoolExecutor(2) as pool:
        first, second = (f.result(10) for f in [pool.submit(instance), pool.submit(instance)])
    assert first is not second
    instance.reset()
    assert (first.log, second.log) == (["destruct"], ["destruct"])


def test_a_constructor_that_asks_for_its_own_element_fails_instead_of_waiting_for_itself() -> None:
    holder: list[ElementInstance[Any]] = []
    holder.append(make(Element(Thing), Impl(constructor=lambda: holder[0]())))
    with pytest.raises(RuntimeError, match=r"constructing element role.thing needs its own outcome"):
        holder[0]()


# -- files ------------------------------------------------


def test_serialize_writes_to_the_destination_and_deserialize_reads_from_the_source(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text("longer than what follows")
    impl = Impl(
        impl={"a": 1},
        serializer=json.dump,
        serializer_destination=file,
        serializer_mode="text",
        deserializer=json.load,
        deserializer_source=file,
        deserializer_mode="text",
    )
    instance = make(Element(dict), impl)
    assert instance.serializable
    assert instance.deserializable
    instance.serialize()
    assert json.loads(file.read_text()) == {"a": 1}
    read = instance.deserialize()
    assert read == {"a": 1}
    assert instance() is read


def test_binary_is_the_default_mode_and_given_files_are_left_open(tmp_path: Path) -> None:
    impl = Impl(impl=[1], serializer=lambda obj, file: pickle.dump(obj, file), deserializer=pickle.load)
    instance = make(Element(list), impl)
    file = io.BytesIO()
    instance.serialize(file)
    file.seek(0)
    assert instance.deserialize(file) == [1]
    assert not file.closed


@pytest.mark.parametrize("written", ["text", "binary"])
@pytest.mark.parametrize("read", ["text", "binary"])
def test_what_one_mode_has_written_for_a_checkpoint_the_other_reads_as_it_reads_a_file(
    written: FileMode, read: FileMode
) -> None:
    def write(obj: str, file: IO[Any]) -> None:
        file.write(obj if written == "text" else obj.encode())

    def load(file: IO[Any]) -> str:
        content = file.read()
        assert isinstance(content, str if read == "text" else bytes)
        return content if isinstance(content, str) else content.decode()

    first, second = (
        make(
            Element(str),
            Impl(
                impl=text,
                serializer=write,
                serializer_mode=written,
                deserializer=load,
                deserializer_mode=read,
            ),
        )
        for text in ("gr\u00fcn", "")
    )
    second.load_state_dict(first.state_dict())
    assert second() == "gr\u00fcn"


def test_relative_paths_start_at_the_working_directory_of_the_actor(tmp_path: Path) -> None:
    impl = Impl(
        impl=[1],
        serializer=lambda obj, file: pickle.dump(obj, file),
        serializer_destination="state",
    )
    ElementInstance("role", "thing", Element(list), impl, workdir=str(tmp_path)).serialize()
    assert pickle.loads((tmp_path / "state").read_bytes()) == [1]


def test_serialization_says_what_it_lacks() -> None:
    bare = make(Element(list), Impl(constructor=list))
    with pytest.raises(RuntimeError, match="no serializer"):
        bare.serialize()
    with pytest.raises(RuntimeError, match="no deserializer"):
        bare.deserialize()
    functions = Impl(constructor=list, serializer=lambda obj, file: None, deserializer=pickle.load)
    instance = make(Element(list), functions)
    with pytest.raises(RuntimeError, match="no object"):
        instance.serialize(io.BytesIO())
    instance()
    with pytest.raises(RuntimeError, match="serializer_destination"):
        instance.serialize()
    with pytest.raises(RuntimeError, match="deserializer_source"):
        instance.deserialize()


# -- type checks ------------------------------------------------


@runtime_checkable
class HasLog(Protocol):
    log: list[str]


@runtime_checkable
class Trains(Protocol):
    def train(self) -> None: ...


def test_without_type_check_everything_is_accepted() -> None:
    assert make(Element(int), Impl(cls=Thing))().args == ()
    assert make(Element(int), Impl(impl="text"))() == "text"


@pytest.mark.parametrize(
    "impl",
    [Impl(cls=dict), Impl(impl="text"), Impl(deserializer=lambda _: "text", deserializer_source="/dev/null")],
)
def test_a_wrong_class_object_or_file_fails_when_implemented(impl: ElementImplementation) -> None:
    with pytest.raises(TypeError, match=r"element role.thing: .*(dict|str).* .*Thing"):
        make(Element(Thing, type_check=True), impl)


def test_a_wrong_constructed_object_fails_at_the_call() -> None:
    with pytest.raises(TypeError, match=r"the constructed object is a list, not a .*Thing"):
        make(Element(Thing, type_check=True), Impl(constructor=list))()
    with pytest.raises(TypeError, match=r"not a .*SubThing"):
        make(Element(Thing, type_check=True), Impl(cls=SubThing, constructor=Thing))()


def test_a_right_object_passes_the_check_whatever_the_kind_of_type() -> None:
    good: list[tuple[Any, ElementImplementation]] = [
        (Thing, Impl(cls=SubThing)),
        (HasLog, Impl(cls=Thing)),  # a protocol with data: subclassing cannot be asked
        (Union[int, str], Impl(impl="text")),  # noqa: UP007  # the older spelling is the subject
        (int | str, Impl(impl=1)),
        (typing.Callable, Impl(impl=len)),
        (Callable[[int], int], Impl(impl=len)),
        (Iterable, Impl(impl=[1])),
        (typing.Iterable[int], Impl(impl=[1])),
        (Any, Impl(impl=1)),
        (object, Impl(impl=1)),
    ]
    for cls, impl in good:
        make(Element(cls, type_check=True), impl)()


def test_a_protocol_is_checked_by_its_methods() -> None:
    with pytest.raises(TypeError, match="Trains"):
        make(Element(Trains, type_check=True), Impl(cls=Thing))


# -- the elements of an actor ------------------------------------------------


class Worker(Role):
    big_model = Element(Thing, default_destructor=destruct)
    extra = Element(Thing, optional=True)
    settings = Element(dict, default_impl={"a": 1})


def elements_with_worker() -> tuple[Elements, Worker]:
    elements, worker = Elements(), Worker()
    elements.add_role("worker", worker)
    return elements, worker


def test_an_implemented_element_is_found_on_the_role_instance_only() -> None:
    elements, worker = elements_with_worker()
    thing = Thing()
    instance = elements.implement("worker", "big_model", Impl(impl=thing))
    assert worker.big_model is instance
    assert worker.big_model() is thing
    assert not Worker.big_model.implemented
    assert not Worker().big_model.implemented


def test_implementing_names_what_does_not_exist() -> None:
    elements, _ = elements_with_worker()
    with pytest.raises(RuntimeError, match=r"no role 'workr' here; did you mean 'worker'\?"):
        elements.implement("workr", "big-model", Impl(impl=1))
    with pytest.raises(RuntimeError, match=r"class Worker has no such element; did you mean 'big-model'\?"):
        elements.implement("worker", "big_modle", Impl(impl=1))


def test_an_element_is_implemented_once() -> None:
    elements, _ = elements_with_worker()
    elements.implement("worker", "big-model", Impl(impl=1))
    with pytest.raises(RuntimeError, match=r"worker.big-model is implemented already"):
        elements.implement("worker", "big_model", Impl(impl=1))


def test_a_failed_implementation_can_be_repeated() -> None:
    elements, worker = elements_with_worker()
    eager = ConstructStrategy.ONCE_EAGER
    with pytest.raises(ZeroDivisionError):
        elements.implement("worker", "big-model", Impl(constructor=lambda: 1 // 0, construct_strategy=eager))
    assert not worker.big_model.implemented
    elements.implement("worker", "big-model", Impl(constructor=Thing, construct_strategy=eager))
    assert worker.big_model.implemented


def test_defaults_are_applied_with_a_warning_for_what_has_none(caplog: pytest.LogCaptureFixture) -> None:
    elements, worker = elements_with_worker()
    with caplog.at_level(logging.INFO):
        elements.apply_defaults("worker")
    assert worker.settings() == {"a": 1}
    assert not worker.big_model.implemented
    assert not worker.extra.implemented
    by_level = {(r.levelname, r.getMessage().split(":")[0]) for r in caplog.records}
    assert by_level == {
        ("WARNING", "element worker.big-model is not implemented"),
        ("INFO", "element worker.settings is implemented by its default"),
    }


def test_defaults_leave_implemented_elements_alone() -> None:
    elements, worker = elements_with_worker()
    elements.implement("worker", "settings", Impl(impl={"b": 2}))
    elements.apply_defaults("worker")
    assert worker.settings() == {"b": 2}


def test_finalizing_serializes_and_then_destructs(tmp_path: Path) -> None:
    elements, worker = elements_with_worker()

    def save(thing: Thing, file: IO[Any]) -> None:
        thing.log.append("serialize")

    impl = Impl(constructor=Thing, serializer=save, serializer_destination=tmp_path / "out")
    elements.implement("worker", "big-model", impl)
    thing = worker.big_model()
    elements.finalize("worker")
    assert thing.log == ["serialize", "destruct"]


def test_finalizing_skips_what_was_never_constructed(tmp_path: Path) -> None:
    elements, _ = elements_with_worker()
    impl = Impl(constructor=Thing, serializer=lambda _, f: None, serializer_destination=tmp_path / "out")
    elements.implement("worker", "big-model", impl)
    elements.finalize("worker")
    assert not (tmp_path / "out").exists()


def test_a_failure_while_finalizing_one_element_spares_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elements, worker = elements_with_worker()

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    broken = Impl(impl=Thing(), serializer=fail, serializer_destination=tmp_path / "out", destructor=fail)
    elements.implement("worker", "extra", broken)
    elements.implement("worker", "big-model", Impl(impl=Thing()))
    thing = worker.big_model()
    elements.finalize("worker")
    assert thing.log == ["destruct"]
    assert [r.getMessage() for r in caplog.records] == [
        "element worker.extra could not be serialized",
        "element worker.extra could not be destructed",
    ]


def test_a_finalized_name_can_be_used_again() -> None:
    elements, _ = elements_with_worker()
    elements.implement("worker", "extra", Impl(impl=1))
    elements.finalize("worker")
    elements.finalize("worker")
    again = Worker()
    elements.add_role("worker", again)
    elements.implement("worker", "extra", Impl(impl=2))
    assert again.extra() == 2
