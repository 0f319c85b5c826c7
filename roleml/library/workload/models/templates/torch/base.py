"""The common ground of torch models: module, optimiser, loss, device, parameters."""

from __future__ import annotations

import copy
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["SimpleTorchModel"]

# torch has one random generator per process; models that are built with a seed take turns in using it
_SEEDED_BUILD = threading.Lock()


class SimpleTorchModel(ABC):
    """A module with its optimiser and loss; a subclass says in `build_model` what they are.

    Any further keyword arguments of the constructor go to `build_model`.
    """

    def __init__(
        self,
        device: str = "cpu",
        num_threads: int | None = None,
        copy_on_get_params: bool = True,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            device: a torch device; any CUDA device falls back to the CPU where CUDA is not available.
            num_threads: sets the number of threads torch uses, for the whole process.
            copy_on_get_params: False makes `get_params` return the live tensors, which saves a copy and is
                safe only if nobody trains the model while the receiver still reads them.
            seed: makes the initial weights repeatable, without touching torch's global generator otherwise.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self.device = _available(device)
        self.copy_on_get_params = copy_on_get_params
        if seed is None:
            self.module, self.optimizer, self.criterion = self.build_model(**options)
        else:
            with _SEEDED_BUILD, torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.module, self.optimizer, self.criterion = self.build_model(**options)
        # moves the data of the parameters the optimiser refers to, not the parameters themselves
        self.module.to(self.device)
        self.criterion.to(self.device)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # what build_model takes can be given here, and nothing else: for editors, and `roleml check`
        cls.__signature__ = _signature(cls)  # type: ignore[attr-defined]  # for inspect

    @abstractmethod
    def build_model(self, **options: Any) -> tuple[nn.Module, Optimizer, nn.Module]:
        """The module, an optimiser of its parameters, and the loss, all on the CPU."""

    def get_params(self) -> dict[str, torch.Tensor]:
        """The module's state dict: parameters and buffers."""
        state = self.module.state_dict()
        if self.copy_on_get_params:
            return {name: value.detach().clone() for name, value in state.items()}
        return state

    def state_dict(self) -> dict[str, Any]:
        """Copies of the states of the module and the optimiser, for checkpoints."""
        state = {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}
        return copy.deepcopy(state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state_dict["module"])
        self.optimizer.load_state_dict(state_dict["optimizer"])

    def set_params(self, params: Mapping[str, torch.Tensor]) -> None:
        """Copies the values into the module; tensors may come from another device. The optimiser keeps its
        state.
        """
        self.module.load_state_dict(params)


def _signature(cls: type[SimpleTorchModel]) -> inspect.Signature:
    """That of the constructor, with the options of `build_model` if it hands them on as it does here."""
    own = list(inspect.signature(cls.__init__).parameters.values())[1:]
    if cls.__init__ is not SimpleTorchModel.__init__:
        return inspect.Signature(own)
    own = own[:-1]
    taken = {each.name for each in own}
    return inspect.Signature(
        own
        + [
            each if each.kind is each.VAR_KEYWORD else each.replace(kind=each.KEYWORD_ONLY)
            for each in list(inspect.signature(cls.build_model).parameters.values())[1:]
            if each.kind is not each.VAR_POSITIONAL and each.name not in taken
        ]
    )


def _available(device: str) -> torch.device:
    wanted = torch.device(device.lower())
    if wanted.type == "cuda" and not torch.cuda.is_available():
        return torch.device("cpu")
    return wanted
