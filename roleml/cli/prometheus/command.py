"""`roleml prometheus`: one address that Prometheus scrapes for all actors of an application."""

from __future__ import annotations

import argparse
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, at_least
from roleml.cli.foreground import Interruption, StopSignals, telling
from roleml.cli.launch import add_expected, add_surveying

if TYPE_CHECKING:
    from roleml.cli.status.survey import Surveyor

__all__ = ["register", "run"]

DESCRIPTION = """\
Serve figures of a running application for Prometheus: calls, durations, bytes, what waits, what was delivered
again, failures, of each actor and role. Actors are asked through the broker, so none of them opens a port and
Prometheus needs to reach this one only. Whom to ask is known to the broker's management plugin, or to a
configuration."""

EXIT_CODES = """\
exit codes: 130 interrupted; 143 ended by SIGTERM; 2 the command line is wrong, or the port is in use; 3 the
broker cannot be reached, or nobody tells who there is"""


def register(commands: Any) -> None:
    """Add `prometheus` to the command line."""
    parser = commands.add_parser(
        "prometheus", help="serve figures for Prometheus", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add_expected(parser)
    add(
        "--port",
        type=at_least(0),
        default=9464,
        metavar="N",
        help="0 takes a free one (default: %(default)s)",
    )
    add("--address", default="127.0.0.1", metavar="HOST", help="where to listen (default: %(default)s)")
    add_surveying(parser)
    parser.set_defaults(run=run)


@telling("roleml prometheus")
def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped, and return the exit code."""
    if find_spec("prometheus_client") is None:
        raise CommandError("this needs prometheus-client: pip install 'roleml[prometheus]'")
    from roleml.cli.status.command import surveying

    try:
        with StopSignals(), surveying(arguments) as surveyor:
            surveyor.connected()  # whether anybody tells who there is, now and not at the first scrape
            _serve(surveyor, arguments)
    except Interruption as interruption:
        return interruption.exit_code
    return 0


def _serve(surveyor: Surveyor, arguments: argparse.Namespace) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    from roleml.cli.prometheus.collector import ApplicationCollector

    registry = CollectorRegistry()
    registry.register(ApplicationCollector(surveyor, arguments.timeout))
    try:
        server, thread = start_http_server(arguments.port, arguments.address, registry)
    except OSError as error:
        where = f"{arguments.address}:{arguments.port}"
        raise CommandError(f"cannot listen at {where}: {error.strerror}; choose another --port") from error
    try:
        print(f"http://{arguments.address}:{server.server_port}/metrics", flush=True)
        threading.Event().wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
