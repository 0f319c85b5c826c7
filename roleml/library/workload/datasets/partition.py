"""Cutting one labelled dataset into the parts of several clients.

Each function returns one sorted array of indices per part; the parts are disjoint, cover the dataset and
are not empty. Labels are of shape `(n,)`, numbers or texts. The same arguments give the same parts on every
machine and NumPy version: the generator is MT19937 as frozen in `numpy.random.RandomState`.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

__all__ = [
    "check_share",
    "count_labels",
    "describe_labels",
    "split_by_shards",
    "split_dirichlet",
    "split_evenly",
]

Indices = npt.NDArray[np.int64]


def split_evenly(size: int, parts: int, *, seed: int = 0) -> list[Indices]:
    """Shuffle, then deal out: independent and identically distributed parts whose sizes differ by at most 1.

    The IID setting of McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
    Data", AISTATS 2017 (arXiv:1602.05629).
    """
    _check_parts(size, parts)
    return [np.sort(part) for part in np.array_split(_generator(seed).permutation(size), parts)]


def split_by_shards(labels: Any, parts: int, *, shards_per_part: int = 2, seed: int = 0) -> list[Indices]:
    """Sort by label, cut into shards, give each part `shards_per_part` of them: most parts see few labels.

    The pathological non-IID setting of McMahan et al., AISTATS 2017 (arXiv:1602.05629), where 2 shards of one
    label each make a client.
    """
    labels = _labels(labels)
    shard_count = parts * shards_per_part
    _check_parts(len(labels), parts)
    if shards_per_part < 1 or len(labels) < shard_count:
        raise ValueError(
            f"cannot cut {len(labels)} samples into {parts} parts of {shards_per_part} shards each: "
            "every shard needs at least one sample"
        )
    # shuffled first, so that the samples of one label are not always cut in file order
    generator = _generator(seed)
    shuffled = generator.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    shards = np.array_split(by_label, shard_count)
    dealt = generator.permutation(shard_count).reshape(parts, shards_per_part)
    return [np.sort(np.concatenate([shards[i] for i in numbers])) for numbers in dealt]


def split_dirichlet(labels: Any, parts: int, *, alpha: float, seed: int = 0) -> list[Indices]:
    """Deal out each label in proportions drawn from a symmetric Dirichlet distribution.

    A small `alpha` gives parts of few labels and uneven sizes, a large one nearly identical parts. A part
    that the draw left empty gets one sample of the then largest part.

    Yurochkin et al., "Bayesian Nonparametric Federated Learning of Neural Networks", ICML 2019
    (arXiv:1905.12022); compare Hsu, Qi and Brown, arXiv:1909.06335, who draw per client instead of per label.
    """
    labels = _labels(labels)
    _check_parts(len(labels), parts)
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha must be positive and finite, not {alpha}: for even parts use split_evenly")
    generator = _generator(seed)
    owned: list[list[Indices]] = [[] for _ in range(parts)]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        shares = generator.dirichlet(np.full(parts, alpha))
        # a very small alpha underflows to shares that are no numbers: then one part gets everything
        if not np.isfinite(shares).all():
            shares = np.eye(parts)[generator.randint(parts)]
        cuts = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for own, piece in zip(owned, np.split(members, cuts), strict=True):
            own.append(piece)
    split = [np.concatenate(own) for own in owned]
    for number, part in enumerate(split):
        if not len(part):
            largest = max(range(parts), key=lambda i: len(split[i]))
            split[number], split[largest] = split[largest][-1:], split[largest][:-1]
    return [np.sort(part) for part in split]


def check_share(client: Any, clients: Any, alpha: float | None) -> None:
    """Raise ValueError or TypeError unless these arguments of a dataset name one client's share, or none."""
    if (client is None) != (clients is None):
        raise ValueError(f"client and clients go together, got client={client}, clients={clients}")
    if clients is None:
        if alpha is not None:
            raise ValueError(f"alpha={alpha} skews the shares of clients: say client and clients, too")
        return
    for name, value in (("client", client), ("clients", clients)):
        if not isinstance(value, SupportsIndex):
            raise TypeError(f"{name} is a whole number, not {value!r}")
    if not 0 <= client < clients:
        raise ValueError(f"there is no client {client} of {clients}: they are counted from 0")


def count_labels(labels: Any) -> dict[int, int]:
    """How many samples each label has, by ascending label."""
    values, counts = np.unique(np.asarray(labels), return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def describe_labels(labels: Any) -> str:
    """One line for people, such as `287 samples: 0 x28, 1 x30, 7 x229`."""
    counts = count_labels(labels)
    listed = ", ".join(f"{label} x{count}" for label, count in counts.items())
    return f"{sum(counts.values())} samples: {listed}" if counts else "no samples"


def _generator(seed: int) -> np.random.RandomState:
    # through a SeedSequence, because RandomState alone takes 32 bits and the seed of an actor has up to 63
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


def _labels(labels: Any) -> npt.NDArray[Any]:
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"labels have the shape (n,), one for each sample, not {array.shape}")
    return array


def _check_parts(size: int, parts: int) -> None:
    if not 1 <= parts <= size:
        raise ValueError(f"cannot cut {size} samples into {parts} parts that are not empty")
