"""Reading the files of CIFAR-10."""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["load_array_from_files", "rows_to_images", "unpickle"]


def unpickle(file: str | os.PathLike[str]) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Rows of shape `(n, 3072)` and the labels of one original file, such as `data_batch_1`.

    The file may come from anywhere, so that nothing but arrays is accepted inside it.

    Raises:
        pickle.UnpicklingError: the file contains other objects than CIFAR-10 files do.
        KeyError: it is a pickle of something else.
    """
    with open(file, "rb") as stream:
        content = _ArrayUnpickler(stream, encoding="bytes").load()
    return content[b"data"], content[b"labels"]


def rows_to_images(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Images `(n, 32, 32, 3)` of rows `(n, 3072)`, which hold the red plane, then green, then blue."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def load_array_from_files(*files: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The arrays of several `.npy` files, joined along their first axis."""
    return np.concatenate([np.load(file, allow_pickle=False) for file in files])


class _ArrayUnpickler(pickle.Unpickler):
    """Loads arrays and plain containers; any other class is refused."""

    # what an array refers to, in files written by Python 2, by NumPy 1 and by NumPy 2
    _ALLOWED = frozenset(
        [
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
        ]
    )

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self._ALLOWED:
            raise pickle.UnpicklingError(
                f"a CIFAR-10 file contains arrays and lists only, but this one asks for "
                f"{module_name}.{global_name}"
            )
        return super().find_class(module_name, global_name)
