from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.builders import components
from roleml.core.builders.actor import ActorBuilder, BaseActorBuilder
from roleml.core.builders.errors import ConfigError
from roleml.core.builders.role import RoleBuilder
from roleml.core.builders.schema import Field, Record, Text
from roleml.core.builders.spec import ACTOR
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service
from roleml.core.role.elements import Element
from roleml.core.role.types import Message
from roleml.messaging.exceptions import HandshakeError
from roleml.shared.yml import BrokenFileError

order: list[str] = []


class Shop(Role):
    stock = Element(dict, default_destructor=lambda _: order.append("destruct"))

    def __init__(self, price: int = 1) -> None:
        super().__init__()
        self.price = price

    @Service(expand=True)
    def get_price(self, _: RoleInstanceID) -> int:
        return self.price

    @Service(expand=True)
    def get_stock(self, _: RoleInstanceID) -> Any:
        return self.stock()


class Failing(Role):
    def __init__(self) -> None:
        raise OSError("no disk")


class Stock(dict):  # type: ignore[type-arg]
    def __init__(self, **content: int) -> None:
        super().__init__(content)
        order.append("construct")


class FakeActor:
    def __init__(self, ctx: Context, handshakes: Sequence[str]) -> None:
        order.append("actor")
        self.ctx = ctx
        self.handshakes = list(handshakes)
        self.roles: dict[str, Role] = {}
        self.stopped = False

    def add_role(self, name: str, role: Role) -> None:
        order.append(f"add {name}")
        self.roles[name] = role

    def implement_element(self, name: str, element: str, impl: Any) -> None:
        order.append(f"implement {name}.{element}")

    def stop_role(self, name: str) -> None:
        del self.roles[name]

    def stop(self) -> None:
        self.stopped = True


class FakeBuilder(BaseActorBuilder[Any]):
    """Builds no real actor: nothing is connected."""

    def _create_actor(self, ctx: Context, handshakes: Sequence[str]) -> Any:
        return FakeActor(ctx, handshakes)


@pytest.fixture(autouse=True)
def restored_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Building changes the working directory, `sys.path` and the log of the process."""
    root = logging.getLogger("roleml")
    before, level, path = root.handlers[:], root.level, sys.path[:]
    root.handlers.clear()
    monkeypatch.chdir(tmp_path)
    components._announced.clear()
    order.clear()
    yield
    sys.path[:] = path
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    RoleBuilder.clear_element_preset()


def loaded(config: dict[str, Any], builder_class: Callable[[], Any] = FakeBuilder) -> Any:
    builder = builder_class()
    builder.load_config(config)
    return builder


def built(config: dict[str, Any]) -> Any:
    return loaded(config).build()


def named(thing: Any) -> str:
    return f"{__name__}.{thing.__name__}"


# -- loading ------------------------------------------------


def test_the_defaults_are_the_documented_ones() -> None:
    builder = ActorBuilder()
    assert builder.profile is None
    for name in ("relationships", "relationship_links", "contacts", "roles", "element_preset"):
        assert getattr(builder, name) == {}
    assert (builder.handshakes, builder.handwaves) == ([], [])
    assert (builder.workdir, builder.src, builder.seed) == (".", None, -1)
    assert (builder.log_file_path, builder.log_file_level) == (None, "INFO")
    assert (builder.log_console_type, builder.log_console_level, builder.debug) == ("single", "INFO", False)
    assert (builder.broker, builder.allow_pickle) == ("embedded://", None)


def test_a_configuration_sets_the_attributes() -> None:
    builder = loaded(
        {
            "name": "a",
            "address": "1.2.3.4:5",
            "roles": {"shop": {"class": Shop, "options": {"price": 2}}, "other": named(Shop)},
            "relationships": {"x": ["b/shop", "/shop"], "y": "b/shop", "z": {RoleInstanceID("c", "d")}},
            "relationship_links": {"xx": "x"},
            "contacts": {"b": "addr"},
            "handwaves": ["b"],
            "log_console_type": "Shared",
            "seed": 7,
            "src": None,
        }
    )
    assert builder.profile == ActorProfile("a", "1.2.3.4:5")
    assert builder.profile.address == "1.2.3.4:5"
    assert list(builder.roles) == ["shop", "other"]
    assert builder.roles["shop"].config.options == {"price": 2}
    b, own = RoleInstanceID("b", "shop"), RoleInstanceID("a", "shop")
    assert builder.relationships == {"x": [b, own], "y": [b], "z": [RoleInstanceID("c", "d")]}
    assert (builder.relationship_links, builder.contacts, builder.handwaves) == (
        {"xx": "x"},
        {"b": "addr"},
        ["b"],
    )
    assert (builder.log_console_type, builder.seed, builder.src) == ("shared", 7, None)


def test_a_second_configuration_is_refused() -> None:
    builder = loaded({"name": "a"})
    with pytest.raises(RuntimeError, match="another builder"):
        builder.load_config({"name": "b"})


def test_a_failed_load_can_be_repeated() -> None:
    builder = FakeBuilder()
    with pytest.raises(KeyError):
        builder.load_config({})
    builder.load_config({"name": "b"})
    assert builder.profile == ActorProfile("b")


def test_building_without_profile_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no profile"):
        FakeBuilder().build()


def test_changing_the_configuration_after_loading_changes_nothing() -> None:
    kept = object()
    config: dict[str, Any] = {
        "name": "a",
        "roles": {
            "shop": {"class": Shop, "impl": {"stock": {"class": Stock, "constructor_args": {"n": {"i": 1}}}}}
        },
        "relationships": {"x": ["b/c"]},
        "contacts": {"b": ""},
    }
    config["roles"]["shop"]["impl"]["stock"]["constructor_args"]["kept"] = kept
    builder = loaded(config)
    config["roles"]["shop"]["impl"]["stock"]["constructor_args"]["n"]["i"] = 2
    config["relationships"]["x"].append("d/e")
    config["contacts"]["c"] = ""
    builder.build()
    impl = builder.roles["shop"].impls["stock"]
    assert impl.constructor_args == {"n": {"i": 1}, "kept": kept}
    assert builder.relationships == {"x": [RoleInstanceID("b", "c")]}
    assert builder.contacts == {"b": ""}


def test_instance_names_are_parsed_by_the_builder() -> None:
    assert loaded({"name": "a", "relationships": {"x": ["b"]}}, ActorBuilder).relationships == {
        "x": [RoleInstanceID("b", "actor")]
    }
    with pytest.raises(ConfigError, match=r"relationships.x\[1\]: 'b' is not a role instance"):
        loaded({"name": "a", "relationships": {"x": ["b/c", "b"]}})
    for text in ("a/b/c", "b/", "/", ""):
        with pytest.raises(ValueError, match=r"relationships.x: .* is not a role instance"):
            loaded({"name": "a", "relationships": {"x": text}}, ActorBuilder)


# -- building ------------------------------------------------


def test_building_happens_in_the_documented_order() -> None:
    class Watching(FakeBuilder):
        def _build_messaging(self, ctx: Context, logger: logging.Logger) -> None:
            order.append("messaging")
            super()._build_messaging(ctx, logger)

        def _build_roles(self) -> None:
            order.append("roles")
            super()._build_roles()

    stock = {"class": Stock}
    roles = {"s": {"class": Shop, "impl": {"stock": stock}}, "t": {"class": Shop}}
    loaded({"name": "a", "roles": roles, "handshakes": ["b"]}, Watching).build()
    assert order == ["messaging", "roles", "actor", "add s", "implement s.stock", "add t"]


def test_the_context_is_made_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    actor = built(
        {
            "name": "a",
            "workdir": "work",
            "src": "sources",
            "seed": 7,
            "relationships": {"x": ["b/c"]},
            "relationship_links": {"y": "x"},
            "contacts": {"b": "addr"},
            "handshakes": ["b"],
            "handwaves": ["c"],
        }
    )
    ctx = actor.ctx
    assert (ctx.workdir, ctx.src, ctx.seed) == (str(tmp_path / "work"), str(tmp_path / "sources"), 7)
    assert set(ctx.relationships.get_relationship_view("y")) == {("b", "c")}
    assert ctx.contacts.get_actor_profile("b").address == "addr"
    assert (ctx.handwaves, actor.handshakes) == (["c"], ["b"])
    assert os.getcwd() == ctx.workdir
    assert ctx.src in sys.path


def test_attributes_may_be_set_without_a_configuration() -> None:
    builder = FakeBuilder()
    builder.profile = ActorProfile("a", "")
    builder.relationships = {"x": ["/s", RoleInstanceID("b", "c")]}
    builder.roles["s"] = RoleBuilder("s", Shop)
    actor = builder.build()
    assert set(actor.ctx.relationships.get_relationship_view("x")) == {("a", "s"), ("b", "c")}
    assert isinstance(actor.roles["s"], Shop)


def test_role_options_may_be_edited_between_loading_and_building() -> None:
    builder = loaded({"name": "a", "roles": {"s": {"class": Shop, "options": {"price": 1}}}})
    builder.roles["s"].config.options["price"] = 9
    assert builder.build().roles["s"].price == 9


def test_presets_apply_to_all_roles_of_the_class() -> None:
    preset = {named(Shop): {"elements": {"stock": {"impl": {"n": 1}}}}}
    builder = loaded({"name": "a", "roles": {"s": Shop, "t": Shop}, "element_preset": preset})
    builder.build()
    assert [role.impls["stock"].impl for role in builder.roles.values()] == [{"n": 1}, {"n": 1}]


def test_a_builder_for_another_actor_may_add_keys() -> None:
    class Extended(FakeBuilder):
        spec = Record("actor", "a configuration", {**ACTOR.fields, "colour": Field(Text(), "of the actor")})
        colour = "none"

        def _load_config(self, config: dict[str, Any]) -> None:
            super()._load_config(config)
            self.colour = config["colour"]

    assert loaded({"name": "a", "colour": "red"}, Extended).colour == "red"
    with pytest.raises(TypeError, match=r"did you mean 'colour'\?"):
        loaded({"name": "a", "color": "red"}, Extended)


# -- what goes wrong ------------------------------------------------


NO_ROLE = "collections.OrderedDict"
NO_SHP = f"cannot import '{__name__}.Shp': module '{__name__}' has no attribute 'Shp'; did you mean 'Shop'?"
NO_COMPONENT = (
    "one of the component classes that are accepted here; choose the broker with the key 'broker' instead"
)


def test_all_wrong_names_are_shown_at_once(caplog: pytest.LogCaptureFixture) -> None:
    config = {
        "name": "a",
        "roles": {
            "s": {"class": Shop, "impl": {"stok": {}}},
            "t": f"{__name__}.Shp",
            "u": {"class": Shop, "options": {"prise": 1}},
            "v": {"class": Shop, "impl": {"stock": {"class": "no_such_pkg.Stock"}}},
            "w": named(Stock),
        },
        "element_preset": {NO_ROLE: {}},
        "procedure_invoker": NO_ROLE,
    }
    with pytest.raises(ConfigError) as info:
        built(config)
    assert [str(problem) for problem in info.value.problems] == [
        f"element_preset.{NO_ROLE}: {NO_ROLE!r} is not a role class, so it has no elements",
        "roles.s.impl.stok: unknown element 'stok' of role class Shop; did you mean 'stock'?",
        f"roles.t: {NO_SHP}",
        "roles.u.options.prise: unknown option 'prise' of role class Shop; did you mean 'price'?",
        "roles.v.impl.stock.class: cannot import 'no_such_pkg.Stock': there is no module 'no_such_pkg'",
        f"roles.w: '{named(Stock)}' is not a role class (a subclass of roleml.essentials.Role)",
        f"procedure_invoker: {NO_ROLE!r} is not {NO_COMPONENT}",
    ]
    assert order == []
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [text.splitlines()[0] for text in errors] == [
        "actor a cannot be built: 7 problems in the configuration:"
    ]


def test_the_same_can_be_checked_without_building(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "role_module_to_check.py").write_text(
        "from roleml.core.role.base import Role\nclass Fine(Role): pass\n"
    )
    path = sys.path[:]
    loaded({"name": "a", "src": "lib", "roles": {"r": "role_module_to_check.Fine"}}).check()
    with pytest.raises(AttributeError, match=r"did you mean 'Fine'\?"):
        loaded({"name": "a", "src": "lib", "roles": {"r": "role_module_to_check.Fin"}}).check()
    assert sys.path == path
    assert order == []


def test_an_error_of_a_role_constructor_is_logged_and_raised(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OSError, match="no disk"):
        built({"name": "a", "roles": {"r": Failing}})
    assert "actor a cannot be built" in caplog.text


def out_of_order() -> Any:
    raise OSError("out of order")


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        (f"roles: {{r: {named(Failing)}}}", OSError, "2:9: roles.r"),
        (
            f"roles:\n  s:\n    class: {named(Shop)}\n    impl:\n      stock:\n"
            f"        constructor: {__name__}.out_of_order\n        construct_strategy: once_eager",
            OSError,
            "6:7: roles.s.impl.stock",
        ),
        ("workdir: /nowhere/at/all", FileNotFoundError, "2:1: workdir"),
        ("log_file_path: logs/$tim", KeyError, "2:1: log_file_path"),
        ("relationships: {x: a/b}\nrelationship_links: {x: y}", ValueError, "3:1: relationship_links"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_what_configured_code_raises_has_its_place_in_a_note_and_no_traceback_in_the_log(
    text: str,
    kind: type[Exception],
    place: str,
    debug: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"name: a\n{text}\ndebug: {str(debug).lower()}\n")
    with pytest.raises(kind) as info:
        ActorBuilder.from_file(file).build()
    assert f"configured at {file}:{place}" in info.value.__notes__
    for record in caplog.records:
        if record.levelno == logging.ERROR:
            told = record.getMessage()
            assert f"configured at {file}:{place}" in told
            assert f"raised at {__file__}:" in told
            assert bool(record.exc_info) is debug
            assert ("debug: true shows the traceback" in told) is not debug


def test_an_actor_whose_roles_cannot_be_added_is_stopped() -> None:
    class Broken(FakeBuilder):
        def _setup(self, actor: Any) -> None:
            raise OSError("no")

    builder = loaded({"name": "a"}, Broken)
    with pytest.raises(OSError, match="no"):
        builder.build()
    assert builder.artifacts.actor.stopped


def test_an_unknown_name_in_the_log_path_is_an_error() -> None:
    with pytest.raises(KeyError, match="tme"):
        built({"name": "a", "log_file_path": "logs/$tme"})


# -- files ------------------------------------------------


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_builder_can_be_made_from_a_file(config_file: Callable[..., Path]) -> None:
    path = config_file(f"name: a\nroles:\n  s: {{class: {named(Shop)}, options: {{price: 3}}}}\n")
    assert FakeBuilder.from_file(path).build().roles["s"].price == 3
    path = config_file('{"name": "b"}', "config.json")
    assert FakeBuilder.from_file(str(path)).profile == ActorProfile("b")


def test_a_broken_file_is_explained(config_file: Callable[..., Path]) -> None:
    path = config_file("name: a\nroles:\n\ts: x\n")
    with pytest.raises(BrokenFileError, match=r"config.yaml:3:1: .*blanks instead of tabs"):
        FakeBuilder.from_file(path)


def test_a_file_without_mapping_is_a_type_error(config_file: Callable[..., Path]) -> None:
    with pytest.raises(TypeError, match=r"config.yaml:1:1: a configuration is a mapping .* here is a list"):
        FakeBuilder.from_file(config_file("- name\n"))


def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FakeBuilder.from_file(tmp_path / "none.yaml")


FILE = f"""\
name: a
roles:
  shop:
    class: {__name__}.Shop
    impl:
      stok:
        class: builtins.dict
  other:
    class: {__name__}.Shp
relationships:
  x: [b/c]
"""


def test_a_misspelt_key_is_shown_with_its_place(config_file: Callable[..., Path]) -> None:
    path = config_file(FILE.replace("impl:", "imple:"))
    with pytest.raises(ConfigError) as info:
        FakeBuilder.from_file(path)
    assert (
        str(info.value)
        == f"{path}:5:5: roles.shop.imple: unknown key 'imple' of a role; did you mean 'impl'?"
    )


def test_misspelt_elements_and_classes_are_shown_with_their_places(config_file: Callable[..., Path]) -> None:
    path = config_file(FILE)
    with pytest.raises(ConfigError) as info:
        FakeBuilder.from_file(path).build()
    assert [str(problem) for problem in info.value.problems] == [
        f"{path}:6:7: roles.shop.impl.stok: unknown element 'stok' of role class Shop; did you mean 'stock'?",
        f"{path}:9:12: roles.other.class: {NO_SHP}",
    ]


def test_a_wrong_instance_name_is_shown_with_its_place(config_file: Callable[..., Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"config.yaml:3:12: relationships.x\[1\]: 'b' is not a role instance"
    ):
        FakeBuilder.from_file(config_file("name: a\nrelationships:\n  x: [a/b, b]\n"))


def test_a_wrong_component_is_shown_with_its_place(config_file: Callable[..., Path]) -> None:
    path = config_file("name: a\nmessaging_component:\n  type: builtins.dict\n")
    with pytest.raises(
        TypeError, match=r"config.yaml:3:9: messaging_component.type: 'builtins.dict' is not one"
    ):
        FakeBuilder.from_file(path).build()


# -- messaging ------------------------------------------------

OLD = "roleml.extensions.messaging"
COMPONENTS = [
    ("procedure_invoker", f"{OLD}.invokers.requests.RequestsProcedureInvoker"),
    ("procedure_provider", f"{OLD}.providers.flask.FlaskProcedureProvider"),
    ("procedure_invoker", f"{OLD}.default.separate.DefaultProcedureInvoker"),
    ("procedure_provider", f"{OLD}.default.separate.DefaultProcedureProvider"),
    ("messaging_component", f"{OLD}.comb.grpc.component.GRPCMessagingComponent"),
    ("messaging_component", f"{OLD}.default.comb.DefaultMessagingComponent"),
    ("collective_implementor", "roleml.core.actor.group.impl.threaded.ThreadedCollectiveImplementor"),
]


def artifacts_of(config: dict[str, Any]) -> tuple[str, str]:
    builder = loaded({"name": "a", **config})
    builder.build()
    return builder.artifacts.broker, builder.artifacts.collective


@pytest.mark.parametrize(("key", "name"), COMPONENTS)
def test_published_component_names_are_accepted_and_announced_once(
    key: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    short_name = name.rpartition(".")[2]
    for value in (name, {"type": name, "options": {"host": "0.0.0.0"}}):
        assert artifacts_of({key: value})[0] == "embedded://"
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{short_name} is accepted, but the broker does this work now: {key!r} needs no value any more"
    ]


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        (
            "sequential.SequentialCollectiveImplementor",
            "the members of a group are called one after the other",
        ),
        ("null.CollectiveImplementorDisabled", "group calls are refused"),
    ],
)
def test_a_component_that_still_has_an_effect_is_announced_with_it(
    name: str, effect: str, caplog: pytest.LogCaptureFixture
) -> None:
    artifacts_of({"collective_implementor": f"roleml.actor.group.impl.{name}"})
    assert f"{name.partition('.')[2]} is accepted: {effect}. Without 'collective_implementor'," in caplog.text


def test_component_classes_are_accepted_like_their_names() -> None:
    from roleml.extensions.messaging.invokers.requests import RequestsProcedureInvoker

    assert artifacts_of({"procedure_invoker": RequestsProcedureInvoker}) == ("embedded://", "parallel")


def test_a_component_under_another_key_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="FlaskProcedureProvider belongs to another key"):
        artifacts_of({"procedure_invoker": f"{OLD}.providers.flask.FlaskProcedureProvider"})


def test_group_calls_are_parallel_unless_configured_otherwise() -> None:
    assert artifacts_of({})[1] == "parallel"
    impl = "roleml.core.actor.group.impl"
    for name, mode in [
        ("threaded.ThreadedCollectiveImplementor", "parallel"),
        ("sequential.SequentialCollectiveImplementor", "sequential"),
        ("null.CollectiveImplementorDisabled", "disabled"),
    ]:
        assert artifacts_of({"collective_implementor": f"{impl}.{name}"})[1] == mode


NULL = "roleml.core.messaging.null"


@pytest.mark.parametrize(
    ("config", "broker"),
    [
        ({"messaging_component": f"{NULL}.MessagingComponentDisabled"}, "disabled://"),
        ({"procedure_invoker": f"{NULL}.ProcedureInvokerDisabled"}, "disabled://"),
        (
            {
                "procedure_invoker": f"{NULL}.ProcedureInvokerDisabled",
                "procedure_provider": f"{NULL}.ProcedureProviderDisabled",
            },
            "disabled://",
        ),
        (
            {
                "procedure_invoker": f"{OLD}.invokers.requests.RequestsProcedureInvoker",
                "procedure_provider": f"{NULL}.ProcedureProviderDisabled",
            },
            "embedded://",
        ),
        (
            {
                "messaging_component": f"{OLD}.default.comb.DefaultMessagingComponent",
                "procedure_invoker": f"{NULL}.ProcedureInvokerDisabled",
            },
            "embedded://",
        ),
    ],
)
def test_messaging_is_disabled_when_all_named_components_are(
    config: dict[str, Any], broker: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert artifacts_of(config)[0] == broker
    assert ("network messaging is disabled" in caplog.text) == (broker == "disabled://")


def test_the_environment_replaces_the_configured_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert artifacts_of({"broker": "embedded://x"})[0] == "embedded://x"
    monkeypatch.setenv("ROLEML_BROKER", "embedded://y")
    assert artifacts_of({"broker": "embedded://x"})[0] == "embedded://y"
    disabled = {"messaging_component": f"{NULL}.MessagingComponentDisabled"}
    assert artifacts_of(disabled)[0] == "disabled://"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ampq://user:hidden@host", "'ampq://user:...@host' is no URL of a broker; did you mean amqp://?"),
        ("disabled", "'disabled' is no URL of a broker; did you mean disabled://?"),
        ("localhost:5672", "one begins with amqp://, amqps://, embedded://, disabled://"),
        ("amqp://host?heartbat=5", "did you mean 'heartbeat'?"),
        ("amqps://host?cafile=none", "names files that cannot be used"),
    ],
)
def test_a_broker_url_with_a_mistake_is_told_with_its_place(url: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"name: a\nbroker: {url}\n")
    with pytest.raises(ConfigError) as info:
        FakeBuilder.from_file(file).build()
    assert str(info.value).startswith(f"{file}:2:9: broker: ")
    assert text in str(info.value)
    assert "hidden" not in str(info.value)


def test_a_mistake_in_the_environment_is_told_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: a\nbroker: embedded://\n")
    monkeypatch.setenv("ROLEML_BROKER", "embeded://")
    with pytest.raises(ConfigError) as info:
        FakeBuilder.from_file(file).build()
    assert str(info.value) == (
        "broker: 'embeded://' is no URL of a broker; did you mean embedded://? "
        "(given by the environment variable ROLEML_BROKER)"
    )


# -- logging ------------------------------------------------


def test_the_log_goes_to_the_console_and_to_a_file_of_the_actor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actor = built({"name": "a", "log_file_path": "logs/$seed", "seed": 7, "log_file_level": "debug"})
    line = f"working directory is {tmp_path}, source directory is {tmp_path}"
    file = tmp_path / "logs" / "7" / f"a-{actor.ctx.start_time_formatted}.log"
    assert line in file.read_text()
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("path", ["", None])
def test_without_a_path_there_is_no_file(path: str | None, tmp_path: Path) -> None:
    built({"name": "a", "log_file_path": path})
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    built({"name": "a", "debug": True})
    logging.getLogger("roleml.test").debug("something small")
    assert "something small" in capsys.readouterr().out


# -- real actors ------------------------------------------------


def test_a_built_actor_hosts_its_roles_and_serves_others() -> None:
    shop = {
        "class": Shop,
        "options": {"price": 5},
        "impl": {"stock": {"class": Stock, "constructor_args": {"n": 2}}},
    }
    server = loaded({"name": "server", "roles": {"shop": shop}}, ActorBuilder).build()
    client = loaded({"name": "client", "relationships": {"seller": ["server/shop"]}}, ActorBuilder).build()
    try:
        assert isinstance(server, Actor)
        server.start()
        client.start()
        assert client.call("buyer", "seller", "get-price", Message()) == 5
        assert order == []
        assert client.call("buyer", RoleInstanceID("server", "shop"), "get_stock", Message()) == {"n": 2}
        assert order == ["construct"]
    finally:
        client.stop()
        server.stop()
    assert order == ["construct", "destruct"]


def test_eager_elements_are_constructed_by_building() -> None:
    stock = {"class": Stock, "construct_strategy": "once_eager"}
    actor = loaded(
        {"name": "a", "roles": {"s": {"class": Shop, "impl": {"stock": stock}}}}, ActorBuilder
    ).build()
    assert order == ["construct"]
    actor.stop()
    assert order == ["construct", "destruct"]


def test_a_failed_build_leaves_the_name_free() -> None:
    def fail() -> dict[str, Any]:
        raise OSError("no disk")

    stock: dict[str, Any] = {"constructor": fail, "construct_strategy": "once_eager"}
    config = {"name": "a", "roles": {"s": {"class": Shop, "impl": {"stock": stock}}}}
    with pytest.raises(OSError, match="no disk"):
        loaded(config, ActorBuilder).build()
    loaded({"name": "a"}, ActorBuilder).build().stop()


def test_a_failed_handshake_fails_the_build() -> None:
    with pytest.raises(HandshakeError, match="nobody"):
        loaded({"name": "a", "handshakes": ["nobody"]}, ActorBuilder).build()
    loaded({"name": "a"}, ActorBuilder).build().stop()


def test_a_managed_actor_builds_assigned_roles() -> None:
    actor = loaded({"name": "a", "relationships": {"manager": ["a/boss"]}}, ActorBuilder).build()
    actor.start()
    try:
        spec = {"class": named(Shop), "options": {"price": 8}}
        actor.call_task("boss", "/", "assign-role", Message({"name": "shop", "spec": spec})).result(10)
        assert actor.call("boss", "shop", "get-price", Message()) == 8
    finally:
        actor.stop()


def test_a_base_actor_can_be_built_by_a_builder_of_its_own() -> None:
    class Builder(BaseActorBuilder[BaseActor]):
        def _create_actor(self, ctx: Context, handshakes: Sequence[str]) -> BaseActor:
            return BaseActor(ctx, broker=self.artifacts.broker, handshakes=handshakes)

    with loaded({"name": "a", "roles": {"s": Shop}}, Builder).build() as actor:
        actor.start()
        assert actor.call("x", "s", "get-price", Message()) == 1
