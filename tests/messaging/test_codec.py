"""What travels comes back equal and of the same type; what does not is refused with a way out."""

from __future__ import annotations

import datetime as dt
import enum
import math
import subprocess
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import InitVar, dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.codec import Body, Codec, register_dataclass, register_named_tuple
from roleml.messaging.exceptions import DecodeError, EncodeError

codec = Codec()


def sent(value: Any, using: Codec = codec) -> Any:
    """The value as another process would see it."""
    return using.decode(Body.from_frame(using.encode(value).to_frame()))


def same(one: Any, other: Any) -> bool:
    """Equal, of the same type, and the same inside; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b)
            for pair in zip(one.items(), other.items(), strict=True)
            for a, b in zip(*pair, strict=True)
        )
    if is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (
            one == other or (one != one and other != other)
        )
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    return repr(one) == repr(other) if isinstance(one, Decimal) else bool(one == other)


def forged(tag: int, *parts: Any) -> Body:
    """A body as another implementation, or a stranger, could write it."""
    return Body(msgpack.packb([msgpack.ExtType(tag, b""), *parts]))


class Color(enum.Enum):
    RED = "r"
    CRIMSON = "r"  # noqa: PIE796 - an alias
    BLUE = [1, 2]


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3
    RUN = 8


class Bits(enum.IntFlag):
    A = 1
    B = 4


class Outer:
    class Inner(enum.Enum):
        X = 1


@register_named_tuple
class Place(NamedTuple):
    actor: str
    role: str = "actor"


@register_dataclass
@dataclass(frozen=True)
class Update:
    layers: list[Any]
    where: Place = Place("a")  # noqa: RUF009 - immutable
    tags: frozenset[str] = frozenset()


@register_dataclass
@dataclass(slots=True)
class Counted:
    start: int
    total: int = field(init=False, default=0)
    doubled: int = 0
    seed: InitVar[int] = 0

    def __post_init__(self, seed: int) -> None:
        if self.start < 0:
            raise ValueError("start is negative")
        self.doubled += self.start


class Unknown:
    def __init__(self, value: int = 0) -> None:
        self.value = value


@dataclass
class Unregistered:
    value: int


EXAMPLES = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    -(2**64),
    7**4000,
    -0.0,
    math.nan,
    -math.inf,
    "text",
    "lone \udc80 surrogate",
    b"",
    b"x" * 4096,
    b"x" * 4097,
    bytearray(b"abc"),
    bytearray(b"x" * 5000),
    1 - 2j,
    complex(-0.0, math.nan),
    Decimal("1.10"),
    Decimal("-sNaN12"),
    UUID(int=5),
    [],
    (),
    ([(), [()]],),
    [[1, 2.5, "a", None, True], [b"a"]],
    {1, "a", (2, frozenset({3}))},
    set(),
    frozenset({None}),
    deque([1, (2,)], maxlen=2),
    deque(),
    {},
    {"a": {"b": {"c": ()}}},
    {1: "int", "1": "str", None: 0, 2.5: 1, True and 7: 2, 2**70: 3},
    {(1, 2): "tuple", b"k": 1, Place("a", "b"): 2, Color.RED: 3, frozenset({1}): 4, "plain": 5},
    OrderedDict([("b", 1), ("a", 2), ((0,), 3)]),
    Counter("abca"),
    dt.date(2026, 11, 24),
    dt.time(1, 2, 3, 4, fold=1),
    dt.time(1, tzinfo=dt.timezone.utc),
    dt.datetime(2026, 11, 24, 1, 2, 3, 4),
    dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, microseconds=1), "named"), fold=1),
    dt.timedelta(-1, 3, 999),
    dt.timezone.utc,
    Color.RED,
    Color.BLUE,
    Level.LOW,
    Right.READ,
    Right.BOTH,
    Right.READ | Right.RUN,
    Right(0),
    Bits.A | Bits.B,
    Outer.Inner.X,
    Place("a", "b"),
    Update([Place("x"), (1,)], tags=frozenset("ab")),
]


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: f"{type(value).__name__}-{str(value)[:20]!r}")
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert same(sent(value), value)
    assert same(sent([value]), [value])
    assert same(sent({"payloads": {"x": (value,)}}), {"payloads": {"x": (value,)}})


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.sampled_from([None, dt.timezone.utc]))
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([*Color, *Level, *Right, Right.READ | Right.RUN, *Bits])
    | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Place, st.text(), st.text())
    ),
    max_leaves=5,
)
values = st.recursive(
    hashable | st.floats() | st.complex_numbers() | st.binary(min_size=4000, max_size=5000).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(deque)
        | st.sets(hashable, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4).map(OrderedDict)
        | st.builds(Update, st.lists(inner, max_size=3))
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_survives_the_journey(value: Any) -> None:
    assert same(sent(value), value)


@given(values)
def test_encoding_is_repeatable_and_decoding_gives_independent_values(value: Any) -> None:
    body = codec.encode(value)
    assert body.to_frame() == codec.encode(value).to_frame()
    assert same(codec.decode(body), codec.decode(body.snapshot()))


def test_views_become_lists_and_memory_becomes_bytes() -> None:
    data = {"a": 1, (2,): 3}
    assert sent(data.keys()) == ["a", (2,)]
    assert sent(data.values()) == [1, 3]
    assert sent(data.items()) == [("a", 1), ((2,), 3)]
    assert sent(OrderedDict(data).items()) == [("a", 1), ((2,), 3)]
    assert sent(memoryview(b"abc")) == b"abc"
    assert sent(memoryview(bytearray(10_000))[::2]) == bytes(5_000)


def test_the_order_of_a_dict_is_kept() -> None:
    assert list(sent({"b": 1, "a": 2, (1,): 3, "0": 4})) == ["b", "a", (1,), "0"]


def test_containers_are_fresh_at_every_decoding() -> None:
    shared = [1]
    body = codec.encode({"a": shared, "b": shared})
    first, second = codec.decode(body), codec.decode(body)
    first["a"].append(2)
    assert first["b"] == [1]
    assert second == {"a": [1], "b": [1]}


def test_a_snapshot_no_longer_follows_the_sender() -> None:
    data = bytearray(b"a" * 10_000)
    body = codec.encode(data)
    frozen = body.snapshot()
    data[0] = ord("b")
    assert codec.decode(body)[0] == ord("b")
    assert codec.decode(frozen)[0] == ord("a")


def test_a_snapshot_copies_only_what_can_change() -> None:
    immutable = codec.encode(b"a" * 10_000)
    assert immutable.snapshot().buffers[0].obj is immutable.buffers[0].obj
    frozen = codec.encode(bytearray(10_000)).snapshot()
    assert frozen.snapshot().buffers[0].obj is frozen.buffers[0].obj


def test_an_alias_of_an_enum_member_is_that_member() -> None:
    assert sent(Color.CRIMSON) is Color.RED


# -- application classes ----------------------------------------------------------------------------------


def test_a_dataclass_arrives_as_it_was_sent_whatever_its_constructor_computes() -> None:
    value = Counted(3)
    value.total = 9
    assert sent(value) == value
    assert sent(value).doubled == 3


def test_a_refusal_of_the_constructor_is_a_decode_error() -> None:
    value = Counted(3)
    value.start = -1
    with pytest.raises(DecodeError, match="Counted rejects what was sent: start is negative"):
        sent(value)


def test_fields_that_are_unknown_here_are_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="has no field 'b'; it has layers, where, tags"):
        codec.decode(forged(32, f"{__name__}:Update", "layers", [], "b", 1))


def test_fields_that_were_not_sent_take_their_default_or_are_a_decode_error() -> None:
    assert codec.decode(forged(32, f"{__name__}:Update", "layers", [1])) == Update([1])
    with pytest.raises(DecodeError, match="layers"):
        codec.decode(forged(32, f"{__name__}:Update", "tags", 1))


def test_a_class_that_is_registered_again_replaces_the_first() -> None:
    def define() -> type[Any]:
        @register_dataclass
        @dataclass
        class Cell:
            x: int

        return Cell

    old, new = define(), define()
    assert type(sent(new(1))) is new
    with pytest.raises(EncodeError):
        codec.encode(old(1))


def test_a_subclass_of_a_registered_class_is_not_registered() -> None:
    @dataclass(frozen=True)
    class More(Update):
        pass

    with pytest.raises(EncodeError, match="More"):
        codec.encode(More([]))


def test_only_registered_classes_are_decoded() -> None:
    assert codec.decode(forged(33, f"{__name__}:Place", "a", "b")) == Place("a", "b")
    with pytest.raises(
        DecodeError, match=r"test_codec:Plaza is not registered here.*did you mean .*:Place\?"
    ):
        codec.decode(forged(33, f"{__name__}:Plaza", "a", "b"))


def test_a_dataclass_is_not_taken_for_a_named_tuple() -> None:
    with pytest.raises(DecodeError, match="not registered"):
        codec.decode(forged(33, f"{__name__}:Update", 1, 2))
    with pytest.raises(DecodeError, match="not registered"):
        codec.decode(forged(32, f"{__name__}:Place", "actor", "a", "role", "b"))


def test_a_named_tuple_of_another_length_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="has the fields actor, role; got 3 values"):
        codec.decode(forged(33, f"{__name__}:Place", "a", "b", "c"))


@pytest.mark.parametrize("not_data", [Unknown, int, tuple, 5])
def test_only_data_classes_can_be_registered(not_data: Any) -> None:
    with pytest.raises(TypeError):
        register_named_tuple(not_data)
    with pytest.raises(TypeError):
        register_dataclass(not_data)


def test_a_dataclass_that_its_fields_cannot_make_is_not_registered() -> None:
    @dataclass
    class Seeded:
        seed: InitVar[int]

    with pytest.raises(TypeError, match="'seed'"):
        register_dataclass(Seeded)


STRANGERS = [
    "antigravity:Color",
    "os:path",
    ":",
    "",
    "builtins:int",
    "enum:Enum",
    "sys.modules:x",
    5,
    None,
    [1],
]


@pytest.mark.parametrize("stranger", STRANGERS)
def test_an_enum_is_only_looked_for_in_imported_modules(stranger: Any) -> None:
    assert codec.decode(forged(34, f"{__name__}:Color", "RED")) is Color.RED
    with pytest.raises(DecodeError):
        codec.decode(forged(34, stranger, "RED"))
    assert "antigravity" not in sys.modules


def test_a_lazy_module_is_not_woken_to_look_for_an_enum(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sleeping(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"somebody asked for {name}")

    monkeypatch.setitem(sys.modules, "sleeping", Sleeping("sleeping"))
    with pytest.raises(DecodeError, match="there is no enum sleeping:Color"):
        codec.decode(forged(34, "sleeping:Color", "RED"))


def test_unknown_members_of_an_enum_are_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="has no member BED; it has RED, CRIMSON, BLUE"):
        codec.decode(forged(34, f"{__name__}:Color", "BED"))


@pytest.mark.parametrize("names", [[], ["RED", "BLUE"]])
def test_only_members_of_a_flag_are_combined(names: list[str]) -> None:
    with pytest.raises(DecodeError, match="is not a Flag"):
        codec.decode(forged(34, f"{__name__}:Color", *names))


# -- what does not travel ---------------------------------------------------------------------------------


def test_a_refusal_names_the_path_the_type_and_three_ways_out() -> None:
    message = {"args": {}, "payloads": {"update": Update([1, 2, Unknown()])}}
    with pytest.raises(EncodeError) as caught:
        codec.encode(message)
    text = str(caught.value)
    assert caught.value.path == "payloads['update'].layers[2]"
    assert caught.value.type_name == f"{__name__}.Unknown"
    for part in (
        "payloads['update'].layers[2]",
        "Unknown",
        "convert",
        "@register_dataclass",
        "allow_pickle: true",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda bad: bad, ""),
        (lambda bad: [0, (bad,)], "[1][0]"),
        (lambda bad: {"a": {"b c": bad}}, "a['b c']"),
        (lambda bad: {"b c": bad}, "['b c']"),
        (lambda bad: {1: {bad: 0}}, "[1].keys()[0]"),
        (lambda bad: Place("a", bad), ".role"),
        (lambda bad: {"x": Place("a", bad)}, "x.role"),
        (lambda bad: {"x": {0: bad}.values()}, "x[0]"),
    ],
)
def test_the_path_leads_to_the_value(make: Any, path: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode(make(Unknown()))
    assert caught.value.path == path


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Text("a"),
        type("Number", (int,), {})(1),
        type("Table", (dict,), {})(),
        type("Row", (list,), {})(),
        defaultdict(list),
        object(),
        Unknown,
        len,
        lambda: None,
        Unregistered(1),
        (item for item in ()),
        range(3),
        ValueError("x"),
        Bits(64),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_is_lost_in_silence(value: Any) -> None:
    with pytest.raises(EncodeError):
        codec.encode({"payloads": {"x": value}})


def test_an_ordered_dict_keeps_the_notes_of_torch_and_refuses_others() -> None:
    state = OrderedDict(a=1)
    vars(state)["_metadata"] = OrderedDict({"": {"version": 1}})
    assert vars(sent(state)) == vars(state)
    vars(state)["other"] = 1
    with pytest.raises(EncodeError, match="other"):
        codec.encode(state)


def test_an_ordered_dict_made_with_type_arguments_travels() -> None:
    assert sent(OrderedDict[str, int](a=1)) == OrderedDict(a=1)


def test_a_container_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append({"again": loop})
    with pytest.raises(EncodeError, match="contains itself"):
        codec.encode(loop)
    with pytest.raises(EncodeError, match="contains itself"):
        Codec(allow_pickle=True).encode({"payloads": loop})


def test_a_hundred_levels_travel_and_more_are_refused() -> None:
    value: Any = 0
    for _ in range(100):
        value = (value,)
    assert sent(value) == value
    with pytest.raises(EncodeError, match="deeper than 100 levels"):
        codec.encode([value])


def test_encoding_with_little_stack_left_is_an_encode_error() -> None:
    value: Any = 0
    for _ in range(90):
        value = (value,)

    def descend() -> None:
        try:
            descend()
        except RecursionError:
            codec.encode(value)

    with pytest.raises(EncodeError):
        descend()


def test_an_object_that_occurs_often_is_not_a_cycle() -> None:
    shared = {"a": (1,)}
    assert sent([shared] * 300) == [shared] * 300


# -- pickle -----------------------------------------------------------------------------------------------

trusting = Codec(allow_pickle=True)


def test_with_pickle_everything_else_travels() -> None:
    assert sent({"x": [Unknown(5)]}, trusting)["x"][0].value == 5
    assert sent(lambda x: x + 1, trusting)(1) == 2
    assert sent(defaultdict(list, a=[1]), trusting) == {"a": [1]}
    assert sent(Text("a"), trusting) == "a"
    assert sent(Unknown, trusting) is Unknown


def test_a_large_pickle_travels_beside_the_header() -> None:
    body = trusting.encode(Text("x" * 100_000))
    assert len(body.header) < 100
    assert trusting.decode(body) == "x" * 100_000


def test_a_pickle_is_refused_where_the_configuration_does_not_permit_it() -> None:
    with pytest.raises(DecodeError, match="allow_pickle: true in this actor's configuration"):
        codec.decode(trusting.encode(Unknown()))


def test_what_pickle_cannot_take_is_an_encode_error_with_its_path() -> None:
    with pytest.raises(EncodeError, match="pickle cannot take it either") as caught:
        trusting.encode({"payloads": {"x": (item for item in ())}})
    assert caught.value.path == "payloads['x']"


class Poison:
    def __reduce__(self) -> Any:
        return (int, ("not a number",))


def test_a_pickle_that_fails_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="not a number"):
        sent(Poison(), trusting)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_cloudpickle_the_standard_pickle_is_used_and_its_limits_explained() -> None:
    out = python(
        "import sys; sys.modules['cloudpickle'] = None\n"
        "from roleml.messaging.codec import Codec\n"
        "from fractions import Fraction\n"
        "codec = Codec(allow_pickle=True)\n"
        "assert codec.decode(codec.encode(Fraction(1, 2))) == Fraction(1, 2)\n"
        "try: codec.encode(lambda: 0)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    assert out.startswith("EncodeError")
    assert "pip install 'roleml[pickle]'" in out


def test_the_codec_alone_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'torch', 'pickle', 'cloudpickle'}"
    assert python(f"import sys, roleml.messaging.codec; print({heavy} & set(sys.modules))").strip() == "set()"
