"""Models that scikit-learn trains: enough for small data sets, on machines without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

__all__ = ["MLPClassifierModel"]

Array = npt.NDArray[Any]


class MLPClassifierModel:
    """A multi-layer perceptron for `n_classes` labels `0..n_classes-1`, trained by mini-batch SGD.

    Data is an iterable of batches `(x, y)`: `x` of shape `(b, ...)` is flattened to `(b, n_features)`, `y`
    of shape `(b,)` holds labels. The loss is the cross entropy; computation is in float32. The parameters
    are `weight_<i>` of shape `(fan_in, fan_out)` and `bias_<i>` of shape `(fan_out,)` for each layer `i`.

    Models with the same arguments start from the same weights and, given the same batches, stay the same.
    """

    def __init__(
        self,
        n_features: int = 64,
        n_classes: int = 10,
        *,
        hidden: Sequence[int] = (64,),
        lr: float = 0.2,
        momentum: float = 0.0,
        l2: float = 0.0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            hidden: the width of each hidden layer, whose activation is ReLU.
            lr: the learning rate, constant.
            momentum: from 0 to 1, without Nesterov's correction; starts anew with each `set_params`.
            l2: the strength of the L2 penalty on the weights, scikit-learn's `alpha`.
            seed: of the initial weights.
        """
        self.n_features = n_features
        self.n_classes = n_classes
        # The estimator has no weights before it has seen data: those that scikit-learn draws for a first fit.
        self._estimator = MLPClassifier(
            hidden_layer_sizes=tuple(hidden),
            solver="sgd",
            alpha=l2,
            momentum=momentum,
            nesterovs_momentum=False,
            shuffle=False,  # the order within a batch is the caller's
            random_state=seed % 2**32,
        )
        self._take_blank_step(lr)
        self._forget_momentum()

    def get_params(self) -> dict[str, Array]:
        """Copies of all weights and biases."""
        return {name: array.copy() for name, array in self._parameters().items()}

    def set_params(self, params: Mapping[str, Array]) -> None:
        """Continue from other parameters, which are copied. The momentum starts anew.

        Raises:
            KeyError, ValueError: a parameter is missing or has another shape; nothing was changed then.
        """
        own = self._parameters()
        if missing := [name for name in own if name not in params]:
            raise KeyError(f"parameters {missing} are missing; got {list(params)}")
        for name, array in own.items():
            if np.shape(params[name]) != array.shape:
                raise ValueError(
                    f"parameter {name!r} has shape {np.shape(params[name])}, this model needs {array.shape}"
                )
        self._copy_in(params)
        self._forget_momentum()

    def state_dict(self) -> dict[str, Any]:
        """The parameters, and the velocities where there is momentum by now, for checkpoints."""
        optimizer = self._estimator.__dict__.get("_optimizer")
        velocities = None if optimizer is None else [each.copy() for each in optimizer.velocities]
        return {"params": self.get_params(), "velocities": velocities}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.set_params(state_dict["params"])
        if state_dict["velocities"] is None:
            return
        lr = self._estimator.learning_rate_init
        self._take_blank_step(lr)
        optimizer = self._estimator._optimizer
        optimizer.learning_rate = optimizer.learning_rate_init = lr
        self._copy_in(state_dict["params"])
        for own, velocity in zip(optimizer.velocities, state_dict["velocities"], strict=True):
            own[...] = velocity

    def train(self, data: Iterable[tuple[Array, Array]], **_: Any) -> dict[str, float]:
        """One SGD step per batch. Returns the mean of the batch losses as `loss`; no batches: `{}`."""
        losses = []
        for x, y in data:
            x = self._flat(x)
            # by default scikit-learn would cut a batch larger than 200 and take several steps
            self._estimator.batch_size = len(x)
            self._estimator.partial_fit(x, np.asarray(y))
            losses.append(float(self._estimator.loss_))
            # scikit-learn notes one number per call for ever; the last ones are all it looks at
            del self._estimator.loss_curve_[:-1]
        return {"loss": sum(losses) / len(losses)} if losses else {}

    def test(self, data: Iterable[tuple[Array, Array]]) -> dict[str, float]:
        """`accuracy` and mean `loss` over all samples; no samples: `{}`."""
        correct, loss, total = 0, 0.0, 0
        for x, y in data:
            y = np.asarray(y)
            probabilities = self._estimator.predict_proba(self._flat(x)).astype(np.float64)
            probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 rows add up to 1 only roughly
            correct += int((probabilities.argmax(axis=1) == y).sum())
            loss += float(log_loss(y, probabilities, normalize=False, labels=np.arange(self.n_classes)))
            total += len(y)
        return {"accuracy": correct / total, "loss": loss / total} if total else {}

    def predict(self, x: Array) -> npt.NDArray[np.int64]:
        """Labels of shape `(b,)`."""
        return np.asarray(self._estimator.predict(self._flat(x)), dtype=np.int64)

    def _parameters(self) -> dict[str, Array]:
        weights = {f"weight_{i}": array for i, array in enumerate(self._estimator.coefs_)}
        return weights | {f"bias_{i}": array for i, array in enumerate(self._estimator.intercepts_)}

    def _copy_in(self, params: Mapping[str, Array]) -> None:
        for name, array in self._parameters().items():
            array[...] = params[name]

    def _take_blank_step(self, lr: float) -> None:
        """One sample of zeros, at a learning rate so small that the step changes nothing; `lr` counts from
        the next optimiser on.
        """
        self._estimator.learning_rate_init = float(np.finfo(np.float64).tiny)
        self._estimator.batch_size = 1
        blank = np.zeros((1, self.n_features), dtype=np.float32)
        self._estimator.partial_fit(blank, np.zeros(1, dtype=np.int64), classes=np.arange(self.n_classes))
        self._estimator.learning_rate_init = lr

    def _flat(self, x: Array) -> npt.NDArray[np.float32]:
        return np.asarray(x, dtype=np.float32).reshape(len(x), -1)

    def _forget_momentum(self) -> None:
        # The optimiser, private to scikit-learn, keeps velocities and the learning rate; partial_fit makes
        # a new one if there is none. A test fails should a later version hold them elsewhere.
        self._estimator.__dict__.pop("_optimizer", None)
