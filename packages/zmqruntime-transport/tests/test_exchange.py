"""The pure exchange: matching, retries and the deadline, without sockets, threads or clocks."""

from __future__ import annotations

import itertools
import json
import math
from concurrent.futures import Future

import pytest
from futures_shell import FuturesShell
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zmqruntime.messages import (
    ErrorCode,
    ErrorReply,
    MessageError,
    PingRequest,
    Reply,
    StatusRequest,
    encode,
)
from zmqruntime.transport import ConnectionFailed, RequestTimeout, TransportError, ZMQClient
from zmqruntime.transport.client.exchange import Exchange, RequestLimits, Retry
from zmqruntime.transport.client.outcome import STILL_THERE, Outcome, ReconnectInterval
from zmqruntime.transport.lowlevel import Deadline

ENDPOINT = ZMQClient().endpoint
START = 1000.0


def make_exchange(
    timeout: float = 10.0,
    hold: float = 0.0,
    retry_interval: float = 1.0,
    *,
    renews: bool = False,
) -> Exchange:
    limits = RequestLimits(timeout, hold)
    return Exchange(
        ENDPOINT, itertools.count(1), 10_000, limits, retry_interval, START, renews=renews
    )


def reply_to(frame: bytes) -> bytes:
    request_id = json.loads(frame)["request_id"]
    return encode(ErrorReply(code=ErrorCode.INTERNAL, message="no", request_id=request_id))


def test_wait_ends_at_the_retry_or_at_the_deadline_if_that_is_earlier() -> None:
    exchange = make_exchange(timeout=2.5, hold=3.0)
    exchange.start_wait(START)
    assert exchange.retry_at == START + 3.0 + 1.0
    exchange.start_wait(START + 2.0)
    assert exchange.retry_at == START + 2.5 + 3.0


def test_deadline_of_a_pipeline_starts_anew_with_each_wait() -> None:
    exchange = make_exchange(timeout=2.0, retry_interval=60.0, renews=True)
    for now in (START, START + 100.0):
        exchange.start_wait(now)
        assert exchange.retry_at == now + 2.0


def test_limits_until_a_deadline_include_the_hold() -> None:
    deadline = Deadline(130.0, lambda: 100.0)
    assert RequestLimits.until(deadline, 10.0) == RequestLimits(20.0, 10.0)
    assert RequestLimits.until(Deadline(math.inf), 10.0) == RequestLimits(math.inf, 10.0)


@pytest.mark.parametrize(("timeout", "hold"), [(math.nan, 0.0), (1.0, math.nan)])
def test_limit_that_is_nan_is_refused(timeout: float, hold: float) -> None:
    with pytest.raises(ValueError, match="nan"):
        make_exchange(timeout, hold)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_retry_sends_the_pending_requests_in_their_order(outcome: Outcome) -> None:
    exchange = make_exchange()
    frames = [exchange.add(request) for request in (PingRequest(), StatusRequest(), PingRequest())]
    exchange.start_wait(START)
    exchange.match([reply_to(frames[1])])
    if outcome is Outcome.FOREIGN:
        with pytest.raises(ConnectionFailed):
            exchange.recover(outcome, START, reconnects=False)
        return
    slow = outcome is Outcome.BUSY
    interval = ReconnectInterval.SLOW if slow else ReconnectInterval.QUICK
    expected = Retry(interval, [frames[0], frames[2]])
    assert exchange.recover(outcome, START + 0.5, reconnects=False) == expected
    assert exchange.retry_at == START + 1.5


def test_connection_that_reconnects_is_kept_until_the_retry_is_due() -> None:
    exchange = make_exchange()
    exchange.add(PingRequest())
    exchange.start_wait(START)
    assert exchange.recover(Outcome.REFUSED, START + 0.9, reconnects=True) is None
    assert exchange.recover(Outcome.REFUSED, START + 1.0, reconnects=True) is not None


@pytest.mark.parametrize("outcome", list(Outcome))
def test_deadline_ends_every_exchange(outcome: Outcome) -> None:
    exchange = make_exchange(timeout=5.0)
    exchange.add(StatusRequest())
    exchange.add(PingRequest())
    exchange.start_wait(START)
    kind = RequestTimeout if outcome in STILL_THERE else ConnectionFailed
    with pytest.raises(kind, match="status request") as caught:
        exchange.recover(outcome, START + 5.0, reconnects=outcome is Outcome.REFUSED)
    assert outcome.value in str(caught.value)
    assert ("may have executed it" in str(caught.value)) == (outcome is Outcome.SILENCE)


def test_exchange_without_any_time_does_not_blame_the_server() -> None:
    exchange = make_exchange(timeout=0.0)
    exchange.add(PingRequest())
    exchange.start_wait(START)
    with pytest.raises(RequestTimeout, match="no time"):
        exchange.recover(Outcome.UNGREETED, START, reconnects=False)


def test_three_closed_connections_in_a_row_are_retried_and_a_reply_counts_anew() -> None:
    exchange = make_exchange(timeout=math.inf)
    frames = [exchange.add(PingRequest()), exchange.add(PingRequest())]
    exchange.start_wait(START)
    for outcome in (Outcome.LOST, Outcome.DROPPED, Outcome.REFUSED, Outcome.LOST):
        assert exchange.recover(outcome, START, reconnects=False)
    exchange.match([reply_to(frames[0])])
    for _ in range(3):
        assert exchange.recover(Outcome.LOST, START, reconnects=False)
    with pytest.raises(ConnectionFailed, match="ping request"):
        exchange.recover(Outcome.LOST, START, reconnects=False)


def test_late_duplicate_and_foreign_replies_are_dropped() -> None:
    exchange = make_exchange()
    frame = exchange.add(PingRequest())
    other = reply_to(encode(PingRequest(request_id="another")))
    ((sent, _),) = exchange.match([other, reply_to(frame), reply_to(frame)])
    assert (sent.number, len(exchange)) == (0, 0)
    assert exchange.match([reply_to(frame)]) == []


def test_frame_that_is_not_a_reply_is_an_error() -> None:
    exchange = make_exchange()
    exchange.add(PingRequest())
    with pytest.raises(MessageError):
        exchange.match([b"HTTP/1.1 400 Bad Request"])


class ExchangeMachine(RuleBasedStateMachine):
    """Any order of requests, replies, lost connections and time.

    The model: which frames were sent on the open connection, and which requests have no reply.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.deadline = START + 20.0
        self.exchange = make_exchange(timeout=20.0, retry_interval=3.0)
        self.shell = FuturesShell(self.exchange)
        self.frames: list[bytes] = []
        self.pending: list[int] = []
        self.drops = 0
        self.failed = False

    @property
    def futures(self) -> list[Future[Reply]]:
        return self.shell.futures

    def expect_retry(self, connections: int) -> None:
        """The pending requests were sent once, in their order, on one fresh connection."""
        assert len(self.shell.connections) == connections + 1
        assert self.shell.connections[-1] == [self.frames[number] for number in self.pending]

    def expect_failure(self, kind: type[TransportError]) -> None:
        self.failed = True
        errors = {id(self.futures[number].exception(0)) for number in self.pending}
        assert len(errors) == 1
        assert isinstance(self.futures[self.pending[0]].exception(0), kind)
        self.pending.clear()

    @precondition(lambda self: not self.failed)
    @rule(own_id=st.booleans())
    def send(self, own_id: bool) -> None:
        number = len(self.futures)
        self.shell.submit(PingRequest(request_id=f"own-{number}" if own_id else None), self.now)
        self.frames.append(self.shell.connections[-1][-1])
        self.pending.append(number)

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), times=st.integers(1, 2))
    def reply(self, data: st.DataObject, times: int) -> None:
        number = data.draw(st.sampled_from(self.pending))
        self.shell.handle_frames([reply_to(self.frames[number])] * times)
        assert self.futures[number].result(0).request_id == self.request_id(number)
        self.pending.remove(number)
        self.drops = 0

    @precondition(lambda self: self.frames and not self.failed)
    @rule(data=st.data())
    def reply_late(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.frames) - 1))
        if number not in self.pending:
            self.shell.handle_frames([reply_to(self.frames[number])])

    @precondition(lambda self: self.pending)
    @rule(outcome=st.sampled_from([Outcome.LOST, Outcome.DROPPED, Outcome.REFUSED, Outcome.BUSY]))
    def break_connection(self, outcome: Outcome) -> None:
        connections = len(self.shell.connections)
        self.drops += outcome in {Outcome.LOST, Outcome.DROPPED}
        self.shell.handle_outcome(outcome, self.now)
        if self.drops > 3 or self.now >= self.deadline:
            self.expect_failure(RequestTimeout if outcome is Outcome.BUSY else ConnectionFailed)
        else:
            self.expect_retry(connections)

    @precondition(lambda self: self.pending)
    @rule()
    def reconnect(self) -> None:
        connections = len(self.shell.connections)
        is_due = self.now >= self.exchange.retry_at
        self.shell.handle_outcome(Outcome.REFUSED, self.now, reconnects=True)
        if self.now >= self.deadline:
            self.expect_failure(ConnectionFailed)
        elif is_due:
            self.expect_retry(connections)
        else:
            assert len(self.shell.connections) == connections

    @rule(seconds=st.floats(0.25, 8.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if not self.pending:
            return
        connections = len(self.shell.connections)
        is_due = self.now >= self.exchange.retry_at
        self.shell.handle_time(self.now)
        if self.now >= self.deadline:
            self.expect_failure(RequestTimeout)
        elif is_due:
            self.expect_retry(connections)
        else:
            assert len(self.shell.connections) == connections

    def request_id(self, number: int) -> str:
        request_id: str = json.loads(self.frames[number])["request_id"]
        return request_id

    @invariant()
    def every_request_is_pending_or_has_its_end(self) -> None:
        open_futures = [n for n, future in enumerate(self.futures) if not future.done()]
        assert open_futures == self.pending
        if not self.failed:
            assert len(self.exchange) == len(self.pending)

    @invariant()
    def no_wait_lasts_beyond_the_deadline(self) -> None:
        assert self.exchange.retry_at <= self.deadline

    @invariant()
    def no_request_is_sent_twice_on_one_connection(self) -> None:
        for frames in self.shell.connections:
            assert len(frames) == len(set(frames))


TestExchangeMachine = ExchangeMachine.TestCase
