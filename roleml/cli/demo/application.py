"""The demo as an application: which role runs on which actor, and what it works on.

Plain data with dotted names, as it would stand in a YAML file; `runs/<time>/config.yaml` is exactly this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

import roleml.essentials as rml
from roleml.cli.demo.options import DemoOptions

__all__ = ["actor_configs", "save_model"]

LIBRARY = "roleml.library"
DIGITS = f"{LIBRARY}.workload.datasets.zoo.image.digits"
MERGERS = f"{LIBRARY}.workload.util.collections.merger"
HERE = "roleml.cli.demo"


def actor_configs(options: DemoOptions, folder: Path) -> list[rml.ActorBootstrapSpec]:
    """The actors in the order they start: the clients, the server, and the conductor that begins the run."""
    clients = [client(options, name, index) for index, name in enumerate(options.client_names)]
    return [*clients, server(options, folder), conductor(options, folder)]


def client(options: DemoOptions, name: str, index: int) -> rml.ActorBootstrapSpec:
    """One client: a trainer with its share of the digits."""
    return actor(
        options,
        name,
        roles={
            "trainer": {
                "class": f"{LIBRARY}.roles.trainer.epoch.EpochTrainer",
                "impl": {"model": model(options), "dataset": client_digits(options, index)},
            }
        },
    )


def server(options: DemoOptions, folder: Path) -> rml.ActorBootstrapSpec:
    """The server: four roles that find each other by name, and the trainers by a relationship."""
    federated = f"{LIBRARY}.roles.federated"
    return actor(
        options,
        "server",
        relationships={"client": [f"{name}/trainer" for name in options.client_names]},
        roles={
            "client-selector": {"class": f"{federated}.selector.ClientSelector"},
            "configurator": {
                "class": f"{federated}.configurator.ClientConfigurator",
                "options": {"num_epochs": options.epochs},
            },
            "aggregator": {
                "class": f"{federated}.aggregator.CollectiveAggregator",
                "impl": {"merger": {"class": f"{MERGERS}.numpy.ArrayDictAverager"}},
            },
            "coordinator": {
                "class": f"{federated}.coordinator.FLCoordinator",
                "impl": {
                    "model": {
                        **model(options),
                        # written when the role ends, also by an interruption
                        "serializer": f"{HERE}.application.save_model",
                        "serializer_destination": str(folder / "model.npz"),
                    },
                    "dataset": digits({"part": "test"}, batch_size=500),
                },
            },
        },
        log_file_path=str(folder),
    )


def conductor(options: DemoOptions, folder: Path) -> rml.ActorBootstrapSpec:
    """The one who begins the run and writes down how it goes."""
    return actor(
        options,
        "conductor",
        relationships={
            "coordinator": ["server/coordinator"],
            "trainer": [f"{name}/trainer" for name in options.client_names],
        },
        roles={
            "recorder": {
                "class": f"{HERE}.roles.Recorder",
                "options": {"metrics_path": str(folder / "metrics.jsonl")},
                "impl": {"display": {"constructor": f"{HERE}.display.new_display"}},
            },
            "conductor": {
                "class": f"{HERE}.roles.Conductor",
                "options": {
                    "rounds": options.rounds,
                    "select_ratio": options.select_ratio,
                    "clients": options.client_names,
                },
            },
        },
    )


def actor(options: DemoOptions, name: str, **rest: Any) -> rml.ActorBootstrapSpec:
    """What all actors have in common; the log goes to a file, the console is the display's."""
    config = {"name": name, "seed": options.seed, "log_console_level": "ERROR", **rest}
    return cast(rml.ActorBootstrapSpec, config)


def model(options: DemoOptions) -> dict[str, Any]:
    """A multi-layer perceptron with 64 hidden units; everybody starts from the same weights."""
    return {
        "class": f"{LIBRARY}.workload.models.templates.sklearn.MLPClassifierModel",
        "constructor_args": {"hidden": [64], "lr": 0.2, "seed": options.seed},
    }


def client_digits(options: DemoOptions, index: int) -> dict[str, Any]:
    """The share of one client, in small batches, in a new order each epoch."""
    share = {"client": index, "clients": options.clients, "alpha": options.alpha, "seed": options.seed}
    # a generator per client: actors of one process share the `random` module, and would take turns by chance
    sampler = {"type": "random-oneoff", "options": {"seed": options.seed * 1000 + index}}
    return digits(share, sampler=sampler, batch_size=16)


def digits(which: dict[str, Any], **reading: Any) -> dict[str, Any]:
    return {
        "constructor": f"{LIBRARY}.workload.datasets.views.DatasetViewFactory",
        "constructor_args": {
            "dataset": {"type": f"{DIGITS}.DigitsDataset", "options": which},
            "combiner": f"{DIGITS}.combine",
            **reading,
        },
    }


def save_model(trained: Any, file: BinaryIO) -> None:
    """Write a model's parameters as named arrays; `numpy.load` reads them."""
    np.savez(file, **trained.get_params())
