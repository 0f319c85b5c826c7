"""The role of an experimenter: deploys a run to many actors, and takes commands."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from roleml.core.context import ActorProfile
from roleml.core.role.base import Role
from roleml.library.roles.conductor.deployment import Deployment
from roleml.library.roles.conductor.expansion import expand
from roleml.library.roles.conductor.types import RunSpec, validate_run_spec, validate_run_spec_template
from roleml.shared.cli import RuntimeCLI
from roleml.shared.interfaces import Runnable

__all__ = ["Conductor"]


class Conductor(Role, Runnable):
    """Reads commands from the standard input; at its end the whole actor stops.

    The command ``configure`` deploys roles to the other actors, which run already, and have this role
    (usually ``conductor/conductor``) in their relationship ``manager``. Subclasses add commands::

        class MyConductor(Conductor):
            def __init__(self):
                super().__init__("FL")
                self.cli.add_command("start", self.start, expand_arguments=True)

            def start(self, num_rounds: int = 100):
                return self.call_task("coordinator", "run", args={"num_rounds": num_rounds}).result()
    """

    def __init__(self, name: str = "RoleML") -> None:
        super().__init__()
        self.cli = RuntimeCLI(name)
        #: whether `run` reads commands; otherwise they are given by `cli.execute`
        self.takes_input = True
        self.cli.on_eof = self._leave
        self.cli.add_command("configure", self.configure, expand_arguments=True)

    def run(self) -> None:
        self.take_charge()
        if self.takes_input:
            self.cli.run()

    def stop(self) -> None:
        self.cli.stop()

    def take_charge(self) -> None:
        """Become a manager of the own actor."""
        self.ctx.relationships.add_to_relationship("manager", self.id)

    def configure(self, config_file: str, path: str | None = None) -> RunSpec:
        """Deploy what a configuration file says.

        A relative path starts at the actor's working directory. A template is expanded first, and the outcome
        is written to ``run-<time>.yaml`` in the folder ``path``, by default beside the template: deploying
        that file again does the same. What was deployed is returned.

        Raises:
            FileNotFoundError, YAMLError: see `roleml.shared.yml.load_yaml`.
            ConfigError: all that is wrong with the configuration, and where. A ValueError.
            AbsentError: not all actors are there; nothing was changed.
            DeploymentError: a step failed; the error says what was done before.
        """
        from roleml.shared.yml import load_yaml_with_marks  # PyYAML is only needed here

        file = Path(self.ctx.workdir) / config_file
        config, marks = load_yaml_with_marks(file)
        if isinstance(config, Mapping) and config.get("fixed") is True:
            validate_run_spec(config, marks, conductor=self.profile.name)
            return self.deploy(cast("RunSpec", config))
        validate_run_spec_template(config, marks)
        spec = expand(config, self.profile.name)
        validate_run_spec(spec, marks, conductor=self.profile.name)
        self._write(spec, file.parent if path is None else Path(self.ctx.workdir) / path)
        return self.deploy(spec)

    def deploy(self, spec: RunSpec) -> RunSpec:
        """Deploy a reproducible configuration, and return it. Raises as `Deployment.run`."""
        for profile in spec.get("profiles") or ():
            self.ctx.contacts.add_contact(ActorProfile(profile["name"], profile.get("address") or ""))
        Deployment(self, spec).run()
        return spec

    def _write(self, spec: RunSpec, folder: Path) -> None:
        from roleml.shared.yml import save_yaml

        folder.mkdir(parents=True, exist_ok=True)
        name = f"run-{time.strftime('%Y-%m-%d-%H-%M-%S')}"
        file = folder / f"{name}.yaml"
        number = 1
        while file.exists():
            number += 1
            file = folder / f"{name}-{number}.yaml"
        save_yaml(file, spec)
        self.logger.info("what is deployed is written to %s", file)

    def _leave(self) -> None:
        print("[info] the actor will now terminate, please wait")  # noqa: T201  # the end of a dialogue
        os.kill(os.getpid(), signal.SIGINT)
