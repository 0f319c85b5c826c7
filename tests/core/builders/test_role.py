from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest

from roleml.core.builders.errors import ConfigError, UnknownElementError
from roleml.core.builders.role import RoleBuilder, install_role
from roleml.core.role.base import Role
from roleml.core.role.elements import ConstructStrategy, Element, ElementImplementation


class Model:
    pass


class Trainer(Role):
    big_model = Element(Model)
    data = Element(dict)


class SpecialTrainer(Trainer):
    extra = Element(dict)


class Mixed(SpecialTrainer, dict):  # type: ignore[type-arg]
    pass


class Net:
    def __init__(self, hidden: int, lr: float = 0.1) -> None: ...


class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...


def make_net(**options: Any) -> Net:
    return Net(**options)


class Drawer(Role):
    net = Element(Net)
    prepared = Element(Net, default_constructor=Net, default_construct_strategy=ConstructStrategy.ONCE_EAGER)
    shape = Element(Shape)


class Strict(Role):
    model = Element(Model, type_check=True)


class Picky(Role):
    def __init__(self, num_rounds: int, *, ratio: float = 0.5) -> None:
        super().__init__()
        self.given = (num_rounds, ratio)


class Relaxed(Role):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


class FakeActor:
    """Records what a builder does with an actor, and fails where it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.done: list[tuple[Any, ...]] = []
        self.roles: dict[str, Role] = {}

    def add_role(self, name: str, role: Role) -> None:
        self._do("add_role", name)
        self.roles[name] = role

    def implement_element(self, name: str, element: str, impl: ElementImplementation) -> None:
        self._do("implement_element", name, element, impl)

    def start_role(self, name: str) -> None:
        self._do("start_role", name)

    def stop_role(self, name: str) -> None:
        self._do("stop_role", name)
        del self.roles[name]

    def _do(self, what: str, *args: Any) -> None:
        self.done.append((what, *args))
        if what == self.fails_at:
            raise OSError(f"{what} fails")


def actor(fails_at: str = "") -> Any:
    return FakeActor(fails_at)


@pytest.fixture(autouse=True)
def no_presets() -> Iterator[None]:
    RoleBuilder.clear_element_preset()
    yield
    RoleBuilder.clear_element_preset()


def named(cls: type) -> str:
    return f"{__name__}.{cls.__qualname__}"


def built(spec: Any) -> RoleBuilder:
    builder = RoleBuilder("r", spec)
    builder.build()
    return builder


# -- building ------------------------------------------------


@pytest.mark.parametrize("spec", [Trainer, named(Trainer), {"class": Trainer}, {"class": named(Trainer)}])
def test_a_role_is_given_by_its_class_or_name_with_or_without_more(spec: Any) -> None:
    assert type(built(spec).role) is Trainer


def test_options_go_to_the_constructor() -> None:
    role = built({"class": Picky, "options": {"num_rounds": 3, "ratio": 0.1}}).role
    assert isinstance(role, Picky)
    assert role.given == (3, 0.1)


def test_the_configuration_can_be_read_and_edited_before_building() -> None:
    spec = {"class": Picky, "options": {"num_rounds": 3}}
    builder = RoleBuilder("r", spec)
    assert builder.config == (Picky, {"num_rounds": 3}, {})
    builder.config.options["num_rounds"] = 4
    builder.build()
    assert builder.role.given == (4, 0.5)  # type: ignore[union-attr]
    assert spec == {"class": Picky, "options": {"num_rounds": 3}}


def test_building_again_does_nothing() -> None:
    builder = built(Trainer)
    role = builder.role
    builder.build()
    assert builder.role is role


def test_implementations_are_found_under_standardised_names() -> None:
    impls = built({"class": Trainer, "impl": {"big_model": {"class": Model}, "data": {"impl": {}}}}).impls
    assert impls == {"big-model": ElementImplementation(cls=Model), "data": ElementImplementation(impl={})}


def test_a_role_without_class_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="r: a role needs the key 'class'"):
        RoleBuilder("r", {"options": {}})


WRONG: list[tuple[Any, type[Exception], str]] = [
    (f"{__name__}.Trainr", AttributeError, r"^r: cannot import .*did you mean 'Trainer'\?"),
    ({"class": f"{__name__}.Trainr"}, AttributeError, r"^r.class: cannot import .*did you mean 'Trainer'\?"),
    ({"class": "no_such_package.Trainer"}, ModuleNotFoundError, r"^r.class: .*no module 'no_such_package'"),
    ({"class": Model}, TypeError, r"^r.class: .*Model.* is not a role class"),
    (
        {"class": Trainer, "impl": {"big_modle": {}}},
        RuntimeError,
        r"^r.impl.big_modle: unknown element 'big_modle' of role class Trainer; did you mean 'big-model'\?",
    ),
    (
        {"class": Trainer, "impl": {"big_model": {"class": Model}, "big-model": {"class": Model}}},
        TypeError,
        r"^r.impl.big-model: 'big-model' and 'big_model' are the same element",
    ),
    (
        {"class": Picky, "options": {"num_round": 3, "num_rounds": 3}},
        TypeError,
        r"^r.options.num_round: unknown option 'num_round' of role class Picky; did you mean 'num_rounds'\?",
    ),
    ({"class": Picky, "options": {"ratio": 3}}, TypeError, r"^r.options: .* needs the option 'num_rounds'"),
    (
        {"class": Strict, "impl": {"model": {"class": "builtins.dict"}}},
        TypeError,
        r"^r.impl.model.class: dict is no subclass of the type of Strict.model, .*\.Model(\n|$)",
    ),
    (
        {"class": Strict, "impl": {"model": {"impl": b"bytes"}}},
        TypeError,
        r"^r.impl.model.impl: a bytes is no instance of the type of Strict.model, .*\.Model(\n|$)",
    ),
    (Picky, TypeError, r"^r: role class Picky needs the option 'num_rounds'"),
    (
        {"class": Trainer, "impl": {"data": {"class": "a_b_c.D"}}},
        ModuleNotFoundError,
        r"^r.impl.data.class: ",
    ),
]


@pytest.mark.parametrize(("spec", "kind", "text"), WRONG)
def test_what_is_wrong_is_named_with_the_nearest_valid_name(
    spec: Any, kind: type[Exception], text: str
) -> None:
    builder = RoleBuilder("r", spec)
    with pytest.raises(kind, match=text) as info:
        builder.build()
    assert isinstance(info.value, ConfigError)
    assert builder.role is None


def test_all_that_is_wrong_with_a_role_is_shown_at_once() -> None:
    spec = {"class": Picky, "options": {"x": 1}, "impl": {"model": {"serializer": "nothing"}}}
    with pytest.raises(ConfigError) as info:
        built(spec)
    assert [problem.path for problem in info.value.problems] == [
        ("r", "options", "x"),
        ("r", "options"),
        ("r", "impl", "model"),
        ("r", "impl", "model", "serializer"),
    ]


def test_a_role_that_accepts_any_option_gets_any_option() -> None:
    role = built({"class": Relaxed, "options": {"whatever": 1}}).role
    assert isinstance(role, Relaxed)
    assert role.options == {"whatever": 1}
    built({"class": Trainer, "options": {"whatever": 1}})


def test_a_module_that_fails_to_import_is_shown_with_its_cause(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_module_for_roles.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ImportError, match=r"r.class: importing .* failed with ZeroDivisionError: .* \(at .*py:\d+\)"
    ) as info:
        built({"class": "failing_module_for_roles.X"})
    assert isinstance(info.value.__cause__, ZeroDivisionError)


def test_what_the_constructor_raises_comes_through() -> None:
    class Failing(Role):
        def __init__(self) -> None:
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        built(Failing)


# -- installing ------------------------------------------------


def test_installing_adds_the_role_and_implements_its_elements() -> None:
    builder = built({"class": Trainer, "impl": {"data": {"construct_strategy": "once_eager", "class": dict}}})
    host = actor()
    builder.install(host)
    assert host.roles == {"r": builder.role}
    impl = ElementImplementation(cls=dict, construct_strategy=ConstructStrategy.ONCE_EAGER)
    assert host.done == [("add_role", "r"), ("implement_element", "r", "data", impl)]


def test_installing_may_start_the_role() -> None:
    host = actor()
    built(Trainer).install(host, start=True)
    assert host.done == [("add_role", "r"), ("start_role", "r")]


def test_installing_before_building_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="before it is built"):
        RoleBuilder("r", Trainer).install(actor())


@pytest.mark.parametrize("step", ["implement_element", "start_role"])
def test_a_failure_after_adding_removes_the_role_again(step: str) -> None:
    host = actor(fails_at=step)
    with pytest.raises(OSError, match=step):
        built({"class": Trainer, "impl": {"data": {"class": dict}}}).install(host, start=True)
    assert host.done[-1] == ("stop_role", "r")
    assert host.roles == {}


def test_a_role_can_be_built_installed_and_started_in_one_step() -> None:
    host = actor()
    assert install_role(host, "r", {"class": named(Trainer)}) is Trainer
    assert [what for what, *_ in host.done] == ["add_role", "start_role"]


HIDDEN = "unknown argument 'hiden' of Net; did you mean 'hidden'?"


@pytest.mark.parametrize(
    ("impl", "problems"),
    [
        (
            {"net": {"class": Net, "constructor_args": {"hiden": 1, "hidden": 2}}},
            [f"r.impl.net.constructor_args.hiden: {HIDDEN}"],
        ),
        (
            {"net": {"constructor": Net, "constructor_args": {"lr": 1}}},
            ["r.impl.net.constructor_args: Net needs the argument 'hidden'"],
        ),
        (
            {"prepared": {"class": Net}},
            ["r.impl.prepared.class: Net needs the argument 'hidden'"],
        ),
        (
            {"prepared": {"constructor_args": {"hiden": 1}}},
            [
                f"r.impl.prepared.constructor_args.hiden: {HIDDEN}",
                "r.impl.prepared.constructor_args: Net needs the argument 'hidden'",
            ],
        ),
        (
            {"shape": {"class": Shape}},
            [f"r.impl.shape.class: {named(Shape)} is abstract: name a class that implements it"],
        ),
    ],
)
def test_what_constructing_an_element_would_fail_of_is_told_with_its_place(
    impl: dict[str, Any], problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as info:
        built({"class": Drawer, "impl": impl})
    assert [str(problem) for problem in info.value.problems] == problems


@pytest.mark.parametrize(
    "impl",
    [
        {"net": {"class": Net}},  # the role may call self.net(hidden=3)
        {"net": {"constructor": make_net, "constructor_args": {"anything": 1}}},
        {"net": {"class": dict, "constructor_args": {"a": 1}}},  # no signature
        {"prepared": {"impl": Net(1)}},
        {"shape": {"class": Shape, "deserializer": "pickle", "deserializer_source": "shape"}},
    ],
)
def test_what_may_well_be_constructed_is_not_complained_of(impl: dict[str, Any]) -> None:
    built({"class": Drawer, "impl": impl})


# -- presets ------------------------------------------------

OWN = {"class": "builtins.dict"}
PRESET = {"impl": {"from": "preset"}}


def impls_with_preset(own: dict[str, Any], cls: type[Role] = Trainer) -> dict[str, ElementImplementation]:
    return built({"class": cls, "impl": own}).impls


def test_a_preset_fills_what_the_role_leaves_open() -> None:
    RoleBuilder.update_element_preset(Trainer, {"data": PRESET})
    assert impls_with_preset({})["data"].impl == {"from": "preset"}
    assert set(impls_with_preset({"big_model": {"class": Model}})) == {"data", "big-model"}


def test_the_own_implementation_wins_unless_the_preset_is_to_win() -> None:
    RoleBuilder.update_element_preset(named(Trainer), {"big_model": PRESET})
    assert impls_with_preset({"big-model": OWN})["big-model"].cls is dict
    RoleBuilder.update_element_preset(Trainer, on_conflict="Preset")
    assert impls_with_preset({"big-model": OWN})["big-model"].impl == {"from": "preset"}
    assert impls_with_preset({"big-model": OWN})["big-model"].cls is object


def test_a_conflict_may_be_an_error() -> None:
    RoleBuilder.update_element_preset(Trainer, {"big-model": PRESET}, "error")
    assert set(impls_with_preset({"data": OWN})) == {"big-model", "data"}
    with pytest.raises(TypeError, match=r"r.impl.big_model: there is a preset"):
        impls_with_preset({"big_model": OWN})


def test_presets_are_inherited_from_the_first_role_base_and_replaced_by_an_own_one() -> None:
    RoleBuilder.update_element_preset(Trainer, {"data": PRESET})
    assert impls_with_preset({}, Mixed)["data"].impl == {"from": "preset"}
    RoleBuilder.update_element_preset(SpecialTrainer, {"extra": PRESET})
    assert set(impls_with_preset({}, Mixed)) == {"extra"}
    assert set(impls_with_preset({}, Trainer)) == {"data"}
    assert RoleBuilder.find_element_preset(Picky) is None


def test_presets_add_up_and_are_copies() -> None:
    given: dict[str, Any] = {"data": {"impl": {"n": 1}}}
    before = copy.deepcopy(given)
    RoleBuilder.update_element_preset(Trainer, given)
    RoleBuilder.update_element_preset(Trainer, {"big_model": OWN})
    found = RoleBuilder.find_element_preset(Trainer)
    assert found == {"elements": {"data": {"impl": {"n": 1}}, "big-model": OWN}, "on_conflict": "override"}
    found["elements"]["data"]["impl"]["n"] = 2
    built(Trainer).impls["data"].impl["n"] = 3
    assert given == before
    assert RoleBuilder.find_element_preset(Trainer)["elements"]["data"] == {"impl": {"n": 1}}  # type: ignore[index]
    RoleBuilder.clear_element_preset()
    assert RoleBuilder.find_element_preset(Trainer) is None


def test_only_role_classes_have_presets() -> None:
    with pytest.raises(TypeError, match="not a role class"):
        RoleBuilder.update_element_preset(dict, {})  # type: ignore[arg-type]


def test_a_preset_for_an_unknown_element_is_an_error_of_the_role_that_gets_it() -> None:
    RoleBuilder.update_element_preset(Trainer, {"dat": PRESET})
    with pytest.raises(
        UnknownElementError, match=r"element_preset.Trainer.elements.dat: .*did you mean 'data'"
    ):
        built(Trainer)
