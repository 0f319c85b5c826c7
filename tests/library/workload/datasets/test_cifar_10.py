from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roleml.library.workload.datasets.partition import count_labels
from roleml.library.workload.datasets.zoo.image.cifar_10.impl import CiFar10Dataset, CiFar10SlicedDataset
from roleml.library.workload.datasets.zoo.image.cifar_10.splitter import (
    slice_cifar_10_dataset,
    slice_cifar_10_dataset_from_cli,
    split_cifar_10_dataset,
)
from roleml.library.workload.datasets.zoo.image.cifar_10.util import load_array_from_files, unpickle

ROWS = 12


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A CIFAR-10 in the original format, with 12 images per file."""
    generator = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rows = generator.integers(0, 256, (ROWS, 3072), dtype=np.uint8)
        labels = [int(label) for label in generator.integers(0, 10, ROWS)]
        (tmp_path / name).write_bytes(pickle.dumps({b"data": rows, b"labels": labels}, protocol=2))
    return tmp_path


def test_a_pixel_is_found_at_its_row_column_and_colour(root: Path) -> None:
    rows, labels = unpickle(root / "data_batch_3")
    dataset = CiFar10Dataset(root, index=3)
    for row, column, colour in [(0, 0, 0), (0, 31, 1), (17, 4, 2), (31, 31, 0)]:
        assert np.array_equal(dataset.x[:, row, column, colour], rows[:, colour * 1024 + row * 32 + column])
    assert dataset.y.tolist() == labels
    assert (dataset.x.shape, dataset.x.dtype, dataset.y.dtype) == ((ROWS, 32, 32, 3), np.uint8, np.int64)


def test_without_index_all_training_files_are_joined(root: Path) -> None:
    dataset = CiFar10Dataset(root)
    assert len(dataset) == 5 * ROWS
    assert np.array_equal(dataset.x[ROWS : 2 * ROWS], CiFar10Dataset(root, index=2).x)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_any_part_but_train_is_the_test_file(root: Path, part: str) -> None:
    assert CiFar10Dataset(root, part).y.tolist() == unpickle(root / "test_batch")[1]


def test_a_pickle_that_asks_for_code_is_refused(root: Path) -> None:
    (root / "data_batch_1").write_bytes(pickle.dumps({b"data": print, b"labels": []}))
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print"):
        CiFar10Dataset(root, index=1)


def test_files_written_by_python_2_can_be_read(root: Path) -> None:
    array = np.arange(3072, dtype=np.uint8).reshape(1, 3072)
    written = pickle.dumps({b"data": array, b"labels": [1]}, protocol=2)
    old = written.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != written
    (root / "old").write_bytes(old)
    assert np.array_equal(unpickle(root / "old")[0], array)


def test_slices_are_consecutive_and_numbered_across_the_files(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    slice_cifar_10_dataset(root, out, parts=3)
    assert sorted(path.name for path in out.iterdir() if path.name.startswith("data")) == sorted(
        f"data_{i}.npy" for i in range(15)
    )
    file_4 = CiFar10Dataset(root, index=4)
    third = CiFar10SlicedDataset(out, 11)
    assert np.array_equal(third.x, file_4.x[8:12])
    assert np.array_equal(third.y, file_4.y[8:12])
    first_ten = CiFar10SlicedDataset(out)
    assert np.array_equal(first_ten.x, CiFar10Dataset(root).x[:40])
    one_then_zero = [CiFar10SlicedDataset(out, i).y for i in (1, 0)]
    assert np.array_equal(CiFar10SlicedDataset(out, iter([1, 0])).y, np.concatenate(one_then_zero))


def test_what_is_left_over_after_equal_slices_is_not_used(root: Path, tmp_path: Path) -> None:
    slice_cifar_10_dataset(root, tmp_path / "out", parts=5)
    assert [len(CiFar10SlicedDataset(tmp_path / "out", i)) for i in range(25)] == [2] * 25


def test_more_slices_than_images_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="12 images"):
        slice_cifar_10_dataset(root, tmp_path, parts=13)


def test_slices_that_hold_rows_are_read_as_images(root: Path, tmp_path: Path) -> None:
    rows, labels = unpickle(root / "data_batch_1")
    np.save(tmp_path / "data_0.npy", rows)
    np.save(tmp_path / "labels_0.npy", labels)
    assert np.array_equal(CiFar10SlicedDataset(tmp_path, 0).x, CiFar10Dataset(root, index=1).x)
    assert load_array_from_files(tmp_path / "data_0.npy", tmp_path / "data_0.npy").shape == (2 * ROWS, 3072)


@pytest.mark.parametrize(
    "split",
    [
        lambda root, out: split_cifar_10_dataset(root, out, 4, mode="iid", seed=1),
        lambda root, out: split_cifar_10_dataset(root, out, 4, mode="non-iid", seed=1),
        lambda root, out: split_cifar_10_dataset(root, out, 4, mode="non-iid", alpha=0.2, seed=1),
    ],
)
def test_a_split_deals_out_every_image_once(
    root: Path, tmp_path: Path, split: Callable[[Path, Path], None]
) -> None:
    split(root, tmp_path / "out")
    slices = CiFar10SlicedDataset(tmp_path / "out", range(4))
    whole = CiFar10Dataset(root)
    assert sorted(map(bytes, slices.x)) == sorted(map(bytes, whole.x))
    assert count_labels(slices.y) == count_labels(whole.y)


def test_an_unknown_mode_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose 'iid' or 'non-iid'"):
        split_cifar_10_dataset(root, tmp_path, 2, mode="random")


def test_the_command_line_slices_and_splits(root: Path, tmp_path: Path) -> None:
    slice_cifar_10_dataset_from_cli([str(root), str(tmp_path / "slices"), "-c", "2"])
    assert len(list((tmp_path / "slices").glob("data_*.npy"))) == 10
    slice_cifar_10_dataset_from_cli(
        [str(root), str(tmp_path / "skewed"), "--mode", "non-iid", "--alpha", "0.5", "--count", "1"]
    )
    assert len(list((tmp_path / "skewed").glob("labels_*.npy"))) == 5


@pytest.mark.parametrize("index", [0, 6, "1"])
def test_a_training_file_that_does_not_exist_is_refused(root: Path, index: Any) -> None:
    with pytest.raises(ValueError, match="they have the numbers 1 to 5"):
        CiFar10Dataset(root, index=index)


def test_the_number_of_a_slice_may_be_one_of_numpy(root: Path, tmp_path: Path) -> None:
    slice_cifar_10_dataset(root, tmp_path / "slices")
    one = CiFar10SlicedDataset(tmp_path / "slices", np.int64(3))  # type: ignore[arg-type]
    assert np.array_equal(one.x, CiFar10SlicedDataset(tmp_path / "slices", 3).x)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--count", "0"], "cannot cut the 12 images of data_batch_1 into 0 slices"),
        (["--alpha", "0.5"], "--alpha goes with --mode non-iid"),
        (["--mode", "non-iid", "--alpha", "0"], "alpha must be positive"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as info:
        slice_cifar_10_dataset_from_cli([str(root), str(tmp_path / "out"), *arguments])
    assert info.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_command_line_names_a_file_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        slice_cifar_10_dataset_from_cli([str(tmp_path), str(tmp_path / "out")])
    assert "No such file or directory" in capsys.readouterr().err


def test_an_even_split_takes_no_alpha(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose 'non-iid'"):
        split_cifar_10_dataset(root, tmp_path / "out", 5, alpha=0.5)
