"""What workloads are made of: model protocols, datasets and views of them."""

from __future__ import annotations

from roleml.library.workload.datasets.bases import Dataset
from roleml.library.workload.datasets.templates import SimpleDataset, XYDataset
from roleml.library.workload.datasets.views import (
    DatasetBatchView,
    DatasetPointView,
    DatasetView,
    DatasetViewFactory,
)
from roleml.library.workload.models.bases import TestableModel, TrainableModel

__all__ = [
    "Dataset",
    "DatasetBatchView",
    "DatasetPointView",
    "DatasetView",
    "DatasetViewFactory",
    "SimpleDataset",
    "TestableModel",
    "TrainableModel",
    "XYDataset",
]
