"""An optimiser step with gradients computed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["default_xy_apply_gradients"]


def default_xy_apply_gradients(
    module: nn.Module, optimizer: Optimizer, gradients: Sequence[torch.Tensor]
) -> None:
    """One optimiser step with `gradients`, one per parameter in the order of `parameters()`, flat or not.

    The gradients are copied; they may come from another device.

    Raises:
        ValueError: their number or sizes are not those of the parameters; no step was made then.
    """
    parameters = list(module.parameters())
    if len(gradients) != len(parameters):
        raise ValueError(f"got {len(gradients)} gradients for the {len(parameters)} parameters of the model")
    for number, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        if gradient.numel() != parameter.numel():
            raise ValueError(
                f"gradient {number} has {gradient.numel()} elements, its parameter {parameter.numel()}"
            )
    for parameter, gradient in zip(parameters, gradients, strict=True):
        shaped = gradient.detach().reshape(parameter.shape)
        parameter.grad = shaped.to(device=parameter.device, dtype=parameter.dtype, copy=True)
    optimizer.step()
