"""Datasets in MNIST's files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from roleml.library.workload.datasets.zoo.image.mnist import MNISTDataset, combine, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: Any) -> bytes:
    code = CODES[f"{array.dtype.kind}{array.dtype.itemsize}"]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@given(
    st.sampled_from(sorted(CODES)).flatmap(
        lambda t: arrays.arrays(np.dtype(t), arrays.array_shapes(max_dims=4))
    )
)
def test_what_is_written_is_read(tmp_path_factory: Any, array: Any) -> None:
    file = tmp_path_factory.mktemp("idx") / "a"
    file.write_bytes(idx(array))
    read = read_idx(file)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    file.write_bytes(gzip.compress(idx(array)))
    np.testing.assert_array_equal(read_idx(file), array)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is no IDX file"),
        (b"PK\3\4....", "is no IDX file"),
        (b"\0\0\7\1" + bytes(4), "is no IDX file"),
        (b"\0\0\x08\2\0\0\0\1", "ends within its own header"),
        (idx(np.zeros(5, np.uint8))[:-1], r"has 12 bytes, but its header says 13, for shape \(5,\)"),
        (idx(np.zeros(5, np.uint8)) + b"x", "has 14 bytes"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, complaint: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=complaint):
        read_idx(tmp_path / "a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for prefix, n in (("train", 60), ("t10k", 20)):
        images = draws.integers(0, 256, (n, 4, 5)).astype(np.uint8)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{prefix}-labels.idx1-ubyte").write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    return tmp_path


def test_images_are_scaled_and_have_a_channel(folder: Path) -> None:
    train, test = MNISTDataset(folder), MNISTDataset(folder, "test")
    assert (train.x.shape, train.x.dtype, train.y.dtype) == ((60, 1, 4, 5), np.float32, np.int64)
    assert (test.x.shape, len(test)) == ((20, 1, 4, 5), 20)
    raw = read_idx(folder / "train-images-idx3-ubyte.gz")
    np.testing.assert_allclose(train.x[:, 0], raw / 255, rtol=1e-6)
    x, y = combine(train[i] for i in range(3))
    assert (x.shape, y.tolist()) == ((3, 1, 4, 5), [0, 1, 2])


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_the_shares_of_all_clients_are_everything(folder: Path, alpha: float | None) -> None:
    shares = [MNISTDataset(folder, client=i, clients=4, alpha=alpha, seed=1) for i in range(4)]
    whole = MNISTDataset(folder)
    together = np.concatenate([share.x for share in shares])
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole.x))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"part": "validation"}, "choose 'train' or 'test'"),
        ({"client": 1}, "client and clients go together"),
        ({"alpha": 0.5}, "say client and clients, too"),
        ({"client": 1, "clients": 2000}, "cannot cut .* samples into 2000 parts"),
        ({"client": 4, "clients": 4}, "there is no client 4 of 4"),
    ],
)
def test_wrong_options_are_refused(folder: Path, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MNISTDataset(folder, **options)


def test_a_folder_without_the_files_is_refused(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file train-images"):
        MNISTDataset(folder / "nowhere")
    (folder / "train-labels.idx1-ubyte").write_bytes(idx(np.zeros(59, np.uint8)))
    with pytest.raises(ValueError, match="do not go together"):
        MNISTDataset(folder)
