from __future__ import annotations

import numpy as np
import torch

from roleml.library.workload.datasets.templates import XYDataset
from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.datasets.zoo.image.cifar_10.functions import combine, transform_torch


def test_images_become_normalised_tensors_with_the_channel_first() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    transformed = transform_torch(XYDataset(x, [1, 2, 3]))
    assert transformed.y == [1, 2, 3]
    assert len(transformed) == 3
    image, _ = transformed[1]
    expected = (x[1].astype(np.float32) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(image.numpy(), expected.transpose(2, 0, 1), rtol=1e-6)


def test_a_batch_is_a_float_tensor_and_an_int64_tensor() -> None:
    x = np.zeros((5, 32, 32, 3), dtype=np.uint8)
    view = DatasetViewFactory(
        XYDataset(x, np.arange(5)), converters=[transform_torch], batch_size=4, combiner=combine
    )
    (images, labels), (rest, _) = view
    assert (images.shape, images.dtype) == ((4, 3, 32, 32), torch.float32)
    assert (labels.tolist(), labels.dtype) == ([0, 1, 2, 3], torch.int64)
    assert rest.shape == (1, 3, 32, 32)
