"""How far the models of several peers are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["spread"]


def spread(models: Sequence[Mapping[str, Any]]) -> float:
    """The root of the mean squared distance of the models from their mean, over all parameters.

    0 means consensus. Models are dicts of arrays, or of what `numpy.asarray` makes arrays of, with the same
    keys and shapes. This is the consensus distance of Lian et al., "Can Decentralized Algorithms Outperform
    Centralized Algorithms?", NeurIPS 2017 (arXiv:1705.09056), per parameter.

    Raises:
        ValueError: there are no models.
    """
    if not models:
        raise ValueError("no models are neither near nor far")
    total, count = 0.0, 0
    for name in models[0]:
        stacked = np.stack([np.asarray(model[name], dtype=np.float64) for model in models])
        total += float(np.square(stacked - stacked.mean(axis=0)).sum())
        count += stacked.size
    return math.sqrt(total / count) if count else 0.0
