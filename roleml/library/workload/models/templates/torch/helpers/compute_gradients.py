"""Gradients of one batch."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["default_xy_compute_gradients", "default_xy_compute_gradients_impl"]


def default_xy_compute_gradients(
    module: nn.Module,
    optimizer: Optimizer,
    criterion: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    device: torch.device | str,
) -> tuple[dict[str, float], list[torch.Tensor]]:
    """The loss, and the gradient of each parameter as a new flat tensor, in the order of `parameters()`.

    A parameter that the loss does not depend on has a gradient of zeros.
    """
    loss = default_xy_compute_gradients_impl(module, optimizer, criterion, x, y, device)
    gradients = [
        torch.zeros_like(parameter).flatten()
        if parameter.grad is None
        else parameter.grad.detach().clone().flatten()
        for parameter in module.parameters()
    ]
    return {"loss": float(loss.item())}, gradients


def default_xy_compute_gradients_impl(
    module: nn.Module,
    optimizer: Optimizer,
    criterion: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    device: torch.device | str,
) -> torch.Tensor:
    """Leaves the gradients in the `grad` of the parameters and returns the loss."""
    module.train()
    optimizer.zero_grad()
    loss: torch.Tensor = criterion(module(torch.as_tensor(x).to(device)), torch.as_tensor(y).to(device))
    loss.backward()  # type: ignore[no-untyped-call]  # not annotated in every torch version
    return loss
