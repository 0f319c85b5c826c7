"""How torch travels: tensors as raw memory, detached, on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from roleml.messaging.codec_rows import Decoding, Encoding, Row, Unsupported, checked_shape, shown
from roleml.messaging.exceptions import DecodeError

__all__ = ["ROWS", "row_of_type"]

_DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
#: Their tensors need a scale beside their memory. Made without one, they bring the process down when touched.
_QUANTIZED = frozenset(name for name in _DTYPES if name.startswith(("torch.qint", "torch.quint")))


def row_of_type(kind: type[Any]) -> Row | None:
    """The row for a torch type. Of the subclasses of Tensor only Parameter has one."""
    if kind is torch.Tensor or kind is torch.nn.Parameter:
        return TENSOR
    return {torch.Size: SIZE, torch.dtype: DTYPE}.get(kind)


def _tensor_parts(value: torch.Tensor, out: Encoding) -> Iterable[Any]:
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise Unsupported(f"it is not a dense tensor ({value.layout}, {value.dtype}, {value.device})")
    return [str(value.dtype), list(value.shape), out.buffer(_memory(value))]


def _memory(value: torch.Tensor) -> memoryview:
    """The values in C order; the tensor's own memory, if they are there in C order already."""
    if not value.numel():  # its strides are arbitrary, and stop torch from showing it as bytes
        return memoryview(b"")
    dense = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    try:
        return dense.reshape(-1).view(torch.uint8).numpy().data
    except RuntimeError as error:
        raise Unsupported(f"its memory is out of reach: {error}") from error


def _tensor(parts: list[Any], source: Decoding) -> torch.Tensor:
    name, shape, index = parts
    dtype, buffer = _dtype(name), source.buffer(index)
    if name in _QUANTIZED:
        raise DecodeError(f"a tensor of {name} is not made of memory alone")
    size = checked_shape(shape, dtype.itemsize, buffer)
    if not buffer.nbytes:
        return torch.empty(size, dtype=dtype, device="cpu")
    memory = np.empty(
        buffer.nbytes, np.uint8
    )  # numpy asks for huge pages: up to four times as fast as torch.empty
    memory.data[:] = buffer
    # resize_ gives the shape in place, where reshape would make a view and autograd remember its base
    return torch.frombuffer(memory, dtype=dtype).resize_(size)


def _dtype(name: Any) -> torch.dtype:
    if name not in _DTYPES:
        raise DecodeError(f"torch {torch.__version__} has no dtype {shown(name)}")
    return _DTYPES[name]


TENSOR = Row(80, torch.Tensor, _tensor_parts, _tensor)
SIZE = Row(81, torch.Size, lambda v, _: list(v), lambda p, _: torch.Size(p))
DTYPE = Row(82, torch.dtype, lambda v, _: [str(v)], lambda p, _: _dtype(*p))

ROWS = (TENSOR, SIZE, DTYPE)
