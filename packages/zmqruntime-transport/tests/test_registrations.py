"""Registrations follow the subscriptions: never before one, never longer than the last."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

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
    assert registrations.give_up(ALICE) is False
    assert registrations.give_up(ALICE) is None
    assert registrations.saw(b"\x01a/") == []
    assert registrations.clients == ()


def test_a_caller_that_was_answered_has_nothing_to_give_up() -> None:
    registrations = Registrations()
    registrations.register("a", OWN, ALICE)
    registrations.saw(b"\x01a/")
    assert registrations.give_up(ALICE) is None
    assert registrations.clients == ("a",)


def test_each_of_two_clients_with_one_id_waits_for_its_own_subscription() -> None:
    registrations = Registrations()
    registrations.saw(b"\x01a/")
    assert registrations.register("a", OWN, ALICE)
    assert not registrations.register("a", OWN, BOB)
    assert registrations.saw(b"\x01a/") == [(BOB, "a")]
    assert registrations.clients == ("a",)


def test_when_one_of_two_clients_with_one_id_goes_the_other_stays_registered() -> None:
    registrations = Registrations()
    for caller in (ALICE, BOB):
        registrations.saw(b"\x01a/")
        assert registrations.register("a", OWN, caller)
    registrations.saw(b"\x00a/")
    assert registrations.clients == ("a",)
    registrations.saw(b"\x00a/")
    assert not registrations.clients


def test_a_client_that_asks_twice_is_registered_though_it_subscribed_once() -> None:
    registrations = Registrations()
    registrations.saw(b"\x01a/")
    assert registrations.register("a", OWN, ALICE)
    assert not registrations.register("a", OWN, BOB)  # The same client, on a fresh socket.
    assert registrations.give_up(BOB) is True
    assert registrations.clients == ("a",)


def left_and_come_back() -> Registrations:
    """A client has unregistered, and registers again, before its first socket is seen to close."""
    registrations = Registrations()
    registrations.saw(b"\x01a/")
    assert registrations.register("a", OWN, ALICE)
    registrations.unregister("a")
    assert registrations.clients == ()
    assert not registrations.register("a", OWN, BOB)
    return registrations


def test_a_client_that_comes_back_waits_for_its_new_subscription() -> None:
    registrations = left_and_come_back()
    assert registrations.saw(b"\x00a/") == []
    assert registrations.saw(b"\x01a/") == [(BOB, "a")]
    assert registrations.clients == ("a",)


def test_its_new_subscription_may_overtake_the_end_of_the_old_one() -> None:
    registrations = left_and_come_back()
    assert registrations.saw(b"\x01a/") == [(BOB, "a")]
    assert registrations.saw(b"\x00a/") == []
    assert registrations.clients == ("a",)


def test_without_a_new_subscription_it_is_not_registered() -> None:
    registrations = left_and_come_back()
    assert registrations.give_up(BOB) is False
    assert registrations.clients == ()


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


def with_batches(*clients: str) -> Registrations:
    """Each is subscribed, and registered for batches."""
    registrations = Registrations()
    for n, client_id in enumerate(clients):
        registrations.saw(SUBSCRIBED + f"{client_id}/".encode())
        caller = Caller((b"peer", b""), None, n)
        assert registrations.register(client_id, OWN, caller, batches=True)
    return registrations


def test_nobody_takes_batches_where_nobody_is() -> None:
    assert not Registrations().all_take_batches
    registrations = with_batches("a")
    registrations.saw(b"\x00a/")
    assert not registrations.all_take_batches


def test_one_who_did_not_ask_for_batches_spares_all_from_them_while_he_is_there() -> None:
    for prefix in (b"", b"b/", b"a/1"):
        registrations = with_batches("a", "c")
        assert registrations.all_take_batches
        registrations.saw(SUBSCRIBED + prefix)
        assert not registrations.all_take_batches
        registrations.saw(UNSUBSCRIBED + prefix)
        assert registrations.all_take_batches


def test_who_registers_without_asking_for_batches_takes_none() -> None:
    registrations = with_batches("a")
    registrations.saw(b"\x01b/")
    assert registrations.register("b", OWN, BOB)
    assert not registrations.all_take_batches


def test_before_a_client_is_registered_it_takes_no_batches() -> None:
    registrations = with_batches("a")
    assert not registrations.register("b", OWN, BOB, batches=True)
    assert registrations.all_take_batches
    assert registrations.saw(b"\x01b/") == [(BOB, "b")]
    assert registrations.all_take_batches


def test_an_observer_is_asked_for_each_of_his_subscriptions() -> None:
    registrations = with_batches("a")
    registrations.saw(b"\x01")
    registrations.saw(b"\x01b/")
    assert registrations.register("b", ALL, BOB, batches=True)
    assert registrations.all_take_batches
    registrations.saw(b"\x01")  # Another observer comes, and leaves.
    assert not registrations.all_take_batches
    registrations.saw(b"\x00")
    assert registrations.all_take_batches
    registrations.saw(b"\x01")
    for ended in (b"\x00", b"\x00b/"):  # The first one leaves.
        registrations.saw(ended)
    assert not registrations.all_take_batches


def test_who_has_unregistered_gets_no_batches_while_he_is_still_subscribed() -> None:
    registrations = with_batches("a", "b")
    registrations.unregister("b")
    assert not registrations.all_take_batches
    registrations.saw(b"\x00b/")
    assert registrations.all_take_batches


def test_of_two_with_one_id_one_may_leave_and_the_other_takes_batches_still() -> None:
    registrations = with_batches("a", "a")
    registrations.unregister("a")
    registrations.saw(b"\x00a/")
    assert registrations.all_take_batches


def test_who_is_left_of_two_that_share_a_prefix_is_not_taken_for_the_other_one() -> None:
    registrations = with_batches("a")
    registrations.saw(b"\x01a/")  # He does not register, and may be the one who stays.
    registrations.saw(b"\x00a/")
    assert not registrations.all_take_batches
    registrations = Registrations()
    registrations.saw(b"\x01a/")
    registrations.saw(b"\x01a/")
    for caller in (ALICE, BOB):  # The same client, whose first reply was lost.
        assert registrations.register("a", OWN, caller, batches=True)
    assert not registrations.all_take_batches


CLIENTS = st.sampled_from(["a", "b", "aa"])
PREFIXES = st.sampled_from([b"", b"a/", b"b/", b"aa/", b"a"])


class RegistrationModel(RuleBasedStateMachine):
    """What an XPUB tells of many sockets, and a model that counts."""

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
        for caller, client_id in self.registrations.saw(SUBSCRIBED + prefix):
            waited_for, scope = self.waiting.pop(caller)
            self.passed[client_id] += 1
            assert waited_for == client_id
            assert self.is_subscribed(client_id, scope)

    @rule(prefix=PREFIXES)
    def unsubscribe(self, prefix: bytes) -> None:
        if self.subscriptions[prefix]:
            self.subscriptions[prefix] -= 1
            assert self.registrations.saw(UNSUBSCRIBED + prefix) == []

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
    def give_up(self, which: int) -> None:
        for caller in list(self.waiting)[which : which + 1]:
            client_id, scope = self.waiting.pop(caller)
            claimed = client_id in self.registrations.clients
            registered = claimed and self.is_subscribed(client_id, scope)
            assert self.registrations.give_up(caller) is registered
            assert self.registrations.give_up(caller) is None

    @invariant()
    def nobody_is_registered_who_is_not_subscribed(self) -> None:
        for client_id in self.registrations.clients:
            assert self.is_subscribed(client_id, OWN)

    @invariant()
    def each_subscription_lets_one_registration_pass(self) -> None:
        for client_id, passed in self.passed.items():
            assert passed <= self.ever_subscribed[f"{client_id}/"]

    @invariant()
    def they_agree(self) -> None:
        assert self.registrations.waiting == tuple(self.waiting)
        assert self.registrations.anybody == any(self.subscriptions.values())


@dataclass(eq=False)
class Listener:
    """One socket: what it is subscribed to, and whether it has asked for batches."""

    prefixes: tuple[bytes, ...]
    takes_batches: bool = False


class BatchesModel(RuleBasedStateMachine):
    """Who takes batches and who does not come and go; nobody gets one who has not asked."""

    def __init__(self) -> None:
        super().__init__()
        self.registrations = Registrations()
        self.listeners: list[Listener] = []
        self.is_blurred = False
        """Whether there is somebody whom the server cannot tell from another one."""

    @rule(client_id=CLIENTS, scope=st.sampled_from(ProgressScope), batches=st.booleans())
    def a_client_comes(self, client_id: str, scope: ProgressScope, batches: bool) -> None:
        own = f"{client_id}/".encode()
        # If somebody has not registered, either subscription may be the one that is claimed.
        self.is_blurred |= any(own in other.prefixes for other in self.listeners)
        listener = Listener((b"", own) if scope is ALL else (own,), batches)
        self.listeners.append(listener)
        for prefix in listener.prefixes:
            self.registrations.saw(SUBSCRIBED + prefix)
        caller = Caller((b"peer", b""), None, len(self.listeners))
        assert self.registrations.register(client_id, scope, caller, batches=batches)

    @rule(prefix=PREFIXES)
    def somebody_subscribes(self, prefix: bytes) -> None:
        self.listeners.append(Listener((prefix,)))
        self.registrations.saw(SUBSCRIBED + prefix)

    @rule(which=st.integers(0, 5))
    def one_leaves(self, which: int) -> None:
        for leaving in self.listeners[which : which + 1]:
            self.listeners.remove(leaving)
            others = {prefix for other in self.listeners for prefix in other.prefixes if prefix}
            self.is_blurred |= not others.isdisjoint(leaving.prefixes)
            for prefix in leaving.prefixes:
                self.registrations.saw(UNSUBSCRIBED + prefix)

    @rule(client_id=CLIENTS)
    def one_unregisters(self, client_id: str) -> None:
        if client_id in self.registrations.clients:
            self.is_blurred = True
            self.registrations.unregister(client_id)
            assert not self.registrations.all_take_batches

    @invariant()
    def nobody_gets_batches_who_has_not_asked(self) -> None:
        if self.registrations.all_take_batches:
            assert self.listeners
            assert all(listener.takes_batches for listener in self.listeners)

    @invariant()
    def all_get_them_who_have_asked(self) -> None:
        self.is_blurred = self.is_blurred and bool(self.listeners)
        if self.listeners and not self.is_blurred:
            asked = all(listener.takes_batches for listener in self.listeners)
            assert self.registrations.all_take_batches is asked


TestBatchesModel = BatchesModel.TestCase
TestRegistrationModel = RegistrationModel.TestCase
