"""The ledger counts subscriptions like libzmq, and finds the connection with too many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zmqruntime.transport.server.subscription_limits import (
    Excess,
    Origin,
    SubscriptionLedger,
)

FIRST, SECOND, THIRD = Origin(7, "1"), Origin(8, "2"), Origin(9, "3")


def subscribe(ledger: SubscriptionLedger, origin: Origin, *prefixes: bytes) -> list[Excess]:
    """Subscribe, and return the connections that have too many then."""
    entries = [ledger.apply(b"\x01" + prefix, origin) for prefix in prefixes]
    return [entry.excess for entry in entries if entry.excess is not None]


def test_subscription_and_its_end_count() -> None:
    ledger = SubscriptionLedger()
    assert ledger.apply(b"\x01a/", FIRST).change == 1
    assert ledger.apply(b"\x00a/", FIRST).change == -1
    assert ledger.total == 0


@pytest.mark.parametrize("origin", [FIRST, None])
def test_equal_subscriptions_of_one_connection_end_together(origin: Origin | None) -> None:
    ledger = SubscriptionLedger()
    for _ in range(3):
        assert ledger.apply(b"\x01a/", FIRST).change == 1
    assert ledger.total == 1
    assert ledger.apply(b"\x00a/", origin).change == -3
    assert ledger.total == 0


def test_end_of_the_last_connection_ends_all_subscriptions_of_a_prefix() -> None:
    ledger = SubscriptionLedger()
    subscribe(ledger, FIRST, b"a/", b"a/")
    subscribe(ledger, SECOND, b"a/")
    changes = [ledger.apply(b"\x00a/", None).change for _ in range(3)]
    assert changes == [-1, -2, 0]


def test_end_of_another_connection_s_subscription_does_not_count() -> None:
    ledger = SubscriptionLedger()
    subscribe(ledger, FIRST, b"a/")
    assert ledger.apply(b"\x00a/", SECOND).change == 0
    assert ledger.apply(b"\x00a/", FIRST).change == -1


@pytest.mark.parametrize("frame", [b"", b"\x02a/", b"hello"])
def test_frame_that_is_no_subscription_does_not_count(frame: bytes) -> None:
    assert SubscriptionLedger().apply(frame, FIRST).change == 0


def test_connection_with_the_longest_prefixes_is_to_be_ended() -> None:
    ledger = SubscriptionLedger(max_bytes=100)
    assert subscribe(ledger, FIRST, *(b"%d" % number for number in range(10))) == []
    assert subscribe(ledger, SECOND, b"x" * 90) == []
    (excess,) = subscribe(ledger, FIRST, b"z")
    bound = "100 at most for all together"
    assert excess == (8, f"90 bytes of prefixes, the most of all connections: {bound}")
    assert subscribe(ledger, THIRD, b"y" * 80) == []


def test_connection_with_the_most_subscriptions_is_to_be_ended() -> None:
    ledger = SubscriptionLedger(max_subscriptions=4)
    assert subscribe(ledger, FIRST, b"a", b"b", b"c") == []
    (excess,) = subscribe(ledger, SECOND, b"a", b"b")
    assert excess == (7, "3 subscriptions, the most of all connections: 4 at most for all together")
    # Its subscriptions do not count while it ends.
    assert subscribe(ledger, FIRST, b"d", b"e") == []
    assert subscribe(ledger, THIRD, b"a", b"b") == []
    assert ledger.total == 4


def test_descriptor_s_new_owner_starts_without_subscriptions() -> None:
    ledger = SubscriptionLedger(max_subscriptions=3)
    subscribe(ledger, FIRST, b"shared", b"a")
    subscribe(ledger, SECOND, b"shared")
    ledger.apply(b"\x00shared", None)
    assert ledger.apply(b"\x01shared", Origin(FIRST.descriptor, "4")).change == 1
    assert ledger.total == 2


def test_newest_of_equal_connections_is_to_be_ended() -> None:
    ledger = SubscriptionLedger(max_subscriptions=4)
    subscribe(ledger, FIRST, b"ended")
    subscribe(ledger, SECOND, b"a", b"b")
    reused = Origin(FIRST.descriptor, "4")  # Newer than the second, with an older descriptor.
    assert subscribe(ledger, reused, b"a", b"b") == []
    (excess,) = subscribe(ledger, THIRD, b"a")
    assert excess.descriptor == reused.descriptor


def test_end_of_an_unknown_prefix_leaves_no_connection_behind() -> None:
    ledger = SubscriptionLedger()
    ledger.apply(b"\x00a/", FIRST)
    assert not ledger._connections


@dataclass(eq=False)
class Connection:
    """A connection as in libzmq: each prefix once, also if it was sent repeatedly."""

    origin: Origin
    prefixes: dict[bytes, None] = field(default_factory=dict)


class LedgerModel(RuleBasedStateMachine):
    """Compares the ledger with the count in libzmq's trie, for connections that send anything."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SubscriptionLedger(max_subscriptions=6)
        self.connections: list[Connection] = []
        self.numbers = 0
        self.is_exact = True
        self.counted: Counter[bytes] = Counter()
        self.ending: set[Origin] = set()

    def apply(self, frame: bytes, origin: Origin | None) -> None:
        entry = self.ledger.apply(frame, origin)
        self.counted[frame[1:]] += entry.change
        if entry.excess is not None:
            owners = [c for c in self.connections if c.origin[0] == entry.excess.descriptor]
            self.ending |= {c.origin for c in owners}

    @precondition(lambda self: len(self.connections) < 5)
    @rule()
    def connect(self) -> None:
        used = {connection.origin.descriptor for connection in self.connections}
        self.numbers += 1
        descriptor = min(set(range(6)) - used)
        self.connections.append(Connection(Origin(descriptor, str(self.numbers))))

    @rule(which=st.integers(0, 4), prefix=st.sampled_from([b"", b"a", b"b", b"c"]))
    def subscribe(self, which: int, prefix: bytes) -> None:
        for connection in self.connections[which : which + 1]:
            self.is_exact &= prefix not in connection.prefixes
            connection.prefixes[prefix] = None
            self.apply(b"\x01" + prefix, connection.origin)

    @rule(which=st.integers(0, 4), prefix=st.sampled_from([b"", b"a", b"b", b"c"]))
    def unsubscribe(self, which: int, prefix: bytes) -> None:
        for connection in self.connections[which : which + 1]:
            connection.prefixes.pop(prefix, None)
            self.apply(b"\x00" + prefix, connection.origin)

    @rule(which=st.integers(0, 4))
    def disconnect(self, which: int) -> None:
        for connection in self.connections[which : which + 1]:
            self.connections.remove(connection)
            for prefix in connection.prefixes:
                self.apply(b"\x00" + prefix, None)

    @invariant()
    def count_equals_that_of_libzmq(self) -> None:
        installed = Counter(p for connection in self.connections for p in connection.prefixes)
        if self.is_exact:
            assert +self.counted == installed
        assert all(self.counted[prefix] >= count for prefix, count in installed.items())
        assert set(+self.counted) == set(installed)

    @invariant()
    def remaining_connections_are_within_the_bound(self) -> None:
        assert self.ledger.total <= 6
        left = [c for c in self.connections if c.origin not in self.ending]
        assert sum(len(connection.prefixes) for connection in left) <= 6

    @invariant()
    def ledger_is_empty_without_subscriptions(self) -> None:
        if not any(connection.prefixes for connection in self.connections):
            assert self.ledger.total == 0


TestLedgerModel = LedgerModel.TestCase
