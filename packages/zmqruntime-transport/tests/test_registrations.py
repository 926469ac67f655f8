"""Registrations and subscriptions: each registration needs a subscription of its own."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqruntime.messages import ARRAYS_MARK, ProgressScope
from zmqruntime.transport import Caller
from zmqruntime.transport.server.registration import Registrations

OWN, ALL = ProgressScope.OWN, ProgressScope.ALL
SUBSCRIBED, UNSUBSCRIBED = b"\x01", b"\x00"
ALICE, BOB = Caller((b"alice", b""), "1", 1), Caller((b"bob", b""), "1", 2)


def test_subscribed_client_is_registered_immediately() -> None:
    registrations = Registrations()
    assert registrations.apply(b"\x01a/") == []
    assert registrations.register("a", OWN, ALICE)
    assert registrations.clients == ("a",)
    assert registrations.waiting == ()


def test_registration_waits_for_its_own_subscription() -> None:
    registrations = Registrations()
    assert not registrations.register("a", OWN, ALICE)
    for other in (b"ab/", b"a", b"", b"A/"):
        assert registrations.apply(SUBSCRIBED + other) == []
    assert not registrations.clients
    assert registrations.apply(b"\x01a/") == [(ALICE, "a")]
    assert registrations.clients == ("a",)


def test_scope_all_requires_both_subscriptions() -> None:
    registrations = Registrations()
    assert not registrations.register("a", ALL, ALICE)
    assert registrations.apply(b"\x01a/") == []
    assert registrations.apply(b"\x01") == [(ALICE, "a")]


def test_cancelled_wait_is_not_completed_later() -> None:
    registrations = Registrations()
    registrations.register("a", OWN, ALICE)
    assert registrations.cancel_wait(ALICE) is False
    assert registrations.cancel_wait(ALICE) is None
    assert registrations.apply(b"\x01a/") == []
    assert registrations.clients == ()


def test_completed_registration_cannot_be_cancelled() -> None:
    registrations = Registrations()
    registrations.register("a", OWN, ALICE)
    registrations.apply(b"\x01a/")
    assert registrations.cancel_wait(ALICE) is None
    assert registrations.clients == ("a",)


def test_two_clients_with_one_id_wait_for_a_subscription_each() -> None:
    registrations = Registrations()
    registrations.apply(b"\x01a/")
    assert registrations.register("a", OWN, ALICE)
    assert not registrations.register("a", OWN, BOB)
    assert registrations.apply(b"\x01a/") == [(BOB, "a")]
    assert registrations.clients == ("a",)


def test_end_of_one_of_two_equal_subscriptions_keeps_the_id_registered() -> None:
    registrations = Registrations()
    for caller in (ALICE, BOB):
        registrations.apply(b"\x01a/")
        assert registrations.register("a", OWN, caller)
    registrations.apply(b"\x00a/")
    assert registrations.clients == ("a",)
    registrations.apply(b"\x00a/")
    assert not registrations.clients


def test_second_request_of_a_registered_client_is_acknowledged() -> None:
    registrations = Registrations()
    registrations.apply(b"\x01a/")
    assert registrations.register("a", OWN, ALICE)
    assert not registrations.register("a", OWN, BOB)  # The same client, on a fresh socket.
    assert registrations.cancel_wait(BOB) is True
    assert registrations.clients == ("a",)


def returning_client() -> Registrations:
    """A client unregisters and registers again before the end of its first socket arrives."""
    registrations = Registrations()
    registrations.apply(b"\x01a/")
    assert registrations.register("a", OWN, ALICE)
    registrations.unregister("a")
    assert registrations.clients == ()
    assert not registrations.register("a", OWN, BOB)
    return registrations


def test_returning_client_waits_for_its_new_subscription() -> None:
    registrations = returning_client()
    assert registrations.apply(b"\x00a/") == []
    assert registrations.apply(b"\x01a/") == [(BOB, "a")]
    assert registrations.clients == ("a",)


def test_new_subscription_may_overtake_the_end_of_the_old_one() -> None:
    registrations = returning_client()
    assert registrations.apply(b"\x01a/") == [(BOB, "a")]
    assert registrations.apply(b"\x00a/") == []
    assert registrations.clients == ("a",)


def test_returning_client_without_a_new_subscription_is_not_registered() -> None:
    registrations = returning_client()
    assert registrations.cancel_wait(BOB) is False
    assert registrations.clients == ()


def test_registration_ends_with_the_last_subscription() -> None:
    registrations = Registrations()
    registrations.apply(b"\x01a/")
    registrations.apply(b"\x01b/")
    registrations.register("a", OWN, ALICE)
    registrations.register("b", OWN, BOB)
    registrations.apply(b"\x00a/")
    assert registrations.clients == ("b",)
    assert not registrations.register("a", OWN, ALICE)


def test_unregister_of_an_unknown_client_does_nothing() -> None:
    registrations = Registrations()
    registrations.unregister("a")
    assert registrations.clients == ()


def test_subscribers_exist_only_after_a_subscription() -> None:
    registrations = Registrations()
    assert not registrations.has_subscribers
    registrations.apply(b"\x01x")
    assert registrations.has_subscribers
    registrations.apply(b"\x00x")
    assert not registrations.has_subscribers


def test_invalid_frame_is_ignored() -> None:
    registrations = Registrations()
    for frame in (b"", b"\x02a/", b"hello"):
        assert registrations.apply(frame) == []
    assert not registrations.has_subscribers


def subscribe_socket(
    registrations: Registrations, *prefixes: bytes, accepts_arrays: bool = True
) -> None:
    """Subscribe a socket, with the mark of array support if it has that."""
    for prefix in (*prefixes, *(ARRAYS_MARK + p for p in prefixes if accepts_arrays)):
        registrations.apply(SUBSCRIBED + prefix)


def end_socket(registrations: Registrations, *prefixes: bytes, accepts_arrays: bool = True) -> None:
    """End a socket with all its subscriptions."""
    for prefix in (*prefixes, *(ARRAYS_MARK + p for p in prefixes if accepts_arrays)):
        registrations.apply(UNSUBSCRIBED + prefix)


def test_arrays_are_not_accepted_without_subscribers() -> None:
    registrations = Registrations()
    assert not registrations.all_accept_arrays
    subscribe_socket(registrations, b"a/")
    end_socket(registrations, b"a/")
    assert not registrations.all_accept_arrays


@pytest.mark.parametrize("prefix", [b"", b"a/", b"b/", b"a/1"])
def test_one_subscriber_without_array_support_disables_arrays(prefix: bytes) -> None:
    registrations = Registrations()
    subscribe_socket(registrations, b"a/")
    subscribe_socket(registrations, b"", b"c/")
    assert registrations.all_accept_arrays
    subscribe_socket(registrations, prefix, accepts_arrays=False)
    assert not registrations.all_accept_arrays
    end_socket(registrations, prefix, accepts_arrays=False)
    assert registrations.all_accept_arrays


def test_array_support_is_counted_for_each_subscription_of_a_prefix() -> None:
    registrations = Registrations()
    subscribe_socket(registrations, b"a/")
    subscribe_socket(registrations, b"a/", accepts_arrays=False)
    end_socket(registrations, b"a/")
    assert not registrations.all_accept_arrays


def test_repeated_marks_end_with_the_last_subscription() -> None:
    registrations = Registrations()
    subscribe_socket(registrations, b"a/")
    registrations.apply(b"\x01~a/")  # The end of both is reported once.
    end_socket(registrations, b"a/")
    subscribe_socket(registrations, b"a/", accepts_arrays=False)
    assert not registrations.all_accept_arrays


def test_mark_of_array_support_is_no_subscription() -> None:
    registrations = Registrations()
    assert not registrations.register("~a", OWN, ALICE)
    registrations.apply(b"\x01~a/")
    assert not registrations.has_subscribers
    assert not registrations.all_accept_arrays
    assert registrations.waiting == (ALICE,)


CLIENTS = st.sampled_from(["a", "b", "aa"])
PREFIXES = st.sampled_from([b"", b"a/", b"b/", b"aa/", b"a"])


class RegistrationModel(RuleBasedStateMachine):
    """Compares registrations with a model that counts, for the frames of many sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.registrations = Registrations()
        self.subscriptions: Counter[bytes] = Counter()
        self.waiting: dict[Caller, tuple[str, ProgressScope]] = {}
        self.numbers = itertools.count(1)
        self.ever_subscribed: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()

    def is_subscribed(self, client_id: str, scope: ProgressScope) -> bool:
        own = self.subscriptions[f"{client_id}/".encode()] > 0
        return own and (scope is OWN or self.subscriptions[b""] > 0)

    @rule(prefix=PREFIXES)
    def subscribe(self, prefix: bytes) -> None:
        self.subscriptions[prefix] += 1
        self.ever_subscribed[prefix.decode()] += 1
        for caller, client_id in self.registrations.apply(SUBSCRIBED + prefix):
            waited_for, scope = self.waiting.pop(caller)
            self.passed[client_id] += 1
            assert waited_for == client_id
            assert self.is_subscribed(client_id, scope)

    @rule(prefix=PREFIXES)
    def unsubscribe(self, prefix: bytes) -> None:
        if self.subscriptions[prefix]:
            self.subscriptions[prefix] -= 1
            assert self.registrations.apply(UNSUBSCRIBED + prefix) == []

    @rule(client_id=CLIENTS, scope=st.sampled_from(ProgressScope))
    def register(self, client_id: str, scope: ProgressScope) -> None:
        caller = Caller((b"peer", b""), None, next(self.numbers))
        if self.registrations.register(client_id, scope, caller):
            assert self.is_subscribed(client_id, scope)
            assert client_id in self.registrations.clients
            self.passed[client_id] += 1
        else:
            self.waiting[caller] = (client_id, scope)

    @rule(client_id=CLIENTS)
    def unregister(self, client_id: str) -> None:
        self.registrations.unregister(client_id)

    @rule(which=st.integers(0, 20))
    def cancel_wait(self, which: int) -> None:
        for caller in list(self.waiting)[which : which + 1]:
            client_id, scope = self.waiting.pop(caller)
            claimed = client_id in self.registrations.clients
            registered = claimed and self.is_subscribed(client_id, scope)
            assert self.registrations.cancel_wait(caller) is registered
            assert self.registrations.cancel_wait(caller) is None

    @invariant()
    def registered_clients_are_subscribed(self) -> None:
        for client_id in self.registrations.clients:
            assert self.is_subscribed(client_id, OWN)

    @invariant()
    def each_subscription_completes_one_registration(self) -> None:
        for client_id, passed in self.passed.items():
            assert passed <= self.ever_subscribed[f"{client_id}/"]

    @invariant()
    def results_agree(self) -> None:
        assert self.registrations.waiting == tuple(self.waiting)
        assert self.registrations.has_subscribers == any(self.subscriptions.values())


@dataclass(eq=False)
class SubscriberSocket:
    """One socket: its subscriptions and its array support."""

    prefixes: frozenset[bytes]
    accepts_arrays: bool


class ArraysModel(RuleBasedStateMachine):
    """Sockets with and without array support subscribe and end."""

    def __init__(self) -> None:
        super().__init__()
        self.registrations = Registrations()
        self.listeners: list[SubscriberSocket] = []

    @rule(prefixes=st.frozensets(PREFIXES, min_size=1), accepts_arrays=st.booleans())
    def socket_subscribes(self, prefixes: frozenset[bytes], accepts_arrays: bool) -> None:
        self.listeners.append(SubscriberSocket(prefixes, accepts_arrays))
        subscribe_socket(self.registrations, *prefixes, accepts_arrays=accepts_arrays)

    @rule(which=st.integers(0, 5))
    def socket_ends(self, which: int) -> None:
        for leaving in self.listeners[which : which + 1]:
            self.listeners.remove(leaving)
            end_socket(self.registrations, *leaving.prefixes, accepts_arrays=leaving.accepts_arrays)

    @invariant()
    def array_support_matches_the_model(self) -> None:
        all_do = bool(self.listeners) and all(one.accepts_arrays for one in self.listeners)
        assert self.registrations.all_accept_arrays is all_do


TestArraysModel = ArraysModel.TestCase
TestRegistrationModel = RegistrationModel.TestCase
