"""A RabbitMQ of one's own in a container, where Docker is there and no server is installed."""

from __future__ import annotations

import shutil
import subprocess
import time

from roleml.cli.broker.node import HERE, speaks_amqp
from roleml.cli.broker.private import (
    ADMIN,
    MANAGEMENT_OFFSET,
    BrokerNotUpError,
    PrivateBroker,
    Running,
    url_of,
)

__all__ = ["IMAGE", "ContainerBroker"]

IMAGE = "rabbitmq:4-management"

START_TIMEOUT_S = 180.0
DOCKER_TIMEOUT_S = 600.0
"""Of one call of docker: the first one fetches the image."""


class ContainerBroker:
    """A container beside the folder of a `PrivateBroker`, which has its password. Its data is in a volume."""

    def __init__(self, broker: PrivateBroker) -> None:
        self._broker = broker
        self._name = broker.label

    @staticmethod
    def possible() -> bool:
        """Whether Docker is installed and its engine answers."""
        if shutil.which("docker") is None:
            return False
        return (
            subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False).returncode == 0
        )

    def running(self) -> Running | None:
        """What is up, if it is."""
        running = Running.read(self._broker.record)
        if running is None or running.container is None or not self._is_up():
            return None
        return running

    def start(self, port: int, image: str = IMAGE) -> Running:
        """Start the container, with the management pages 10,000 ports above, and return when it serves.

        Raises:
            BrokerNotUpError: Docker refused, or the broker ended or took longer than three minutes.
        """
        password = self._broker.password()
        self._broker.folder.chmod(0o700)
        environment = self._broker.folder / "environment"
        environment.touch(0o600)  # and not on the command line, which everybody can read
        environment.write_text(f"RABBITMQ_DEFAULT_USER={ADMIN}\nRABBITMQ_DEFAULT_PASS={password}\n")
        management = port + MANAGEMENT_OFFSET
        self._docker("rm", "--force", self._name)
        self._docker(
            "run", "--detach", "--name", self._name, "--hostname", self._name, "--env-file", str(environment),
            "--publish", f"{HERE}:{port}:5672", "--publish", f"{HERE}:{management}:15672",
            "--volume", f"{self._name}:/var/lib/rabbitmq", image,
        )  # fmt: skip
        end = time.monotonic() + START_TIMEOUT_S
        while not speaks_amqp(port):
            problem = "ended while starting" if not self._is_up() else ""
            if time.monotonic() > end:
                problem = f"does not serve after {START_TIMEOUT_S:g} s"
            if problem:
                said = self._docker("logs", "--tail", "30", self._name)
                self._docker("rm", "--force", self._name)
                raise BrokerNotUpError(f"the container {self._name} {problem}\n{said}")
            time.sleep(0.2)
        url = url_of(password, [port])
        running = Running(
            url, f"http://{HERE}:{management}", str(self._broker.folder), {}, container=self._name
        )
        running.write(self._broker.record)
        return running

    def stop(self) -> bool:
        """Stop and remove the container. Returns whether it was up. Its volume stays."""
        if self.running() is None:
            return False
        self._docker("stop", self._name)
        self._docker("rm", "--force", self._name)
        self._broker.record.unlink()
        return True

    def delete(self) -> None:
        """Remove the volume, too."""
        self._docker("volume", "rm", "--force", self._name)

    def _is_up(self) -> bool:
        command = ["docker", "inspect", "--format", "{{.State.Running}}", self._name]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return found.stdout.strip() == "true"

    def _docker(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=DOCKER_TIMEOUT_S, check=False
        )
        if done.returncode != 0 and arguments[0] == "run":
            raise BrokerNotUpError(f"docker {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout + done.stderr
