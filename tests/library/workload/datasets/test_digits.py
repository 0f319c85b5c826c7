from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roleml.library.workload.datasets.partition import count_labels
from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.datasets.zoo.image.digits import DigitsDataset, combine, summary


def rows(*datasets: DigitsDataset) -> list[tuple[Any, ...]]:
    return sorted(
        (*x.ravel().tolist(), int(y)) for data in datasets for x, y in zip(data.x, data.y, strict=True)
    )


def test_pixels_are_between_zero_and_one_and_labels_are_integers() -> None:
    dataset = DigitsDataset()
    assert (dataset.x.dtype, dataset.y.dtype) == (np.float32, np.int64)
    assert (dataset.x.min(), dataset.x.max()) == (0.0, 1.0)
    assert dataset.x.shape == (len(dataset), 64)


def test_training_and_test_part_together_are_all_digits() -> None:
    train, test = DigitsDataset("train"), DigitsDataset("test")
    assert len(train) + len(test) == 1797
    assert len(test) == 360
    assert rows(DigitsDataset("train", test_fraction=0.5), DigitsDataset("test", test_fraction=0.5)) == rows(
        train, test
    )


def test_the_test_part_is_stratified_and_does_not_depend_on_the_seed() -> None:
    test = DigitsDataset("test")
    counts = count_labels(test.y)
    assert set(counts) == set(range(10))
    assert max(counts.values()) - min(counts.values()) <= 3
    assert np.array_equal(test.x, DigitsDataset("test", seed=9).x)


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_the_shares_of_the_clients_are_the_training_part(alpha: float | None) -> None:
    shares = [DigitsDataset("train", client, 5, alpha=alpha, seed=4) for client in range(5)]
    assert all(len(share) for share in shares)
    assert rows(*shares) == rows(DigitsDataset("train"))


def test_images_have_a_channel_and_two_dimensions() -> None:
    flat, images = DigitsDataset("test"), DigitsDataset("test", as_images=True)
    assert images.x.shape == (360, 1, 8, 8)
    assert np.array_equal(images.x.reshape(360, 64), flat.x)


@pytest.mark.parametrize(
    "wrong",
    [
        {"client": 1},
        {"clients": 5},
        {"client": 5, "clients": 5},
        {"client": -1, "clients": 5},
        {"part": "test", "client": 0, "clients": 5},
        {"part": "validation"},
        {"alpha": 0.5},
    ],
)
def test_a_share_that_does_not_exist_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        DigitsDataset(**wrong)


def test_a_view_with_combine_gives_batches_of_arrays() -> None:
    dataset = DigitsDataset("test")
    x, y = next(iter(DatasetViewFactory(dataset, batch_size=7, combiner=combine)))
    assert np.array_equal(x, dataset.x[:7])
    assert np.array_equal(y, dataset.y[:7])
    assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_the_summary_counts_the_labels() -> None:
    assert summary(DigitsDataset("test")).startswith("360 samples: 0 x")
