"""Three private nodes that form a cluster, configured as brokers/cluster.conf is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from roleml.cli.broker.server import Server
from tests.actors import in_thread, wait_until
from tests.broker.console import quoted
from tests.broker.node import COOKIE, START_DEADLINE_S, Node

__all__ = ["cluster", "isolate", "reunite", "running_nodes"]

#: The minority of a cluster stops, so that nobody is served by nodes that do not know of each other.
PARTITIONS = {"cluster_partition_handling": "pause_minority"}


@contextlib.contextmanager
def cluster(server: Server) -> Iterator[Node]:
    """The first of three nodes, which knows the others; its URL names all."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Node(server, settings=PARTITIONS))
        others = [
            Node(server, settings=PARTITIONS | joining(first), epmd_port=first.epmd_port) for _ in range(2)
        ]
        for node in others:
            stack.callback(node.stop)
        for starting in [in_thread(node.start) for node in others]:
            starting.result(START_DEADLINE_S)
        first.others = tuple(others)
        wait_until(lambda: all(running_nodes(node) == 3 for node in (first, *others)), START_DEADLINE_S)
        yield first


def joining(first: Node) -> Mapping[str, str]:
    return {
        "cluster_formation.peer_discovery_backend": "classic_config",
        "cluster_formation.classic_config.nodes.1": first.name,
    }


def running_nodes(node: Node) -> int:
    """How many nodes of its cluster run, as this one sees it."""
    found: int = node.evaluate(
        "length(case erlang:function_exported(rabbit_nodes, list_running, 0) of"
        " true -> rabbit_nodes:list_running(); false -> rabbit_nodes:all_running() end)"
    )
    return found


def isolate(node: Node) -> None:
    """Cut its connections to the others of its cluster, and let it make no new ones, in either direction."""
    for other in node.others:
        name = f"binary_to_atom({quoted(other.name)})"
        node.evaluate(f"true = erlang:set_cookie({name}, isolated), erlang:disconnect_node({name}), ok")


def reunite(node: Node) -> None:
    """Let it connect to the others again."""
    for other in node.others:
        node.evaluate(f"true = erlang:set_cookie(binary_to_atom({quoted(other.name)}), '{COOKIE}'), ok")
