"""What a role may ask of a model, as small protocols that combine.

A role declares its element with the narrowest protocol it needs; a model class does not have to inherit from
any of them. The protocols are runtime-checkable, which compares method names only, not signatures.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = [
    "GradientLRApplicable",
    "GradientsApplicable",
    "GradientsComputable",
    "GradientsOperableModel",
    "ParametersAccessible",
    "ParametersReadable",
    "ParametersWriteable",
    "Predictable",
    "Testable",
    "TestableModel",
    "Trainable",
    "TrainableModel",
]


@runtime_checkable
class ParametersReadable(Protocol):
    def get_params(self) -> Any:
        """Parameters in the model's own format, accepted by `set_params` of a model of the same kind.

        The receiver must not modify them: a model may return its live arrays.
        """
        ...


@runtime_checkable
class ParametersWriteable(Protocol):
    def set_params(self, params: Any, /) -> Any:
        """Replace all parameters. The model copies what it keeps."""
        ...


@runtime_checkable
class ParametersAccessible(ParametersReadable, ParametersWriteable, Protocol):
    pass


@runtime_checkable
class Trainable(Protocol):
    def train(self, data: Any, /, **options: Any) -> dict[str, Any]:
        """Train one epoch: one pass over `data`. Returns metrics such as `{'loss': 0.31}`.

        `options` are the hyper-parameters of this epoch; unknown ones are ignored.
        """
        ...


@runtime_checkable
class Testable(Protocol):
    def test(self, data: Any, /) -> dict[str, Any]:
        """Evaluate on `data` without changing the model. Returns metrics such as `{'accuracy': 0.9}`."""
        ...


@runtime_checkable
class Predictable(Protocol):
    def predict(self, x: Any, /) -> Any: ...


@runtime_checkable
class GradientsComputable(Protocol):
    def compute_gradients(self, data: Any, /, **options: Any) -> tuple[dict[str, Any], Any]:
        """Metrics and gradients of one batch. The parameters stay as they are."""
        ...


@runtime_checkable
class GradientsApplicable(Protocol):
    def apply_gradients(self, gradients: Any, /) -> Any:
        """Make one optimiser step with gradients that may come from another model of the same kind."""
        ...


@runtime_checkable
class GradientLRApplicable(Protocol):
    def apply_gradients(self, gradients: Any, lr: float, /) -> Any:
        """As `GradientsApplicable`, with a learning rate given by the caller."""
        ...


@runtime_checkable
class TrainableModel(Trainable, ParametersAccessible, Protocol):
    pass


@runtime_checkable
class TestableModel(Testable, ParametersAccessible, Protocol):
    pass


@runtime_checkable
class GradientsOperableModel(GradientsComputable, GradientsApplicable, ParametersAccessible, Protocol):
    pass
