"""Datasets in the files of MNIST: also Fashion-MNIST, KMNIST, EMNIST and QMNIST come in this format.

LeCun, Cortes, Burges, "The MNIST database of handwritten digits". The format is called IDX: two zero bytes,
one for the type, one for the number of dimensions, the sizes as big-endian integers, then the values.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from roleml.library.workload.datasets.partition import check_share, split_dirichlet, split_evenly
from roleml.library.workload.datasets.templates import XYDataset

__all__ = ["MNISTDataset", "combine", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FILES = {"train": ("train-images", "train-labels"), "test": ("t10k-images", "t10k-labels")}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The array in an IDX file, which may be compressed (``.gz``), in the byte order of this machine.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no IDX file, or not a whole one.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES:
        raise ValueError(f"{path} is no IDX file: it begins with {data[:4]!r}")
    kind, dimensions = np.dtype(_TYPES[data[2]]), data[3]
    begin = 4 + 4 * dimensions
    if len(data) < begin:
        raise ValueError(f"{path} ends within its own header")
    shape = struct.unpack(f">{dimensions}I", data[4:begin])
    expected = begin + math.prod(shape) * kind.itemsize
    if len(data) != expected:
        raise ValueError(f"{path} has {len(data)} bytes, but its header says {expected}, for shape {shape}")
    return np.frombuffer(data, kind, offset=begin).reshape(shape).astype(kind.newbyteorder("="))


class MNISTDataset(XYDataset):
    """The images and labels in a folder of such files, or the share of them that one client owns.

    `x` is a float32 array `(n, 1, rows, columns)` scaled to [0, 1], `y` an int64 array `(n,)`. The files are
    called as they are published, `train-images-idx3-ubyte` and so on, with or without `.gz`.

    With `clients`, this is the share of client number `client` (from 0): even, or with labels skewed by a
    Dirichlet distribution of this `alpha`. The shares of one `seed` are disjoint and cover everything.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is no IDX file; images and labels do not go together; `client` without `clients` or
            the reverse, or out of range.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def __init__(
        self,
        root: str | os.PathLike[str],
        part: Literal["train", "test"] = "train",
        client: int | None = None,
        clients: int | None = None,
        alpha: float | None = None,
        seed: int = 0,
    ) -> None:
        if part not in _FILES:
            raise ValueError(f"there is no part {part!r}: choose 'train' or 'test'")
        check_share(client, clients, alpha)
        images, labels = (read_idx(_find(Path(root), name)) for name in _FILES[part])
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(f"images {images.shape} and labels {labels.shape} in {root} do not go together")
        y = labels.astype(np.int64)
        chosen = np.arange(len(y))
        if client is not None and clients is not None:
            if alpha is None:
                shares = split_evenly(len(y), clients, seed=seed)
            else:
                shares = split_dirichlet(y, clients, alpha=alpha, seed=seed)
            chosen = shares[client]
        super().__init__((images[chosen] / np.float32(255)).astype(np.float32)[:, None], y[chosen])


def combine(samples: Iterable[tuple[Any, Any]]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A batch: the images stacked along a new first axis, and their labels."""
    x, y = zip(*samples, strict=True)
    return np.stack(x), np.asarray(y, dtype=np.int64)


def _find(folder: Path, name: str) -> Path:
    """The file of that beginning: archives write `-idx3-ubyte` and `.idx3-ubyte`."""
    pattern = f"{name}[-.]idx[13]-ubyte"
    found = [*folder.glob(pattern), *folder.glob(f"{pattern}.gz")]
    if not found:
        raise FileNotFoundError(f"no file {name}-idx... in {folder}, nor {name}-idx....gz")
    return found[0]
