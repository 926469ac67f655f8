"""Counts of unread and held replies: their bounds, and their release."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqruntime.transport import Caller
from zmqruntime.transport.server.fair_share import FairShare
from zmqruntime.transport.server.held_replies import HeldReplies
from zmqruntime.transport.server.unread_replies import LARGE_REPLY_BYTES, UnreadReplies

PER_PEER, IN_ALL = 4 * LARGE_REPLY_BYTES, 8 * LARGE_REPLY_BYTES
LONGEST = 5 * LARGE_REPLY_BYTES
peers = st.sampled_from([b"a", b"b", b"c", b"d"])


class Model(RuleBasedStateMachine):
    """Peers send requests, read and disconnect; postponed actions run as in the session."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = UnreadReplies(PER_PEER, IN_ALL)
        self.markers: dict[bytes, deque[int]] = {peer: deque() for peer in (b"a", b"b", b"c", b"d")}
        self.requested: Counter[bytes] = Counter()
        self.ended: Counter[bytes] = Counter()
        """Requests that were replied to, refused or dropped."""

    @rule(peer=peers, size=st.integers(1, LONGEST))
    def send_request(self, peer: bytes, size: int) -> None:
        self.requested[peer] += 1
        if not self.unread.must_postpone(peer):
            self.answer(peer, size)
        elif not self.unread.postpone(peer, lambda: self.answer(peer, size), 40):
            self.ended[peer] += 1

    def answer(self, peer: bytes, size: int) -> None:
        self.ended[peer] += 1
        if size >= LARGE_REPLY_BYTES and self.unread.is_large_refused(peer):
            size = 200  # The reply is refused.
        marked = self.unread.count_sent(peer, size)
        assert marked or size < LARGE_REPLY_BYTES, "a large reply is not known to be unread"
        if marked:
            self.markers[peer].append(marked)

    @rule(peer=peers)
    def read(self, peer: bytes) -> None:
        if self.markers[peer]:
            self.unread.count_freed(peer, self.markers[peer].popleft())
            self.resume(peer)

    def resume(self, peer: bytes) -> None:
        while (action := self.unread.next_action(peer)) is not None:
            action()

    @rule(peer=peers)
    def leave(self, peer: bytes) -> None:
        self.ended[peer] += self.unread.drop(peer)
        while self.markers[peer]:
            self.unread.count_freed(peer, self.markers[peer].popleft())
        assert not self.unread.must_postpone(peer)

    @invariant()
    def unread_bytes_are_within_their_bounds(self) -> None:
        small = LARGE_REPLY_BYTES + 1024
        for markers in self.markers.values():
            assert sum(markers) <= PER_PEER + LONGEST + small
        assert self.unread.total == sum(map(sum, self.markers.values()))
        assert self.unread.total <= IN_ALL + LONGEST + small * len(self.markers)

    @invariant()
    def every_request_is_answered_or_postponed(self) -> None:
        assert self.unread.postponed == self.requested.total() - self.ended.total()

    def teardown(self) -> None:
        for peer in self.markers:
            while self.markers[peer]:
                self.read(peer)
        assert self.unread.postponed == self.unread.total == 0
        assert self.requested == self.ended


TestUnreadReplies = Model.TestCase


def test_greedy_peer_leaves_half_to_others_and_two_leave_a_third() -> None:
    share = FairShare(per_peer=900, in_all=900)
    while share.room(b"a") > 0:
        share.take(b"a", 1)
    assert share.total == 450
    while share.room(b"b") > 0:
        share.take(b"b", 1)
    assert share.total == 675
    share.release(b"a", 450)
    assert share.used(b"a") == 0
    assert share.room(b"c") == 900 - 225


def test_requests_of_a_peer_that_does_not_read_wait_up_to_a_number_and_a_size() -> None:
    unread = UnreadReplies(LARGE_REPLY_BYTES, IN_ALL)
    for peer in (b"many", b"long"):
        unread.count_sent(peer, LARGE_REPLY_BYTES)
        assert unread.must_postpone(peer)
    done: list[int] = []

    def make(number: int) -> Callable[[], None]:
        return lambda: done.append(number)

    assert all(unread.postpone(b"many", make(number), 40) for number in range(10_000))
    assert not unread.postpone(b"many", make(10_000), 40)
    assert unread.postpone(b"long", make(0), 20 * 2**20), "the first is taken whatever its length"
    assert not unread.postpone(b"long", make(0), 40)
    assert unread.next_action(b"many") is None
    unread.count_freed(b"many", LARGE_REPLY_BYTES + 256)
    while (action := unread.next_action(b"many")) is not None:
        action()
    assert done == list(range(10_000))
    assert unread.drop(b"long") == 1


def test_peers_with_few_unmarked_bytes_are_removed_in_the_end() -> None:
    unread = UnreadReplies(PER_PEER, IN_ALL)
    for number in range(100_000):
        assert not unread.count_sent(number.to_bytes(4, "big"), 100)
    assert len(unread._unmarked) <= 8192 + 1


@pytest.mark.parametrize("length", [0, 60_000])
def test_held_replies_are_bounded_for_a_peer_and_in_all(
    length: int,
) -> None:
    held = HeldReplies()
    request_id = "x" * length
    callers = [
        Caller((bytes([peer]), b""), request_id, number)
        for peer in range(8)
        for number in range(20_000)
    ]
    taken = [(caller, cost) for caller in callers if (cost := held.take(caller))]
    by_peer = Counter(caller.envelope[0] for caller, _ in taken)
    cost = 1024 + length
    assert max(by_peer.values()) * cost <= 16 * 2**20
    assert by_peer[b"\0"] * cost >= 0.9 * 16 * 2**20
    assert by_peer.total() * cost <= 64 * 2**20
    assert len(by_peer) == 8, "a newcomer found no room"
    for caller, cost in taken:
        held.release(caller.envelope[0], cost)
    assert held._share.total == 0
    assert held._share.used(b"\0") == 0
