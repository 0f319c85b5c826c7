"""Users, vhosts and what is on a node, by expressions evaluated in it."""

from __future__ import annotations

import abc
from typing import Any

from tests.broker.broker import Broker, Row
from tests.broker.console import quoted

# A proplist of the broker as a map that JSON can hold: names without their vhost, arguments without types.
_READABLE = """
Typed = fun
    Typed(table, Fields) -> maps:from_list([{Key, Typed(Type, Value)} || {Key, Type, Value} <- Fields]);
    Typed(array, Items) -> [Typed(Type, Value) || {Type, Value} <- Items];
    Typed(_, Value) when is_binary(Value); is_number(Value); is_atom(Value) -> Value;
    Typed(_, Value) -> unicode:characters_to_binary(io_lib:format("~0tp", [Value]))
end,
Plain = fun
    (arguments, Table) -> Typed(table, Table);
    (client_properties, Table) -> Typed(table, Table);
    (_, {resource, _, _, Name}) -> Name;
    (_, Value) -> Typed(none, Value)
end,
Row = fun(Info) -> maps:from_list([{Key, Plain(Key, Value)} || {Key, Value} <- Info]) end,
Rows = fun(Infos) -> lists:map(Row, Infos) end,
"""


class Administration(Broker):
    """A broker that evaluates Erlang for us: a millisecond each, 20 ms for a new vhost."""

    @abc.abstractmethod
    def evaluate(self, expressions: str) -> Any:
        """The value of an expression of Erlang, as JSON holds it."""

    def version(self) -> str:
        version: str = self.evaluate("list_to_binary(rabbit_misc:version())")
        return version

    def add_vhost(self, name: str, user: str | None = None) -> None:
        self._call("rabbit_vhost:add", name)
        self.set_permissions(user or self.admin, name)

    def delete_vhost(self, name: str) -> None:
        self.evaluate(f'rabbit_vhost:delete({quoted(name)}, <<"tests">>), ok')

    def add_user(self, name: str, password: str) -> None:
        self._call("rabbit_auth_backend_internal:add_user", name, password)

    def delete_user(self, name: str) -> None:
        self._call("rabbit_auth_backend_internal:delete_user", name)

    def set_permissions(
        self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        self._call("rabbit_auth_backend_internal:set_permissions", user, vhost, configure, write, read)

    def set_topic_permissions(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        self._call("rabbit_auth_backend_internal:set_topic_permissions", user, vhost, exchange, write, read)

    def list_queues(self, vhost: str = "/") -> list[Row]:
        items = "name, durable, auto_delete, arguments, messages_ready, messages_unacknowledged, consumers"
        return self._rows(
            f"[rabbit_amqqueue:info(Q, [{items}]) || Q <- rabbit_amqqueue:list({quoted(vhost)})]",
        )

    def list_exchanges(self, vhost: str = "/") -> list[Row]:
        items = "name, type, durable, auto_delete, internal, arguments"
        return self._rows(f"rabbit_exchange:info_all({quoted(vhost)}, [{items}])")

    def list_bindings(self, vhost: str = "/") -> list[Row]:
        items = "source_name, destination_name, destination_kind, routing_key, arguments"
        rows = self._rows(f"rabbit_binding:info_all({quoted(vhost)}, [{items}])")
        return [
            {
                "source": row["source_name"],
                "destination": row["destination_name"],
                "destination_type": row["destination_kind"],
                "routing_key": row["routing_key"],
                "arguments": row["arguments"],
            }
            for row in rows
        ]

    def list_connections(self, vhost: str | None = None) -> list[Row]:
        items = "name, user, vhost, state, channels, recv_oct, send_oct, client_properties"
        rows = self._rows(f"rabbit_networking:connection_info_all([{items}])")
        return [row for row in rows if vhost in (None, row["vhost"])]

    def close_connections(self, vhost: str, reason: str = "a test wants it") -> None:
        self.evaluate(
            f"[rabbit_networking:close_connection(Pid, {quoted(reason)}) || [{{pid, Pid}}, {{vhost, V}}] <- "
            f"rabbit_networking:connection_info_all([pid, vhost]), V =:= {quoted(vhost)}], ok"
        )

    def _call(self, function: str, *arguments: str) -> None:
        self.evaluate(f"ok = {function}({', '.join(map(quoted, (*arguments, 'tests')))})")

    def _rows(self, infos: str) -> list[Row]:
        rows: list[Row] = self.evaluate(f"{_READABLE} Rows({infos})")
        return rows
