"""The blocking shell of an exchange: its connection, and its reads between requests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import cast

import pytest
import zmq

from zmqruntime.messages import OkReply, PingRequest, encode
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    NotConnected,
    ServerLost,
    TransportError,
)
from zmqruntime.transport.client.blocking_exchange import BlockingExchange
from zmqruntime.transport.client.channel_pool import ChannelPool
from zmqruntime.transport.client.exchange import Exchange, RequestLimits
from zmqruntime.transport.client.outcome import Outcome, ReconnectInterval
from zmqruntime.transport.lowlevel import Deadline


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class FakePool:
    """A pool with one connection; its peer returns no request ids.

    Each receive takes ``reply_seconds`` of the test's clock and returns the next of ``outcomes``,
    else one reply. ``timeouts`` are those of the receives.
    """

    def __init__(self, clock: Clock) -> None:
        self.calls: list[str] = []
        self.sent: list[bytes] = []
        self.timeouts: list[float] = []
        self.outcomes: list[Outcome | BaseException] = []
        self.intervals: list[ReconnectInterval] = []
        self.reply_seconds = 0.0
        self._clock = clock

    def acquire(self) -> FakePool:
        self.calls.append("acquire")
        return self

    def release(self, channel: object) -> None:
        self.calls.append("release")

    def discard(self, channel: object) -> None:
        self.calls.append("discard")

    def suspend(self, channel: object) -> None:
        self.calls.append("suspend")

    def resume(self, channel: object) -> None:
        self.calls.append("resume")

    def replace(self, channel: object, interval: ReconnectInterval) -> FakePool:
        self.intervals.append(interval)
        return self

    def not_connected(self) -> NotConnected:
        return NotConnected("closed")

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def reconnects_after(self, outcome: Outcome) -> bool:
        return False

    def receive_many(self, deadline: Deadline, limit: int) -> list[bytes] | Outcome:
        self.timeouts.append(max(0.0, deadline.at - self._clock.now))
        self._clock.now += self.reply_seconds
        if self.outcomes:
            outcome = self.outcomes.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        return [encode(OkReply())]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the blocking shell."""
    clock = Clock()
    monkeypatch.setattr("zmqruntime.transport.client.blocking_exchange.time", clock)
    return clock


@pytest.fixture
def pool(clock: Clock) -> FakePool:
    return FakePool(clock)


class Checks:
    """Notes the outcomes that are checked."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def check(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def explain(error: TransportError) -> TransportError:
    return ServerLost(f"explained: {error}")


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def blocking(pool: FakePool, endpoint: Endpoint, clock: Clock, checks: Checks) -> BlockingExchange:
    exchange = Exchange(
        endpoint, itertools.count(1), 1000, RequestLimits(60.0), 1.0, clock.now, renews=True
    )
    return BlockingExchange(exchange, cast(ChannelPool, pool), checks.check, explain)


def test_connection_without_pending_requests_returns_to_the_pool(
    blocking: BlockingExchange, pool: FakePool
) -> None:
    with blocking:
        assert blocking.request(PingRequest()).type == "ok"
    assert pool.calls == ["acquire", "release"]


def test_connection_on_which_a_reply_may_still_come_is_closed(
    blocking: BlockingExchange, pool: FakePool
) -> None:
    pool.outcomes.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), blocking:
        blocking.request(PingRequest())
    assert pool.calls == ["acquire", "discard"]


@pytest.mark.parametrize("seconds", [2**-11, 2**-9])
def test_replies_are_read_between_requests_at_most_once_a_millisecond(
    blocking: BlockingExchange, pool: FakePool, clock: Clock, seconds: float
) -> None:
    sent_when_read: list[int] = []

    def requests() -> Iterator[PingRequest]:
        for _ in range(10):
            clock.now += seconds
            yield PingRequest()

    with blocking:
        for _ in blocking.pipeline(requests(), window=100):
            sent_when_read.append(len(pool.sent))
    in_between = [count for count in sent_when_read if count < 10]
    if seconds > 0.001:
        assert in_between == [*range(1, 10)]
    else:
        assert in_between == [3, 6, 9]


def test_connection_is_suspended_while_the_source_and_the_consumer_run(
    blocking: BlockingExchange, pool: FakePool
) -> None:
    calls: list[list[str]] = []

    def requests() -> Iterator[PingRequest]:
        calls.append(pool.calls[-1:])
        yield PingRequest()

    with blocking:
        for _ in blocking.pipeline(requests(), window=1):
            calls.append(pool.calls[-1:])
    assert calls == [["suspend"], ["suspend"]]


def test_each_reply_of_a_pipeline_may_take_a_whole_attempt(
    blocking: BlockingExchange, pool: FakePool
) -> None:
    pool.reply_seconds = 0.75
    with blocking:
        assert len(list(blocking.pipeline([PingRequest()] * 4, window=4))) == 4
    assert pool.timeouts == [1.0] * 4
    assert len(pool.sent) == 4


@pytest.mark.parametrize("outcome", list(Outcome))
def test_broken_connection_is_checked_before_a_retry(
    blocking: BlockingExchange, pool: FakePool, checks: Checks, outcome: Outcome
) -> None:
    pool.outcomes = [outcome]
    if outcome is Outcome.FOREIGN:
        with pytest.raises(ServerLost, match="explained: "), blocking:
            blocking.request(PingRequest())
        assert (pool.intervals, checks.outcomes) == ([], [])
        return
    with blocking:
        assert blocking.request(PingRequest()).type == "ok"
    is_busy = outcome is Outcome.BUSY
    assert pool.intervals == [ReconnectInterval.SLOW if is_busy else ReconnectInterval.QUICK]
    assert pool.sent[0] == pool.sent[1]
    is_silent = outcome in {Outcome.SILENCE, Outcome.UNGREETED}
    assert checks.outcomes == ([] if is_silent else [outcome])


def test_end_of_the_context_is_raised_as_not_connected(
    blocking: BlockingExchange, pool: FakePool
) -> None:
    pool.outcomes = [zmq.ContextTerminated()]
    with pytest.raises(NotConnected, match="closed"), blocking:
        blocking.request(PingRequest())


@pytest.mark.parametrize("error", [ConnectionFailed("refused"), ServerLost("killed")])
def test_failed_connection_is_raised_as_explained(
    blocking: BlockingExchange, pool: FakePool, error: Exception
) -> None:
    pool.outcomes = [error]
    with pytest.raises(ServerLost, match=f"^explained: {error}$"), blocking:
        blocking.request(PingRequest())
