"""The contract of ``Transport``, as tests that every transport passes.

A test module subclasses :class:`TransportContract` and gives it a fixture ``url``: a broker to itself. The
numbers in the names are those of the promises in the docstring of ``Transport``.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from roleml.messaging.codec import Codec
from roleml.messaging.codec_body import Body
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.filters import filter_of, passes, stamps_of
from roleml.messaging.transport import Absence, Presence, Transport, open_transport
from tests.actors import wait_until

DEADLINE_S = 10.0

codec = Codec()


class Inbox:
    """A receiver that keeps what it is told, each kind of news in a queue of its own."""

    def __init__(self) -> None:
        self.delivered: queue.Queue[tuple[Envelope, Body]] = queue.Queue()
        self.back: queue.Queue[tuple[Envelope, Absence]] = queue.Queue()
        self.news: queue.Queue[tuple[str, Presence]] = queue.Queue()

    def deliver(self, envelope: Envelope, body: Body) -> None:
        self.delivered.put((envelope, body))

    def returned(self, envelope: Envelope, absence: Absence) -> None:
        self.back.put((envelope, absence))

    def presence(self, actor: str, state: Presence) -> None:
        self.news.put((actor, state))

    def next(self) -> tuple[Envelope, Any]:
        envelope, body = self.delivered.get(timeout=DEADLINE_S)
        return envelope, codec.decode(body)


class Peer:
    """One connected actor of a test."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.inbox = Inbox()
        self.transport: Transport = open_transport(url, name)
        self.transport.start(self.inbox)
        self.transport.bind("me", [], [])

    def send(self, *targets: str, content: Any = None, kind: Kind = Kind.CONTROL, id: str = "1") -> None:
        """Each target is ``actor`` or ``actor/endpoint.channel``."""
        self.transport.send([self._envelope(target, kind, id) for target in targets], codec.encode(content))

    def _envelope(self, target: str, kind: Kind, id: str) -> Envelope:
        actor, _, rest = target.partition("/")
        endpoint, _, channel = rest.partition(".")
        return Envelope(kind, id, (self.name, "me"), (actor, endpoint), channel or "x")

    def publish(self, channel: str, content: Any, sequence: int = 1, **args: Any) -> None:
        envelope = Envelope(Kind.EVENT, "", (self.name, "me"), ("", ""), channel, sequence)
        self.transport.publish(envelope, codec.encode(content), stamps_of(args))

    def subscribe(self, source: Peer, channel: str, *wanted: dict[str, Any]) -> None:
        """Each of ``wanted`` is the args that an event may have. The source has offered the channel."""
        source.transport.offer("me", channel)
        filters = frozenset(filter_of(each.items()) for each in wanted) if wanted else None
        assert self.transport.subscribe((source.name, "me"), channel, filters)

    def flush(self, other: Peer) -> None:
        """Wait until everything that ``other`` sent to this one before has arrived."""
        other.send(self.name, content="flush")
        while self.inbox.next()[1] != "flush":
            pass


Connect = Callable[[str], Peer]

#: args of events: many are equal to each other, some have no stamp
ARGS = [
    None, True, False, 0, 1, 1.0, -0.0, 0.5, -1, 2**62, 2**63, 2**70, float("inf"), float("nan"), "", "a",
    "n:1", "z:", "ä\N{SNOWMAN}", "x" * 256, "x" * 257, [1], (1,), b"a",
]  # fmt: skip
ARG_NAMES = ["loss", "from", "kind", "x-match", "a.loss", "ä", "n" * 100, "n" * 101, " "]


class TransportContract:
    @pytest.fixture
    def connect(self, url: str) -> Iterator[Connect]:
        peers: list[Peer] = []

        def connect(name: str) -> Peer:
            peers.append(Peer(name, url))
            return peers[-1]

        yield connect
        for peer in peers:
            peer.transport.stop()

    def test_1_an_actor_receives_what_is_sent_to_its_name(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        a.send("b", content={"n": 1})
        envelope, content = b.inbox.next()
        assert (envelope.kind, envelope.id, envelope.source, envelope.target) == (
            Kind.CONTROL, "1", ("a", "me"), ("b", ""),
        )  # fmt: skip
        assert content == {"n": 1}

    def test_1_an_actor_receives_what_it_sends_to_itself(self, connect: Connect) -> None:
        a = connect("a")
        a.send("a", content="me")
        assert a.inbox.next()[1] == "me"

    def test_1_a_second_live_actor_of_the_same_name_is_refused(self, connect: Connect) -> None:
        first, sender = connect("a"), connect("b")
        with pytest.raises(MsgConnectionError, match=r"'a'.*already"):
            connect("a")
        sender.send("a", content="still the first")
        assert first.inbox.next()[1] == "still the first"

    def test_1_a_name_is_free_again_after_stop(self, connect: Connect) -> None:
        connect("a").transport.stop()
        successor, sender = connect("a"), connect("b")
        sender.send("a", content="new")
        assert successor.inbox.next()[1] == "new"

    def test_2_one_body_reaches_several_targets(self, connect: Connect) -> None:
        a, others = connect("a"), [connect(name) for name in "bcd"]
        a.send("b", "c", "d", content=list(range(1000)))
        for other in others:
            assert other.inbox.next()[1] == list(range(1000))

    def test_2_send_does_not_wait_for_the_receiver(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        for n in range(100):
            a.send("b", content=n)
        assert [b.inbox.next()[1] for _ in range(100)] == list(range(100))

    def test_2_the_sender_may_modify_its_data_after_send(self, connect: Connect) -> None:
        a, b, c = connect("a"), connect("b"), connect("c")
        data = bytearray(b"before" * 100_000)
        a.send("b", "c", content=data)
        data[:] = b"after!" * 100_000
        for other in (b, c):
            assert bytes(other.inbox.next()[1]) == b"before" * 100_000

    def test_3_an_absent_actor_is_returned(self, connect: Connect) -> None:
        a = connect("a")
        a.send("nobody", id="42")
        envelope, absence = a.inbox.back.get(timeout=DEADLINE_S)
        assert (envelope.id, envelope.target[0], absence) == ("42", "nobody", Absence.NO_ACTOR)

    def test_3_an_absent_target_does_not_affect_the_others(self, connect: Connect) -> None:
        a, b, c = connect("a"), connect("b"), connect("c")
        a.send("b", "nobody", "c", content="x")
        assert b.inbox.next()[1] == c.inbox.next()[1] == "x"
        assert a.inbox.back.get(timeout=DEADLINE_S)[0].target[0] == "nobody"

    @pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.TASK])
    def test_3_a_request_needs_a_bound_endpoint_and_channel(self, connect: Connect, kind: Kind) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind(
            "role", ["serve"] if kind is Kind.SERVICE else [], ["serve"] if kind is Kind.TASK else []
        )
        b.transport.open("role")
        a.send("b/role.serve", "b/role.other", "b/stranger.serve", kind=kind)
        assert b.inbox.next()[0].channel == "serve"
        returned = {a.inbox.back.get(timeout=DEADLINE_S) for _ in range(2)}
        assert {(e.target[1], e.channel, absence) for e, absence in returned} == {
            ("role", "other", Absence.NOT_BOUND),
            ("stranger", "serve", Absence.NOT_BOUND),
        }

    def test_3_a_service_is_not_a_task(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind("role", ["serve"], ["work"])
        a.send("b/role.serve", kind=Kind.TASK)
        assert a.inbox.back.get(timeout=DEADLINE_S)[1] is Absence.NOT_BOUND

    def test_3_binding_again_replaces_and_unbinding_ends(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind("role", ["old"], [])
        b.transport.bind("role", ["new"], [])
        a.send("b/role.old", kind=Kind.SERVICE)
        assert a.inbox.back.get(timeout=DEADLINE_S)[0].channel == "old"
        a.send("b/role.new", kind=Kind.SERVICE)
        assert b.inbox.next()[0].channel == "new"
        b.transport.unbind("role")
        b.transport.unbind("never bound")
        a.send("b/role.new", kind=Kind.SERVICE)
        assert a.inbox.back.get(timeout=DEADLINE_S)[0].channel == "new"

    @pytest.mark.parametrize("kind", [Kind.CONTROL, Kind.ACCEPTED, Kind.RESULT])
    def test_3_other_kinds_need_only_the_actor(self, connect: Connect, kind: Kind) -> None:
        a, b = connect("a"), connect("b")
        a.send("b/unbound.x", kind=kind)
        assert b.inbox.next()[0].kind is kind

    def test_4_what_one_thread_sends_arrives_once_complete_and_in_order(self, connect: Connect) -> None:
        senders, b = [connect(f"a{n}") for n in range(4)], connect("b")

        def send_many(sender: Peer) -> None:
            for n in range(200):
                sender.send("b", content=(sender.name, n, b"x" * (n * 100)))

        threads = [threading.Thread(target=send_many, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        seen: dict[str, list[int]] = {sender.name: [] for sender in senders}
        for _ in range(4 * 200):
            name, n, data = b.inbox.next()[1]
            assert len(data) == n * 100
            seen[name].append(n)
        assert all(numbers == list(range(200)) for numbers in seen.values())
        for thread in threads:
            thread.join(DEADLINE_S)
        b.flush(senders[0])
        assert b.inbox.delivered.empty()

    @pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.TASK, Kind.CONTROL])
    def test_4_large_and_small_messages_stay_in_order(self, connect: Connect, kind: Kind) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind("role", ["x"], ["x"])
        b.transport.open("role")
        sizes = [10, 6_000_000, 10, 1_500_000, 10, 10]
        for n, size in enumerate(sizes):
            a.send("b/role.x", content=(n, b"x" * size), kind=kind, id=str(n))
        arrived = [b.inbox.next()[1] for _ in sizes]
        assert [(n, len(data)) for n, data in arrived] == list(enumerate(sizes))

    def test_3_a_task_for_an_endpoint_that_comes_back_waits_only_where_tasks_are_kept(
        self, connect: Connect
    ) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind("role", [], ["work"])
        b.transport.open("role")
        b.transport.unbind("role", keep_tasks=True)
        a.send("b/role.work", kind=Kind.TASK, id="waits")
        if not b.transport.keeps_tasks:
            assert a.inbox.back.get(timeout=DEADLINE_S)[1] is Absence.NOT_BOUND
            return
        b.transport.bind("role", [], ["work"])
        b.flush(a)
        assert b.inbox.delivered.empty()
        b.transport.open("role")
        assert b.inbox.next()[0].id == "waits"
        assert a.inbox.back.empty()

    def test_3_an_endpoint_that_ends_for_good_keeps_nothing(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind("role", [], ["work"])
        b.transport.open("role")
        b.transport.unbind("role")
        a.send("b/role.work", kind=Kind.TASK)
        assert a.inbox.back.get(timeout=DEADLINE_S)[1] is Absence.NOT_BOUND

    def test_7_what_is_put_back_comes_to_the_successor_in_order_where_tasks_are_kept(
        self, connect: Connect
    ) -> None:
        a, b = connect("a"), connect("b")
        b.transport.bind("role", [], ["work"])
        b.transport.open("role")
        sizes = [0, 3 << 20, 1]
        for n, size in enumerate(sizes):
            a.send("b/role.work", kind=Kind.TASK, id=str(n), content=bytes(size))
        came = [b.inbox.delivered.get(timeout=DEADLINE_S) for _ in sizes]
        b.transport.unbind("role", keep_tasks=True)
        for envelope, body in came:
            b.transport.put_back(envelope, body)
        b.transport.stop()
        successor = connect("b")
        successor.transport.bind("role", [], ["work"])
        successor.transport.open("role")
        if successor.transport.keeps_tasks:
            again = [successor.inbox.next() for _ in sizes]
            assert [(envelope.id, len(content)) for envelope, content in again] == [
                (str(n), size) for n, size in enumerate(sizes)
            ]
        a.send("b", content="last")
        assert successor.inbox.next()[1] == "last"

    def test_4_publications_arrive_in_order_at_each_subscriber(self, connect: Connect) -> None:
        source, subscribers = connect("a"), [connect("b"), connect("c")]
        for subscriber in subscribers:
            subscriber.subscribe(source, "news")
        for n in range(200):
            source.publish("news", n, n)
        for subscriber in subscribers:
            assert [subscriber.inbox.next()[1] for _ in range(200)] == list(range(200))

    def test_5_a_publication_reaches_each_subscriber_once_and_nobody_else(self, connect: Connect) -> None:
        source, other, b, c, d = (connect(name) for name in "aobcd")
        for subscriber in (b, b, c, source):  # twice is the same as once; the publisher itself counts
            subscriber.subscribe(source, "news")
        d.subscribe(source, "other-news")
        d.subscribe(other, "news")
        source.publish("news", "hello", 7)
        for subscriber in (b, c, source):
            envelope, content = subscriber.inbox.next()
            assert (envelope.source, envelope.channel, envelope.sequence) == (("a", "me"), "news", 7)
            assert content == "hello"
        for peer in (b, c, d, source):
            peer.flush(source)
            assert peer.inbox.delivered.empty()

    def test_5_filters_hold_back_what_passes_none_of_them(self, connect: Connect) -> None:
        source, b, c = connect("a"), connect("b"), connect("c")
        b.subscribe(source, "news", {"kind": "loss", "round": 2}, {"kind": "end"})
        c.subscribe(source, "news")
        for n, kind in enumerate(["loss", "accuracy", "loss", "loss", "end"]):
            source.publish("news", n, n, kind=kind, round=float(n))
        source.publish("news", 5, 5, kind="other", weights=[1.0])  # a list might equal anything
        assert [b.inbox.next()[1] for _ in range(3)] == [2, 4, 5]
        assert [c.inbox.next()[1] for _ in range(6)] == list(range(6))
        b.flush(source)
        assert b.inbox.delivered.empty()

    def test_5_filters_let_through_what_passes_and_nothing_else(self, connect: Connect) -> None:
        source, b = connect("a"), connect("b")
        chance = random.Random(1)

        def some_args(most: int) -> dict[str, Any]:
            return {name: chance.choice(ARGS) for name in chance.sample(ARG_NAMES, chance.randint(0, most))}

        for number in range(20):
            wanted = [some_args(2) for _ in range(chance.randint(1, 3))]
            events = [some_args(3) for _ in range(20)] + [each | some_args(1) for each in wanted]
            filters = [filter_of(each.items()) for each in wanted]
            expected = [n for n, args in enumerate(events) if passes(stamps_of(args), filters)]
            b.subscribe(source, f"news{number}", *wanted)
            for n, args in enumerate(events):
                source.publish(f"news{number}", n, n, **args)
            assert [b.inbox.next()[1] for _ in expected] == expected
            b.flush(source)
            assert b.inbox.delivered.empty()

    def test_5_subscribing_again_replaces_the_filters_without_a_gap(self, connect: Connect) -> None:
        source, b = connect("a"), connect("b")
        b.subscribe(source, "news", {"kind": "x"})
        b.subscribe(source, "news")
        source.publish("news", 1, kind="y")
        assert b.inbox.next()[1] == 1
        b.subscribe(source, "news", {"kind": "x"}, {"kind": "z"})
        for n, kind in enumerate(["x", "y", "z"], 2):
            source.publish("news", n, kind=kind)
        assert [b.inbox.next()[1] for _ in range(2)] == [2, 4]
        b.transport.unsubscribe(("a", "me"), "news")
        source.publish("news", 5, kind="x")
        b.flush(source)
        assert b.inbox.delivered.empty()

    def test_5_a_large_event_passes_its_filter_whole(self, connect: Connect) -> None:
        source, b, c = connect("a"), connect("b"), connect("c")
        b.subscribe(source, "news", {"kind": "x"})
        c.subscribe(source, "news", {"kind": "y"})
        source.publish("news", b"x" * 6_000_000, kind="x")
        assert len(b.inbox.next()[1]) == 6_000_000
        c.flush(source)
        assert c.inbox.delivered.empty()

    def test_5_nobody_subscribed_is_not_an_error(self, connect: Connect) -> None:
        source = connect("a")
        source.publish("news", "hello")
        source.flush(source)
        assert source.inbox.back.empty()

    def test_5_a_subscription_may_precede_its_source(self, connect: Connect) -> None:
        b = connect("b")
        begun = b.transport.subscribe(("late", "me"), "news")
        late = connect("late")
        late.transport.offer("me", "news")
        if not begun:
            late.transport.announce(Presence.READY)
            wait_until(lambda: b.transport.subscribe(("late", "me"), "news"))
        late.publish("news", "hello")
        assert b.inbox.next()[1] == "hello"

    def test_5_a_subscription_that_waits_begins_when_its_source_is_ready(self, connect: Connect) -> None:
        b = connect("b")
        b.transport.subscribe(("late", "me"), "news")
        late = connect("late")
        late.transport.offer("me", "news")
        late.transport.announce(Presence.READY)
        wait_until(lambda: late.publish("news", "hello") or not b.inbox.delivered.empty())
        assert b.inbox.next()[1] == "hello"

    def test_5_nothing_comes_after_unsubscribe(self, connect: Connect) -> None:
        source, b = connect("a"), connect("b")
        b.subscribe(source, "news")
        source.publish("news", 1)
        assert b.inbox.next()[1] == 1
        b.transport.unsubscribe(("a", "me"), "news")
        b.transport.unsubscribe(("a", "me"), "never subscribed")
        source.publish("news", 2)
        b.flush(source)
        assert b.inbox.delivered.empty()

    def test_5_the_publisher_may_modify_its_data_after_publish(self, connect: Connect) -> None:
        source, b = connect("a"), connect("b")
        b.subscribe(source, "news")
        data = bytearray(b"before" * 100_000)
        source.publish("news", data)
        data[:] = b"after!" * 100_000
        assert bytes(b.inbox.next()[1]) == b"before" * 100_000

    def test_6_a_watcher_hears_ready_and_down(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        a.transport.watch("b")
        b.transport.announce(Presence.READY)
        assert a.inbox.news.get(timeout=DEADLINE_S) == ("b", Presence.READY)
        b.transport.stop()
        assert a.inbox.news.get(timeout=DEADLINE_S) == ("b", Presence.DOWN)

    def test_6_the_watched_need_not_exist_and_the_watch_survives_it(self, connect: Connect) -> None:
        a = connect("a")
        a.transport.watch("b")
        for _ in range(2):
            b = connect("b")
            b.transport.announce(Presence.READY)
            b.transport.stop()
            assert a.inbox.news.get(timeout=DEADLINE_S) == ("b", Presence.READY)
            assert a.inbox.news.get(timeout=DEADLINE_S) == ("b", Presence.DOWN)

    def test_6_who_watches_no_more_hears_nothing(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        a.transport.watch("b")
        a.transport.unwatch("b")
        a.transport.unwatch("nobody")
        b.transport.announce(Presence.READY)
        a.flush(b)
        assert a.inbox.news.empty()
        a.transport.watch("b")
        b.transport.announce(Presence.READY)
        assert a.inbox.news.get(timeout=DEADLINE_S) == ("b", Presence.READY)

    def test_6_who_does_not_watch_hears_nothing(self, connect: Connect) -> None:
        a, b, c = connect("a"), connect("b"), connect("c")
        c.transport.watch("a")
        b.transport.announce(Presence.READY)
        a.flush(c)
        b.transport.stop()
        c.flush(a)
        assert a.inbox.news.empty()
        assert c.inbox.news.empty()

    def test_7_after_stop_nothing_is_delivered_and_sends_come_back(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        a.subscribe(b, "news")
        a.transport.stop()
        a.transport.stop()
        a.send("b")
        assert a.inbox.back.get(timeout=DEADLINE_S)[1] is Absence.STOPPED
        b.send("a")
        assert b.inbox.back.get(timeout=DEADLINE_S)[1] is Absence.NO_ACTOR
        b.publish("news", 1)
        a.publish("news", 2)
        b.flush(b)
        assert a.inbox.delivered.empty()

    def test_7_what_was_sent_before_stop_is_delivered(self, connect: Connect) -> None:
        a, b = connect("a"), connect("b")
        for n in range(50):
            a.send("b", content=n)
        a.transport.stop()
        assert [b.inbox.next()[1] for _ in range(50)] == list(range(50))
