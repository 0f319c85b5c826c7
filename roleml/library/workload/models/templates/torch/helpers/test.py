"""Evaluation of a classifier."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["default_xy_test"]


def default_xy_test(
    module: nn.Module,
    criterion: nn.Module,
    data: Iterable[tuple[torch.Tensor, torch.Tensor]],
    device: torch.device | str,
) -> dict[str, float]:
    """`accuracy` and `loss` over all samples; no samples: `{}`.

    `criterion` gives the mean over a batch, so that its values are weighted with the batch sizes. The
    module is left in evaluation mode.
    """
    module.eval()
    correct, loss, total = 0, 0.0, 0
    with torch.no_grad():
        for x, y in data:
            x, y = torch.as_tensor(x).to(device), torch.as_tensor(y).to(device)
            logits = module(x)
            correct += int((logits.argmax(dim=1) == y).sum().item())
            loss += float(criterion(logits, y).item()) * len(y)
            total += len(y)
    return {"accuracy": correct / total, "loss": loss / total} if total else {}
