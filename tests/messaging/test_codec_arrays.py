"""numpy and torch travel as raw memory: no copy on the way out, one on the way in."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from roleml.messaging.codec import Body, Codec
from roleml.messaging.exceptions import DecodeError, EncodeError

codec = Codec()


def sent(value: Any) -> Any:
    """The value as another process would see it."""
    return codec.decode(Body.from_frame(codec.encode(value).to_frame()))


def same_array(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()
    )


STRUCT = np.dtype([("a", "<i4"), ("b", ">f8", (2, 3)), ("c", [("d", "U3"), ("e", "M8[us]")])])
DTYPES = [
    STRUCT,
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype({"names": ["x", "y"], "formats": ["i4", "i2"], "offsets": [0, 2], "itemsize": 16}),
    np.dtype([]),
    np.dtype((np.int32, (2, 3))),
    *map(np.dtype, ["?", "i1", "u2", ">i4", "u8", "f2", "f4", ">f8", "g", "c8", "c16", "G"]),
    *map(np.dtype, ["S5", "U5", "V7", "M8", "M8[ns]", "m8[25s]", "m8", "S0", "U0", "V0"]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dtype_comes_back_with_its_layout(dtype: np.dtype[Any]) -> None:
    back = sent(dtype)
    assert back == dtype
    assert (back.itemsize, back.isalignedstruct, back.fields) == (
        dtype.itemsize,
        dtype.isalignedstruct,
        dtype.fields,
    )


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.itemsize and d.subdtype is None], ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)], ids=str)
def test_an_array_of_any_dtype_and_shape_comes_back_writable(
    dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    array = np.frombuffer(bytes(range(48)) * 64, np.uint8)[: 24 * dtype.itemsize]
    if dtype.kind in "?bU" or dtype.names:
        array = np.zeros_like(array)
    array = array.view(dtype)[: int(np.prod(shape))].reshape(shape)
    back = sent(array)
    assert same_array(back, array)
    assert back.flags.writeable
    assert back.flags.owndata
    assert back.flags.c_contiguous


def has_titles(dtype: np.dtype[Any]) -> bool:
    """Which do not travel."""
    if dtype.subdtype is not None:
        return has_titles(dtype.subdtype[0])
    return any(len(field) > 2 or has_titles(field[0]) for field in (dtype.fields or {}).values())


travelling_dtypes = hnp.scalar_dtypes() | hnp.nested_dtypes().filter(lambda dtype: not has_titles(dtype))


@given(hnp.arrays(travelling_dtypes, hnp.array_shapes(min_dims=0, min_side=0)))
def test_any_array_survives_the_journey(array: np.ndarray[Any, Any]) -> None:
    assume(array.dtype.itemsize)
    assume("title" not in repr(array.dtype) and "(('" not in repr(array.dtype))
    assert same_array(sent(array), array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4).T,
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(24)[::-2],
        np.broadcast_to(np.arange(3), (4, 3)),
        np.arange(24).reshape(4, 6)[1:3, ::3],
    ],
)
def test_any_layout_of_memory_arrives_in_c_order(array: np.ndarray[Any, Any]) -> None:
    assert same_array(sent(array), array)


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(1.5),
        np.float32(-0.0),
        np.float16(2),
        np.int8(-1),
        np.int64(2**62),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex64(1j),
        np.longdouble(1) / 3,
        np.datetime64("2026-11-24T01:02", "m"),
        np.datetime64("NaT", "s"),
        np.timedelta64(5, "ns"),
        np.str_("text"),
        np.str_(""),
        np.str_("a\0b\0\0"),
        np.bytes_(b"a\0b\0"),
        np.zeros((), STRUCT)[()],
    ],
    ids=lambda scalar: f"{type(scalar).__name__}-{scalar}",
)
def test_a_numpy_scalar_keeps_its_type(scalar: Any) -> None:
    back = sent(scalar)
    assert type(back) is type(scalar)
    assert back.dtype == scalar.dtype
    assert back.tobytes() == scalar.tobytes()


def test_a_numpy_scalar_is_a_key() -> None:
    assert sent({np.int64(3): 1}) == {3: 1}


def test_contiguous_memory_is_not_copied_until_the_snapshot() -> None:
    array, tensor = np.zeros(3), torch.zeros(3)
    body = codec.encode({"a": array, "t": tensor})
    frozen = body.snapshot()
    array[0] = tensor[0] = 1
    assert codec.decode(body)["a"][0] == codec.decode(body)["t"][0] == 1
    assert codec.decode(frozen)["a"][0] == codec.decode(frozen)["t"][0] == 0


def test_a_huge_snapshot_is_a_copy_and_made_once() -> None:
    array = np.arange(5_000_000)
    body = codec.encode(array)
    frozen = body.snapshot()
    array[-1] = 0
    assert codec.decode(frozen)[-1] == 4_999_999
    assert frozen.buffers[0].readonly
    assert frozen.snapshot().buffers[0] is frozen.buffers[0]


def test_a_decoded_tensor_is_nobodys_view() -> None:
    with torch.no_grad():
        back = sent(torch.ones(2, 3))
    assert not back._is_view()
    factor = torch.ones(2, 3, requires_grad=True)
    assert back.mul_(factor).requires_grad  # autograd forbids this for a view that was made under no_grad


def test_decoded_arrays_share_no_memory() -> None:
    array, tensor = np.zeros(3), torch.zeros(3)
    body = codec.encode([array, array, tensor, tensor])
    first, second = codec.decode(body), codec.decode(body)
    for value in first:
        value += 1
    first[0] += 1
    assert [float(value[0]) for value in first] == [2, 1, 1, 1]
    assert [float(value[0]) for value in second] == [0, 0, 0, 0]
    assert array[0] == tensor[0] == 0


def test_array_memory_travels_beside_the_header() -> None:
    body = codec.encode({"a": np.zeros(1000), "b": torch.zeros(10, 10), "c": np.zeros(())})
    assert [buffer.nbytes for buffer in body.buffers] == [8000, 400, 8]
    assert len(body.header) < 100
    assert body.nbytes == len(body.header) + 8408


def test_a_memmap_arrives_as_an_array(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "data", np.int32, "w+", shape=(4,))
    mapped[:] = range(4)
    assert same_array(sent(mapped), np.arange(4, dtype=np.int32))


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.array([("a", object())], [("x", "U1"), ("y", "O")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.rec.array([(1,)], [("a", "i4")]),
        np.dtype("i4", metadata={"unit": "m"}),
        np.dtype([(("title", "a"), "i4")]),
        np.dtype("O"),
        np.zeros(2, np.dtype([])),
        np.sin,
        np.float64,
        np.random.default_rng(0),
        torch.zeros(2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.device("cpu"),
        torch.nn.Linear(1, 1),
        torch.zeros(1).as_subclass(type("Special", (torch.Tensor,), {})),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_more_than_plain_memory_is_refused(value: Any) -> None:
    with pytest.raises(EncodeError):
        codec.encode({"payloads": {"x": value}})


def test_a_matrix_is_refused() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1]])
    with pytest.raises(EncodeError, match="matrix"):
        codec.encode(matrix)


def test_with_pickle_they_travel_all_the_same() -> None:
    trusting = Codec(allow_pickle=True)
    masked = np.ma.masked_array([1, 2], [True, False])
    assert trusting.decode(trusting.encode(masked)).mask.tolist() == [True, False]
    assert trusting.decode(trusting.encode(np.array([None, 1]))).tolist() == [None, 1]
    layer = torch.nn.Linear(2, 3)
    assert torch.equal(trusting.decode(trusting.encode(layer)).weight, layer.weight)


class Holder:
    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array


def test_arrays_inside_of_a_pickle_travel_beside_it_and_arrive_writable() -> None:
    trusting = Codec(allow_pickle=True)
    body = trusting.encode(Holder(np.arange(1000.0)))
    assert body.buffers[0].nbytes == 8000 or body.buffers[-1].nbytes == 8000
    back = trusting.decode(body).array
    back += 1
    assert back[0] == trusting.decode(body).array[0] + 1


# -- torch ------------------------------------------------------------------------------------------------

TORCH_DTYPES = sorted(
    {d for d in vars(torch).values() if isinstance(d, torch.dtype)}
    - {torch.quint8, torch.qint8, torch.qint32, torch.quint4x2, torch.quint2x4},
    key=str,
)


def raw(tensor: torch.Tensor) -> bytes:
    if not tensor.numel():
        return b""
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def is_plain(dtype: torch.dtype) -> bool:
    """Whether torch itself can show tensors of this dtype as bytes; some are names of things to come."""
    try:
        torch.zeros(2, dtype=torch.uint8).repeat(16).view(dtype)
    except (RuntimeError, NotImplementedError):
        return False
    return True


@pytest.mark.filterwarnings("ignore:.*support is experimental")  # of torch itself, for the dtype
@pytest.mark.parametrize("dtype", TORCH_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (2, 3)], ids=str)
def test_a_tensor_of_any_dtype_and_shape_comes_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    count, size = int(np.prod(shape)), torch.empty(0, dtype=dtype).element_size()
    if not is_plain(dtype):
        with pytest.raises(EncodeError):
            codec.encode(torch.empty(shape, dtype=dtype))
        return
    memory = (torch.arange(96, dtype=torch.uint8) % (2 if dtype is torch.bool else 96))[: count * size]
    tensor = memory.view(dtype).reshape(shape)
    back = sent(tensor)
    assert type(back) is torch.Tensor
    assert (back.dtype, back.shape, raw(back)) == (tensor.dtype, tensor.shape, raw(tensor))
    assert sent(dtype) is dtype


@given(hnp.arrays(st.sampled_from(["f4", "i8", "c8", "?", "u1"]), hnp.array_shapes(min_dims=0, min_side=0)))
def test_any_tensor_survives_the_journey(array: np.ndarray[Any, Any]) -> None:
    tensor = torch.from_numpy(array.copy())
    back = sent({"x": [tensor, tensor.T if tensor.ndim == 2 else tensor]})["x"]
    assert raw(back[0]) == raw(tensor)
    assert back[0].shape == tensor.shape
    assert raw(back[1]) == raw(tensor.T if tensor.ndim == 2 else tensor)


def test_views_of_a_tensor_arrive_with_the_values_they_show() -> None:
    base = torch.arange(12).reshape(3, 4)
    for view in (base.T, base[:, ::2], base[1], base.expand(2, 3, 4)):
        assert torch.equal(sent(view), view)
    wave = torch.tensor([1 + 2j, 3 - 4j])
    assert torch.equal(sent(wave.conj()), wave.conj())
    assert torch.equal(sent(wave.conj().imag), wave.conj().imag)


def test_parameters_and_graph_nodes_arrive_as_plain_detached_tensors() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    for tensor in (parameter, parameter * 2, torch.ones(2, requires_grad=True)):
        back = sent(tensor)
        assert type(back) is torch.Tensor
        assert not back.requires_grad
        assert torch.equal(back, tensor.detach())


def test_a_tensor_size_comes_back_as_one() -> None:
    size = torch.zeros(2, 3).shape
    assert type(sent(size)) is torch.Size
    assert sent(size) == size


def test_a_state_dict_can_be_loaded_at_the_other_end() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = sent(model.state_dict())
    assert type(state) is OrderedDict
    assert state._metadata == model.state_dict()._metadata
    other = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    other.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_default_device_does_not_touch_what_arrives() -> None:
    body = codec.encode(torch.ones(2))
    with torch.device("meta"):
        assert codec.decode(body).device.type == "cpu"


# -- without the packages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("package", "value"), [("numpy", np.zeros(2)), ("torch", torch.zeros(2))])
def test_a_missing_package_is_named_with_its_extra(package: str, value: Any) -> None:
    frame = codec.encode(value).to_frame()
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from roleml.messaging.codec import Body, Codec\n"
        f"try: Codec().decode(Body.from_frame({frame!r}))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DecodeError")
    assert f"pip install 'roleml[{package}]'" in done.stdout


HOSTILE = [
    ("<f8", [3], 16),
    ("<f8", [-1, -2], 16),
    ("<f8", [2.0], 16),
    ("<f8", [True, 2], 16),
    ("<f8", [2**62, 0], 16),
    ("<f8", [1] * 65, 8),
    ("<f8", "ab", 16),
    ("<f8", None, 16),
    ("<f8", [2**64], 0),
    ("<f8", [2**40], 8),
    ("|V0", [2**40], 0),
    ("|O", [1], 8),
    ("|O8", [1], 8),
    ("O", [1], 8),
    ("object", [1], 8),
    ("f8,f8", [1], 16),
    ("<f3", [1], 3),
    ("<M8[parsecs]", [1], 8),
    (["struct", ["a"], ["|O"], [0], 8, False], [1], 8),
    (["struct", ["a", "a"], ["<i4", "<i4"], [0, 4], 8, False], [1], 8),
    (["struct", ["a"], ["<i8"], [0], 4, False], [1], 4),
    (["struct", ["a"], ["<i8"], [-4], 8, False], [1], 8),
    (["struct", ["a"], ["<i4"], [0], -1, False], [1], 4),
    (["array", "<i4", [2**31, 2**31]], [1], 8),
    (["array", "|O", [1]], [1], 8),
    (None, [1], 8),
    ({"names": ["a"], "formats": ["O"]}, [1], 8),
]


@pytest.mark.parametrize(("description", "shape", "size"), HOSTILE, ids=str)
def test_a_hostile_description_of_an_array_is_a_decode_error(description: Any, shape: Any, size: int) -> None:
    import msgpack

    memory = memoryview(bytes(size))
    header = codec.encode([]).header  # any header: replaced below
    for tag, kind in ((64, description), (80, "torch.float64" if description == "<f8" else description)):
        packed = {"default": lambda number: [msgpack.ExtType(1, b""), number.to_bytes(9, "big")]}
        header = msgpack.packb([msgpack.ExtType(tag, b""), kind, shape, 0], **packed)
        with pytest.raises(DecodeError):
            codec.decode(Body(header, (memory,)))
