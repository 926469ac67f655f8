"""Registrations follow the subscriptions: never before one, never longer than the last."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqruntime.messages import ProgressScope
from zmqruntime.transport import Caller
from zmqruntime.transport.registration import Registrations

OWN, ALL = ProgressScope.OWN, ProgressScope.ALL
SUBSCRIBED, UNSUBSCRIBED = b"\x01", b"\x00"
ALICE, BOB = Caller((b"alice", b""), "1", 1), Caller((b"bob", b""), "1", 2)


def test_a_client_that_is_subscribed_is_registered_at_once() -> None:
    registrations = Registrations()
    assert registrations.saw(b"\x01a/") == []
    assert registrations.register("a", OWN, ALICE)
    assert registrations.clients == ("a",)
    assert registrations.waiting == ()


def test_a_client_that_is_not_waits_for_its_subscription_and_for_no_other() -> None:
    registrations = Registrations()
    assert not registrations.register("a", OWN, ALICE)
    for other in (b"ab/", b"a", b"", b"A/"):
        assert registrations.saw(SUBSCRIBED + other) == []
    assert not registrations.clients
    assert registrations.saw(b"\x01a/") == [(ALICE, "a")]
    assert registrations.clients == ("a",)


def test_scope_all_takes_both_subscriptions() -> None:
    registrations = Registrations()
    assert not registrations.register("a", ALL, ALICE)
    assert registrations.saw(b"\x01a/") == []
    assert registrations.saw(b"\x01") == [(ALICE, "a")]


def test_a_caller_that_gave_up_is_not_registered_later() -> None:
    registrations = Registrations()
    registrations.register("a", OWN, ALICE)
    assert registrations.give_up(ALICE) == "a"
    assert registrations.give_up(ALICE) is None
    assert registrations.saw(b"\x01a/") == []
    assert registrations.clients == ()


def test_a_caller_that_was_answered_has_nothing_to_give_up() -> None:
    registrations = Registrations()
    registrations.register("a", OWN, ALICE)
    registrations.saw(b"\x01a/")
    assert registrations.give_up(ALICE) is None
    assert registrations.clients == ("a",)


def test_two_clients_with_one_id_both_get_their_answer() -> None:
    registrations = Registrations()
    registrations.register("a", OWN, ALICE)
    registrations.register("a", OWN, BOB)
    assert registrations.saw(b"\x01a/") == [(ALICE, "a"), (BOB, "a")]
    assert registrations.clients == ("a",)


def test_a_registration_ends_with_the_last_subscription() -> None:
    registrations = Registrations()
    registrations.saw(b"\x01a/")
    registrations.saw(b"\x01b/")
    registrations.register("a", OWN, ALICE)
    registrations.register("b", OWN, BOB)
    registrations.saw(b"\x00a/")
    assert registrations.clients == ("b",)
    assert not registrations.register("a", OWN, ALICE)


def test_to_unregister_what_is_not_registered_does_nothing() -> None:
    registrations = Registrations()
    registrations.unregister("a")
    assert registrations.clients == ()


def test_nobody_listens_before_somebody_subscribes() -> None:
    registrations = Registrations()
    assert not registrations.anybody
    registrations.saw(b"\x01x")
    assert registrations.anybody
    registrations.saw(b"\x00x")
    assert not registrations.anybody


def test_what_is_no_subscription_is_ignored() -> None:
    registrations = Registrations()
    for frame in (b"", b"\x02a/", b"hello"):
        assert registrations.saw(frame) == []
    assert not registrations.anybody


CLIENTS = st.sampled_from(["a", "b", "aa"])
PREFIXES = st.sampled_from([b"", b"a/", b"b/", b"aa/", b"a"])


class RegistrationModel(RuleBasedStateMachine):
    """What an XPUB tells of many sockets, and a model with one list per question."""

    def __init__(self) -> None:
        super().__init__()
        self.registrations = Registrations()
        self.subscriptions: Counter[bytes] = Counter()
        self.registered: list[str] = []
        self.waiting: list[tuple[Caller, str, ProgressScope]] = []
        self.numbers = itertools.count(1)

    def is_subscribed(self, client_id: str, scope: ProgressScope) -> bool:
        own = self.subscriptions[f"{client_id}/".encode()] > 0
        return own and (scope is OWN or self.subscriptions[b""] > 0)

    @rule(prefix=PREFIXES)
    def subscribe(self, prefix: bytes) -> None:
        self.subscriptions[prefix] += 1
        if self.subscriptions[prefix] > 1:
            return  # The socket tells only of the first.
        settled = [w for w in self.waiting if self.is_subscribed(w[1], w[2])]
        self.waiting = [w for w in self.waiting if w not in settled]
        for _, client_id, _ in settled:
            self.add(client_id)
        assert self.registrations.saw(SUBSCRIBED + prefix) == [w[:2] for w in settled]

    @rule(prefix=PREFIXES)
    def unsubscribe(self, prefix: bytes) -> None:
        if not self.subscriptions[prefix]:
            return
        self.subscriptions[prefix] -= 1
        if self.subscriptions[prefix]:
            return  # Nor of any but the last.
        self.registered = [c for c in self.registered if f"{c}/".encode() != prefix]
        assert self.registrations.saw(UNSUBSCRIBED + prefix) == []

    @rule(client_id=CLIENTS, scope=st.sampled_from(ProgressScope))
    def register(self, client_id: str, scope: ProgressScope) -> None:
        caller = Caller((b"peer", b""), None, next(self.numbers))
        assert self.registrations.register(client_id, scope, caller) is self.is_subscribed(
            client_id, scope
        )
        if self.is_subscribed(client_id, scope):
            self.add(client_id)
        else:
            self.waiting.append((caller, client_id, scope))

    @rule(client_id=CLIENTS)
    def unregister(self, client_id: str) -> None:
        self.registrations.unregister(client_id)
        self.registered = [c for c in self.registered if c != client_id]

    @rule(which=st.integers(0, 20))
    def give_up(self, which: int) -> None:
        if which < len(self.waiting):
            caller, client_id, _ = self.waiting.pop(which)
            assert self.registrations.give_up(caller) == client_id
            assert self.registrations.give_up(caller) is None

    def add(self, client_id: str) -> None:
        if client_id not in self.registered:
            self.registered.append(client_id)

    @invariant()
    def they_agree(self) -> None:
        assert list(self.registrations.clients) == self.registered
        assert list(self.registrations.waiting) == [w[0] for w in self.waiting]
        assert self.registrations.anybody == any(self.subscriptions.values())


TestRegistrationModel = RegistrationModel.TestCase
