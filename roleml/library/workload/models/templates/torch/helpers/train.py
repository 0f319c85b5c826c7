"""One epoch of supervised training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["default_xy_train"]


def default_xy_train(
    module: nn.Module,
    optimizer: Optimizer,
    criterion: nn.Module,
    data: Iterable[tuple[torch.Tensor, torch.Tensor]],
    device: torch.device | str,
) -> dict[str, float]:
    """One optimiser step per batch, of tensors or NumPy arrays.

    Returns the mean of the batch losses as `loss`; no batches: `{}`.
    """
    module.train()
    losses = []
    for x, y in data:
        optimizer.zero_grad()
        loss = criterion(module(torch.as_tensor(x).to(device)), torch.as_tensor(y).to(device))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"loss": sum(losses) / len(losses)} if losses else {}
