"""What the management pages know that is wrong, or will be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import roleml
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq.leftovers import leftovers
from roleml.messaging.rabbitmq.management import ManagementAPI
from roleml.messaging.rabbitmq.probing import Finding

__all__ = ["findings"]

#: How full a node's table of file descriptors may be.
FULL = 0.8
_QUEUE = re.compile(r"q\.(?P<actor>[^.]+)\.(?P<role>[^.]+)\.(?P<kind>services|tasks)")
_DEAD = re.compile(r"q\.(?P<actor>[^.]+)\.@dead")


def findings(api: ManagementAPI, vhost: str) -> Iterator[Finding]:
    """Look at nodes, queues and connections. Without the plugin, that is the finding."""
    looks: list[Callable[[ManagementAPI, str], Iterator[Finding]]] = [
        _nodes,
        _queues,
        _leftovers,
        _connections,
    ]
    for look in looks:
        try:
            yield from look(api, vhost)
        except MsgConnectionError as e:
            yield Finding(
                "warning",
                "management",
                f"nodes, queues and connections were not looked at: {e}",
                "rabbitmq-plugins enable rabbitmq_management, or say where it is with --management",
            )
            return


def _nodes(api: ManagementAPI, vhost: str) -> Iterator[Finding]:
    for node in api.get("nodes"):
        name, well = node["name"], True
        if not node.get("running", True):
            remedy = "start it, or remove it from the cluster"
            yield Finding("warning", "node", f"{name} is not running", remedy)
            continue
        for alarm, what in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
            if node.get(alarm):
                well = False
                remedy = f"free {what} on its host; until then the broker takes no messages"
                yield Finding("error", "alarm", f"{name} is short of {what}", remedy)
        used, total = node.get("fd_used") or 0, node.get("fd_total") or 0
        if total and used > FULL * total:
            well = False
            yield Finding(
                "warning",
                "limits",
                f"{name} uses {used} of {total} file descriptors",
                "raise LimitNOFILE of the service, or put more actors into each process",
            )
        if node.get("partitions"):
            well = False
            parts = ", ".join(node["partitions"])
            remedy = "mend the network, then restart one side"
            yield Finding("error", "cluster", f"{name} does not see {parts}", remedy)
        if well:
            yield Finding("ok", "node", f"{name} is well")


def _queues(api: ManagementAPI, vhost: str) -> Iterator[Finding]:
    waiting = 0
    for queue in api.get("queues", vhost):
        name, ready = queue["name"], queue.get("messages_ready") or 0
        if (match := _DEAD.fullmatch(name)) and ready:
            yield Finding(
                "warning",
                "tasks",
                f"{ready} tasks of actor {match['actor']} were set aside: each killed its actor three times",
                f"look at them in the queue {name}, mend the role, and purge the queue",
            )
        match = _QUEUE.fullmatch(name)
        if match is None or not ready or queue.get("consumers"):
            continue
        waiting += 1
        actor = match["actor"]
        yield Finding(
            "warning",
            "consumers",
            f"{ready} {match['kind']} wait for {actor}/{match['role']}, and nobody takes them",
            f"start actor {actor}; if it is not coming back: roleml broker forget --force {actor}",
        )
    if not waiting:
        yield Finding("ok", "consumers", "nothing waits for an actor that is not there")


def _leftovers(api: ManagementAPI, vhost: str) -> Iterator[Finding]:
    for actor, left in leftovers(api, vhost).items():
        if left.exchanges and not left.connected:
            yield Finding(
                "warning",
                "leftovers",
                f"{len(left.exchanges)} exchanges of events stay of actor {actor}, which is not connected",
                f"start it; if it is not coming back: roleml broker forget {actor}",
            )


def _connections(api: ManagementAPI, vhost: str) -> Iterator[Finding]:
    versions: dict[str, set[str]] = {}
    for connection in api.get("vhosts", vhost, "connections"):
        told = connection.get("client_properties") or {}
        if told.get("product") == "RoleML":
            name = str(told.get("connection_name", connection["name"])).split(" ")[0]
            versions.setdefault(str(told.get("version")), set()).add(name)
    own = roleml.__version__
    if len({*versions, own}) > 1 and versions:
        listed = "; ".join(f"{each}: {', '.join(sorted(who))}" for each, who in sorted(versions.items()))
        yield Finding(
            "error",
            "version skew",
            f"actors run different versions of RoleML ({listed}; this one is {own})",
            "install one version everywhere: what travels between versions is not promised",
        )
    else:
        number = sum(len(who) for who in versions.values())
        yield Finding("ok", "versions", f"{number} processes are connected, all of RoleML {own}")
