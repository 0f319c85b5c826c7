"""Divides the training set of CIFAR-10 into numbered slices for `CiFar10SlicedDataset`.

Run as a module: `python -m roleml.library.workload.datasets.zoo.image.cifar_10.splitter SOURCE OUTPUT`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from roleml.library.workload.datasets.partition import split_by_shards, split_dirichlet, split_evenly
from roleml.library.workload.datasets.zoo.image.cifar_10.impl import TRAINING_FILES, CiFar10Dataset
from roleml.library.workload.datasets.zoo.image.cifar_10.util import rows_to_images, unpickle

__all__ = ["slice_cifar_10_dataset", "slice_cifar_10_dataset_from_cli", "split_cifar_10_dataset"]


def slice_cifar_10_dataset(
    root: str | os.PathLike[str], output_path: str | os.PathLike[str], parts: int = 2
) -> None:
    """Cut each of the five training files into `parts` consecutive slices of equal size.

    Slice `k` of file `f` (both counted from 0) gets number `f * parts + k`. What a file has left over after
    equal slices is not used. The files are not sorted by label: the slices are roughly IID.

    Raises:
        ValueError: a file has fewer images than there are to be slices, or `parts` is below 1.
    """
    for file_number, file in enumerate(TRAINING_FILES):
        rows, labels = unpickle(Path(root) / file)
        size = len(rows) // parts if parts > 0 else 0
        if not size:
            raise ValueError(f"cannot cut the {len(rows)} images of {file} into {parts} slices")
        for k in range(parts):
            cut = slice(k * size, (k + 1) * size)
            _save(output_path, file_number * parts + k, rows_to_images(rows[cut]), np.asarray(labels[cut]))


def split_cifar_10_dataset(
    root: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    parts: int = 10,
    *,
    mode: Literal["iid", "non-iid"] = "iid",
    alpha: float | None = None,
    shards_per_part: int = 2,
    seed: int = 0,
) -> None:
    """Divide the whole training set into `parts` slices.

    Mode 'iid' deals out a shuffled set evenly; 'non-iid' skews the labels, by a Dirichlet distribution if
    `alpha` is given, else by label shards. See `roleml.library.workload.datasets.partition`.

    Raises:
        ValueError: there is no such mode, `alpha` is given for mode 'iid', or the set cannot be divided so.
    """
    if mode == "iid" and alpha is not None:
        raise ValueError(f"alpha={alpha} skews the labels, which mode 'iid' does not: choose 'non-iid'")
    dataset = CiFar10Dataset(root)
    if mode == "iid":
        shares = split_evenly(len(dataset), parts, seed=seed)
    elif mode != "non-iid":
        raise ValueError(f"there is no mode {mode!r}: choose 'iid' or 'non-iid'")
    elif alpha is not None:
        shares = split_dirichlet(dataset.y, parts, alpha=alpha, seed=seed)
    else:
        shares = split_by_shards(dataset.y, parts, shards_per_part=shards_per_part, seed=seed)
    for number, share in enumerate(shares):
        _save(output_path, number, dataset.x[share], dataset.y[share])


def slice_cifar_10_dataset_from_cli(arguments: Sequence[str] | None = None) -> None:
    """The command line; `arguments` replaces that of the process."""
    parser = argparse.ArgumentParser(description="Divide the training set of CIFAR-10 into slices.")
    parser.add_argument("source", help="folder with data_batch_1 to data_batch_5")
    parser.add_argument("output_path", help="folder for the slices; created if it does not exist")
    parser.add_argument(
        "-c", "--count", type=int, default=5, help="slices per training file (default: %(default)s)"
    )
    parser.add_argument(
        "-m",
        "--mode",
        choices=["sequential", "iid", "non-iid"],
        default="sequential",
        help="sequential: in file order; iid: shuffled; non-iid: skewed labels (default: %(default)s)",
    )
    parser.add_argument("--alpha", type=float, help="non-iid by a Dirichlet distribution with this parameter")
    parser.add_argument("--shards", type=int, default=2, help="non-iid by this many label shards per slice")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.alpha is not None and given.mode != "non-iid":
        parser.error("--alpha goes with --mode non-iid")
    try:
        if given.mode == "sequential":
            slice_cifar_10_dataset(given.source, given.output_path, given.count)
        else:
            split_cifar_10_dataset(
                given.source,
                given.output_path,
                given.count * len(TRAINING_FILES),
                mode=given.mode,
                alpha=given.alpha,
                shards_per_part=given.shards,
                seed=given.seed,
            )
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _save(
    folder: str | os.PathLike[str], number: int, images: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    np.save(Path(folder) / f"data_{number}.npy", images)
    np.save(Path(folder) / f"labels_{number}.npy", labels)


if __name__ == "__main__":
    slice_cifar_10_dataset_from_cli()
