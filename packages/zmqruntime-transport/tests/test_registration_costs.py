"""Registrations: agreement with a naive model, and constant cost of each message."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqruntime.messages import ARRAYS_MARK, ProgressScope, make_topic_prefix
from zmqruntime.transport import Caller
from zmqruntime.transport.server.registration import Registrations

OWN, ALL = ProgressScope.OWN, ProgressScope.ALL
CLIENTS = st.sampled_from(["a", "b", "aa"])
PREFIXES = st.sampled_from([b"", b"a/", b"b/", b"aa/", b"a", b"\xff/"])
TIMES = st.integers(1, 3)


class NaiveRegistrations:
    """A naive model of registrations, by scans."""

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()
        self.marked: Counter[bytes] = Counter()
        self.unclaimed: Counter[bytes] = Counter()
        self.registered: Counter[str] = Counter()
        self.waiting: dict[Caller, tuple[str, ProgressScope]] = {}

    @property
    def all_accept_arrays(self) -> bool:
        return bool(self.seen) and self.seen == self.marked

    def is_subscribed(self, client_id: str, scope: ProgressScope) -> bool:
        needed = {make_topic_prefix(client_id), *([b""] if scope is ALL else [])}
        return needed <= set(self.seen)

    def claim(self, client_id: str, scope: ProgressScope) -> bool:
        prefix = make_topic_prefix(client_id)
        if not self.unclaimed[prefix] or not self.is_subscribed(client_id, scope):
            return False
        self.unclaimed -= Counter([prefix])
        self.registered[client_id] += 1
        return True

    def register(self, client_id: str, scope: ProgressScope, caller: Caller) -> bool:
        if self.claim(client_id, scope):
            return True
        self.waiting[caller] = (client_id, scope)
        return False

    def unregister(self, client_id: str) -> None:
        self.registered -= Counter([client_id])

    def cancel_wait(self, caller: Caller) -> bool | None:
        if (waited := self.waiting.pop(caller, None)) is None:
            return None
        return waited[0] in self.registered and self.is_subscribed(*waited)

    def apply(self, frame: bytes, times: int = 1) -> list[tuple[Caller, str]]:
        comes, prefix = frame[0] == 1, frame[1:]
        counts = self.marked if prefix.startswith(ARRAYS_MARK) else self.seen
        prefix = prefix.removeprefix(ARRAYS_MARK)
        change = Counter({prefix: times})
        counts.update(change) if comes else counts.subtract(change)
        if counts[prefix] <= 0:
            del counts[prefix]
        if not comes and not self.seen[prefix]:
            self.marked.pop(prefix, None)
        if counts is self.marked:
            return []
        if comes:
            self.unclaimed += change
        else:
            self.unclaimed[prefix] = min(self.unclaimed[prefix], self.seen[prefix])
            for client_id in list(self.registered):
                if make_topic_prefix(client_id) == prefix:
                    most = min(self.registered[client_id], self.seen[prefix])
                    self.registered[client_id] = most
            self.registered = +self.registered
        settled = [(c, w[0]) for c, w in self.waiting.items() if comes and self.claim(*w)]
        for caller, _ in settled:
            del self.waiting[caller]
        return settled


class NaiveModel(RuleBasedStateMachine):
    """Runs both with the same steps, and compares their results."""

    def __init__(self) -> None:
        super().__init__()
        self.real, self.naive = Registrations(), NaiveRegistrations()
        self.numbers = itertools.count(1)

    @rule(
        kind=st.sampled_from([b"\x01", b"\x00"]), mark=st.booleans(), prefix=PREFIXES, times=TIMES
    )
    def apply_frame(self, kind: bytes, mark: bool, prefix: bytes, times: int) -> None:
        frame = kind + ARRAYS_MARK * mark + prefix
        assert self.real.apply(frame, times) == self.naive.apply(frame, times)

    @rule(client_id=CLIENTS, scope=st.sampled_from(ProgressScope))
    def register(self, client_id: str, scope: ProgressScope) -> None:
        caller = Caller((b"peer", b""), None, next(self.numbers))
        results = [one.register(client_id, scope, caller) for one in (self.real, self.naive)]
        assert results[0] == results[1]

    @rule(client_id=CLIENTS)
    def unregister(self, client_id: str) -> None:
        self.real.unregister(client_id)
        self.naive.unregister(client_id)

    @rule(which=st.integers(0, 5))
    def cancel_wait(self, which: int) -> None:
        for caller in tuple(self.naive.waiting)[which : which + 1]:
            assert self.real.cancel_wait(caller) is self.naive.cancel_wait(caller)

    @invariant()
    def results_agree(self) -> None:
        assert self.real.clients == tuple(self.naive.registered)
        assert self.real.client_count == len(self.naive.registered)
        assert self.real.list_clients(1) == tuple(self.naive.registered)[:1]
        assert self.real.waiting == tuple(self.naive.waiting)
        assert self.real.has_subscribers == bool(self.naive.seen)
        assert self.real.all_accept_arrays == self.naive.all_accept_arrays


TestNaiveModel = NaiveModel.TestCase


def measure(make: Callable[[], Callable[[int], object]]) -> float:
    """Return the processor time of 300 calls, the minimum of several runs."""

    def try_once() -> float:
        act = make()
        start = time.thread_time()
        for number in range(300):
            act(number)
        return time.thread_time() - start

    return min(try_once() for _ in range(5))


def fill(count: int, *, registered: bool) -> Registrations:
    """Return so many registrations, completed or waiting."""
    registrations = Registrations()
    for number in range(count):
        if registered:
            registrations.apply(b"\x01client-%d/" % number)
        scope = OWN if registered or number % 2 else ALL
        registrations.register(f"client-{number}", scope, Caller((b"p", b""), None, number))
    return registrations


def subscribe_and_register(count: int) -> Callable[[int], object]:
    registrations = fill(count, registered=True)

    def act(number: int) -> None:
        registrations.apply(b"\x01new-%d/" % number)
        assert registrations.register(f"new-{number}", OWN, Caller((b"n", b""), None, number))
        assert len(registrations.list_clients(100)) == 100

    return act


def leave(count: int) -> Callable[[int], object]:
    registrations = fill(count, registered=True)
    return lambda number: registrations.apply(b"\x00client-%d/" % number)


def subscribe_with_waiting(count: int) -> Callable[[int], object]:
    registrations = fill(count, registered=False)
    return lambda number: registrations.apply(b"\x01new-%d/" % number)


def subscribe_to_all_topics_with_waiting(count: int) -> Callable[[int], object]:
    registrations = fill(count, registered=False)
    return lambda number: registrations.apply(b"\x00" if number % 2 else b"\x01")


def complete_waiting(count: int) -> Callable[[int], object]:
    registrations = fill(count, registered=False)
    registrations.apply(b"\x01")
    return lambda number: registrations.apply(b"\x01client-%d/" % number)


def cancel_wait(count: int) -> Callable[[int], object]:
    registrations = fill(count, registered=False)
    return lambda number: registrations.cancel_wait(Caller((b"p", b""), None, number))


@pytest.mark.parametrize(
    "act",
    [
        subscribe_and_register,
        leave,
        subscribe_with_waiting,
        subscribe_to_all_topics_with_waiting,
        complete_waiting,
        cancel_wait,
    ],
)
def test_cost_of_one_message_does_not_grow_with_the_number_of_clients(
    act: Callable[[int], Callable[[int], object]],
) -> None:
    few, many = measure(lambda: act(500)), measure(lambda: act(10_000))
    assert many < 6 * few  # 20 times as many; a scan of all costs about 20 times as much.
