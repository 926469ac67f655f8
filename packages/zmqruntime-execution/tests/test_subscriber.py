"""`ProgressStreamSubscriber`: order, duplicates, gaps, replays, reconnects, callbacks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from zmqruntime.execution import ProgressStreamSubscriber, RequestRejected
from zmqruntime.messages import (
    SEQUENCE_GAP,
    ErrorCode,
    ErrorReply,
    EventsRequest,
    ExecutionStatus,
    KeptEventsReply,
    OkReply,
    ProgressEvent,
    ProgressScope,
    RegisterProgressRequest,
    Reply,
    Request,
    StateEvent,
    UnregisterProgressRequest,
    encode,
)
from zmqruntime.transport import (
    RequestTimeout,
    ServerLost,
    Subscriber,
    Timer,
    ZMQClient,
    ZMQConfig,
)

_Events = list[ProgressEvent | StateEvent]


def progress(sequence: int, execution_id: str = "a") -> ProgressEvent:
    return ProgressEvent(execution_id=execution_id, sequence=sequence, timestamp=1.0)


def state(
    sequence: int, status: ExecutionStatus = ExecutionStatus.COMPLETE, execution_id: str = "a"
) -> StateEvent:
    return StateEvent(
        execution_id=execution_id,
        sequence=sequence,
        timestamp=1.0,
        status=status,
        submitted_at=1.0,
        finished_at=1.0,
    )


class Connection:
    """Test double of a client and of its subscriber's socket."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[OkReply | ErrorReply | BaseException] = []
        self.kept: dict[str, _Events] = {}
        self.page = 100
        self.is_restarted = False
        self.prefixes: Sequence[bytes] = ()
        self.state = "not open"
        self.later: list[tuple[float, Timer]] = []
        self._on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None]
        self._on_connection: Callable[[bool], None]

    # -- as a ZMQClient --

    config = ZMQConfig(registration_timeout=1.5)

    def request(
        self, request: Request, timeout: float | None = None, *, hold: float = 0.0
    ) -> Reply:
        # The server may hold its reply to a registration for `registration_timeout`.
        assert hold == (1.5 if isinstance(request, RegisterProgressRequest) else 0.0)
        if isinstance(request, EventsRequest):
            return self._reply_kept(request)
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else OkReply()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def reconnect(self) -> None:
        if not self.is_restarted:
            raise ServerLost("no server")

    def exchange(self, requests: Sequence[Request]) -> list[Reply]:
        return [self.request(request) for request in requests]

    def _reply_kept(self, request: EventsRequest) -> Reply:
        kept = self.kept.get(request.execution_id)
        if kept is None:
            return ErrorReply(code=ErrorCode.UNKNOWN_EXECUTION, message="not kept here")
        behind = [event for event in kept if event.sequence > request.after_sequence]
        return KeptEventsReply(
            execution_id=request.execution_id,
            events=tuple(behind[: self.page]),
            first_kept_sequence=kept[0].sequence,
            last_sequence=kept[-1].sequence,
        )

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None],
    ) -> Subscriber:
        assert not self.requests, "registered before the subscription"
        self.prefixes = prefixes
        self._on_messages, self._on_connection = on_messages, on_connection
        self.catch_up = on_caught_up
        self.state = "open"
        return cast("Subscriber", self)

    # -- as a Subscriber --

    def stop(self) -> None:
        self.state = "stopping" if self.state == "open" else self.state

    def close(self) -> None:
        self.state = "closed"

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.later.append((seconds, timer := Timer(seconds, callback, lambda: None)))
        return timer

    # -- as the network --

    def deliver(self, *events: ProgressEvent | StateEvent) -> None:
        self._on_messages([(b"lab/" + e.execution_id.encode(), encode(e)) for e in events])

    def deliver_frame(self, frame: bytes) -> None:
        self._on_messages([(b"lab/a", frame)])

    def connect(self, connected: bool) -> None:
        self._on_connection(connected)

    def run_next_timer(self) -> float | None:
        """Run the next timer and return its delay; None without one."""
        while self.later:
            seconds, timer = self.later.pop(0)
            if (callback := timer.callback) is not None:
                callback()
                return seconds
        return None

    def open(
        self, callback: Callable[[Any], None] | None = None, **options: Any
    ) -> ProgressStreamSubscriber:
        return ProgressStreamSubscriber(cast("ZMQClient", self), "lab", callback, **options)


def test_subscriber_subscribes_to_its_own_topics_and_arrays_and_registers() -> None:
    connection = Connection()
    connection.open()
    assert connection.prefixes == [b"lab/", b"~lab/"]
    assert connection.requests == [RegisterProgressRequest(client_id="lab")]


@pytest.mark.parametrize("scope", [ProgressScope.ALL, "all"], ids=["member", "word"])
def test_scope_all_sends_the_identifying_subscription_last(
    scope: Any,
) -> None:
    connection = Connection()
    connection.open(scope=scope)
    assert connection.prefixes == [b"", b"lab/", b"~", b"~lab/"]
    assert connection.requests == [
        RegisterProgressRequest(client_id="lab", scope=ProgressScope.ALL)
    ]


def test_refused_registration_closes_the_socket() -> None:
    connection = Connection()
    connection.answers = [ErrorReply(code=ErrorCode.NOT_SUBSCRIBED, message="not seen in 2 s")]
    with pytest.raises(RequestRejected, match="not seen in 2 s"):
        connection.open()
    assert connection.state == "closed"


def test_registration_timeout_closes_the_socket() -> None:
    connection = Connection()
    connection.answers = [RequestTimeout("no reply")]
    with pytest.raises(RequestTimeout):
        connection.open()
    assert connection.state == "closed"


def test_callback_receives_every_event_in_order() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    sent: _Events = [state(1, ExecutionStatus.QUEUED), progress(2), progress(3), state(4)]
    connection.deliver(*sent)
    assert events == sent


def test_duplicate_events_are_dropped() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver(progress(1), progress(1), progress(2), progress(1), progress(3))
    assert [event.sequence for event in events] == [1, 2, 3]


def test_gap_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    with caplog.at_level(logging.INFO, "zmqruntime.client"):
        connection.deliver(progress(1), progress(5), progress(6))
    assert [event.sequence for event in events] == [1, 5, 6]
    assert subscriber.missed == 3
    assert "3 events of execution a lost" in caplog.text


def test_events_before_the_subscription_do_not_count_as_missed() -> None:
    connection = Connection()
    subscriber = connection.open()
    connection.deliver(progress(5000), progress(5001))
    assert subscriber.missed == 0


def test_events_before_the_first_of_an_expected_execution_count_as_missed() -> None:
    connection = Connection()
    subscriber = connection.open()
    stream = subscriber.open_stream("a", from_start=True)
    connection.deliver(progress(4))
    assert subscriber.missed == 3
    assert stream.take(0) == [progress(4)]


def test_sequence_numbers_are_per_execution() -> None:
    connection = Connection()
    subscriber = connection.open()
    connection.deliver(progress(1, "a"), progress(1, "b"), progress(2, "a"), progress(2, "b"))
    assert subscriber.missed == 0


def test_reused_execution_id_starts_a_new_sequence() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1), state(2))
    connection.deliver(progress(1), state(2))
    assert len(events) == 4
    assert subscriber.missed == 0


@pytest.mark.parametrize("frame", [b"", b"\xff", b"~", b'{"type":"progress"}', b'{"type":"hello"}'])
def test_invalid_message_is_logged_and_ignored(
    frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver_frame(frame)
    connection.deliver(progress(1))
    assert events == [progress(1)]
    assert "invalid message on topic b'lab/a' ignored" in caplog.text


def batch(*events: ProgressEvent | StateEvent) -> bytes:
    return b"[%b]" % b",".join(map(encode, events))


def test_array_of_events_is_delivered_in_order() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    stream = subscriber.open_stream("a")
    sent_events: _Events = [*(progress(n) for n in range(1, 8)), state(8)]
    connection.deliver_frame(batch(*sent_events[:5]))
    connection.deliver(sent_events[5])
    connection.deliver_frame(batch(*sent_events[6:]))
    assert events == sent_events
    assert stream.take(0.0) == sent_events


def test_duplicates_within_an_array_are_dropped() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1), progress(2))
    connection.deliver_frame(batch(progress(1), progress(2), progress(3), progress(4)))
    connection.kept["a"] = [progress(n) for n in range(1, 8)]
    connection.deliver_frame(batch(progress(6), progress(7)))
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert subscriber.missed == 0


def test_invalid_array_is_logged_and_its_events_are_replayed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.deliver_frame(batch(progress(2), progress(3)).replace(b'"sequence":3', b'"s":3'))
    assert [event.sequence for event in events] == [1]
    assert "invalid message on topic b'lab/a' ignored" in caplog.text
    assert "sequence" in caplog.text
    connection.kept["a"] = [progress(n) for n in range(1, 6)]
    connection.deliver_frame(batch(progress(4), progress(5)))
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert subscriber.missed == 0


@pytest.mark.parametrize(
    "kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]
)
def test_exception_of_the_callback_is_logged_and_delivery_continues(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    connection, seen = Connection(), cast("_Events", [])

    def callback(event: ProgressEvent | StateEvent) -> None:
        seen.append(event)
        if event.sequence == 1:
            raise kind("the application's own")

    subscriber = connection.open(callback)
    stream = subscriber.open_stream("a")
    connection.deliver(progress(1), progress(2))
    assert [event.sequence for event in seen] == [1, 2]
    assert stream.take(0) == [progress(1), progress(2)]
    assert "progress callback failed on event 1 of execution a" in caplog.text
    assert "the application's own" in caplog.text  # The traceback.


def test_every_reader_receives_all_events_of_its_execution() -> None:
    connection = Connection()
    subscriber = connection.open()
    one, other, another = (subscriber.open_stream(name) for name in "aab")
    connection.deliver(progress(1, "a"), progress(1, "b"))
    assert one.take(0) == other.take(0) == [progress(1, "a")]
    assert another.take(0) == [progress(1, "b")]
    assert one.take(0) == []


def test_dropped_reader_does_not_affect_the_others() -> None:
    connection = Connection()
    subscriber = connection.open()
    gone, stays = subscriber.open_stream("a"), subscriber.open_stream("a")
    del gone
    connection.deliver(progress(1))
    assert stays.take(0) == [progress(1)]


def test_reconnect_registers_again_and_wakes_the_readers() -> None:
    connection = Connection()
    subscriber = connection.open()
    stream = subscriber.open_stream("a")
    connection.connect(True)
    assert len(connection.requests) == 1
    assert stream.take(60) == []
    connection.connect(False)
    assert stream.take(60) == []
    connection.connect(True)
    assert connection.requests == [RegisterProgressRequest(client_id="lab")] * 2
    assert stream.take(60) == []


@pytest.mark.parametrize(
    "answer",
    [
        ServerLost("gone"),
        RequestTimeout("no reply"),
        ErrorReply(code=ErrorCode.NOT_SUBSCRIBED, message="not seen"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_failed_registration_after_a_reconnect_is_logged_and_wakes_the_readers(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection()
    stream = connection.open().open_stream("a")
    connection.connect(True)
    stream.take(60)
    connection.answers = [answer]
    connection.connect(True)
    assert stream.take(60) == []
    assert "progress registration failed and will be retried" in caplog.text


def test_close_unregisters_and_closes_the_socket() -> None:
    connection = Connection()
    connection.open().close()
    assert connection.requests[-1] == UnregisterProgressRequest(client_id="lab")
    assert connection.state == "closed"


def test_close_succeeds_without_a_server() -> None:
    connection = Connection()
    subscriber = connection.open()
    connection.answers = [ServerLost("gone")]
    subscriber.close()
    assert connection.state == "closed"


def test_stop_does_not_join_the_thread() -> None:
    connection = Connection()
    connection.open().stop()
    assert connection.requests[-1] == UnregisterProgressRequest(client_id="lab")
    assert connection.state == "stopping"


def test_stop_closes_present_and_later_streams() -> None:
    subscriber = Connection().open()
    stream = subscriber.open_stream("a")
    subscriber.stop()
    assert stream.closed
    assert subscriber.open_stream("a").closed


def test_gap_detection_covers_the_latest_of_many_executions() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    for n in range(20_000):  # None of them ends.
        connection.deliver(progress(1, f"x{n}"))
    connection.deliver(progress(3, "x19999"))
    assert subscriber.missed == 1
    assert len(events) == 20_001


def test_gap_is_filled_by_a_replay() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.kept["a"] = [progress(n) for n in range(1, 6)]
    connection.deliver(progress(1), progress(5), progress(6))
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert subscriber.missed == 0


def test_gap_of_many_pages_is_filled() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.page = 7
    connection.open(events.append)
    connection.kept["a"] = [progress(n) for n in range(1, 101)]
    connection.deliver(progress(1), progress(100))
    assert [event.sequence for event in events] == list(range(1, 101))


def test_events_that_the_server_has_evicted_are_missed_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.kept["a"] = [progress(n) for n in range(6, 10)]
    with caplog.at_level(logging.INFO, "zmqruntime.client"):
        connection.deliver(progress(1), progress(9), progress(10))
    assert [event.sequence for event in events] == [1, 6, 7, 8, 9, 10]
    assert subscriber.missed == 4
    (sent_events,) = [r for r in caplog.records if r.getMessage().endswith(" lost")]
    assert vars(sent_events)["execution_id"] == "a"


@pytest.mark.parametrize("unwritten", [0, 500])
def test_sequence_gap_of_a_restart_is_logged_and_not_counted(
    unwritten: int, caplog: pytest.LogCaptureFixture
) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    back = progress(1 + SEQUENCE_GAP + 1)
    with caplog.at_level(logging.INFO, "zmqruntime.client"):
        connection.deliver(progress(1), progress(1 + unwritten))
        missed = subscriber.missed
        connection.deliver(back, progress(back.sequence + 3))
    assert subscriber.missed == missed + 2
    assert events[-2] == back
    assert "events of execution a lost in a restart of its server" in caplog.text


def test_events_that_arrive_after_their_replay_are_dropped() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.kept["a"] = [*(progress(n) for n in range(1, 9)), state(9)]
    connection.deliver(progress(1), *(progress(n) for n in range(4, 9)), state(9))
    assert [event.sequence for event in events] == list(range(1, 10))


def test_replay_timeout_leaves_the_gap() -> None:
    class Silent(Connection):
        def _reply_kept(self, request: EventsRequest) -> Reply:
            raise RequestTimeout("no reply")

    connection, events = Silent(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1), progress(4))
    assert [event.sequence for event in events] == [1, 4]
    assert subscriber.missed == 2


def test_reconnect_replays_missed_events_including_the_terminal_one() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    stream = subscriber.open_stream("a")
    connection.connect(True)
    connection.deliver(progress(1), progress(1, "b"))
    connection.kept["a"] = [progress(1), progress(2), state(3)]
    connection.connect(False)
    connection.connect(True)
    assert [(e.execution_id, e.sequence) for e in events] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("a", 3),
    ]
    assert stream.take(0) == [progress(1), progress(2), state(3)]


def test_catching_up_replays_dropped_events_of_unfinished_executions() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver(progress(1), progress(1, "b"), state(2, execution_id="b"))
    connection.kept["a"] = [progress(1), state(2)]
    connection.catch_up()
    assert events[-1] == state(2)
    connection.catch_up()
    assert len(events) == 4


def test_events_in_transit_are_not_missed() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(n) for n in range(5, 9)]  # Earlier ones are evicted.
    connection.catch_up()
    for n in range(2, 9):
        connection.deliver(progress(n))
        connection.run_next_timer()
    connection.run_next_timer()
    assert [event.sequence for event in events] == list(range(1, 9))
    assert subscriber.missed == 0


def test_events_published_between_pages_are_not_missed() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(2), progress(5), progress(6)]
    connection.catch_up()
    assert [event.sequence for event in events] == [1, 2]
    connection.deliver(*[progress(n) for n in range(2, 7)], state(7))
    connection.run_next_timer()
    assert [event.sequence for event in events] == list(range(1, 8))
    assert subscriber.missed == 0
    assert connection.run_next_timer() is None


def test_gap_is_confirmed_after_the_backoff() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(5), state(6)]
    connection.catch_up()
    assert len(events) == 1
    assert connection.run_next_timer() == 0.5
    assert [event.sequence for event in events] == [1, 5, 6]
    assert subscriber.missed == 3
    assert connection.run_next_timer() is None


def test_repeated_replays_of_a_long_stream_lose_nothing() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    for n in range(1, 100):  # The kept events never reach back to the last received one.
        connection.deliver(progress(n))
        connection.kept["a"] = [progress(n + 5), progress(n + 6)]
        connection.catch_up()
        connection.deliver(progress(n + 1))
        connection.run_next_timer()
    assert len(events) == 100
    assert subscriber.missed == 0


def test_events_of_other_executions_do_not_defer_a_replay() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(1), state(2)]
    connection.catch_up()
    for n in range(1, 50):
        connection.deliver(progress(n, "b"))
        connection.run_next_timer()
    assert state(2) in events


def test_replay_of_a_gap_omits_later_events() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(n) for n in range(3, 9)]
    connection.deliver(progress(5))
    assert [event.sequence for event in events] == [1, 3, 4, 5]
    assert subscriber.missed == 1
    connection.kept["a"] = [progress(n) for n in range(100, 109)]
    connection.deliver(progress(9))
    assert events[-1].sequence == 9
    assert subscriber.missed == 4


def test_restarted_server_may_continue_from_an_earlier_number() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.connect(True)
    connection.deliver(progress(1), progress(7))
    # It was killed before the last sequence number was persisted.
    connection.kept["a"] = [progress(1), state(5, ExecutionStatus.RUNNING)]
    connection.answers, connection.is_restarted = [ServerLost("gone"), OkReply()], True
    connection.connect(True)
    connection.deliver(progress(6))
    assert events[-1] == progress(6)


class Unresponsive(Connection):
    """Its server does not reply to the first replays."""

    timeouts = 0

    def _reply_kept(self, request: EventsRequest) -> Reply:
        if self.timeouts:
            self.timeouts -= 1
            raise RequestTimeout("no reply")
        return super()._reply_kept(request)


def follow_to_its_last_event(connection: Connection) -> _Events:
    """Open a subscriber that has missed only the terminal event."""
    events: _Events = []
    connection.open(events.append)
    connection.connect(True)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(1), state(2)]
    return events


def test_failed_replay_is_retried_with_backoff(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection = Unresponsive()
    events = follow_to_its_last_event(connection)
    connection.timeouts = 3
    connection.catch_up()
    connection.catch_up()  # Does not add a second retry.
    assert "replay of missed events failed and will be retried" in caplog.text
    assert [connection.run_next_timer() for _ in range(4)] == [0.5, 1.0, 2.0, None]
    assert events == [progress(1), state(2)]


def test_backoff_of_replays_is_bounded() -> None:
    connection = Unresponsive()
    follow_to_its_last_event(connection)
    connection.timeouts = 100
    connection.catch_up()
    assert max(connection.run_next_timer() or 0 for _ in range(100)) <= 60
    assert connection.run_next_timer() is None


def test_reconnect_replaces_a_pending_retry() -> None:
    connection = Unresponsive()
    events = follow_to_its_last_event(connection)
    connection.timeouts = 1
    connection.catch_up()
    connection.connect(False)
    assert connection.run_next_timer() is None
    connection.connect(True)
    assert events == [progress(1), state(2)]


@pytest.mark.parametrize(
    "answer",
    [
        ServerLost("gone"),
        RequestTimeout("no reply"),
        ErrorReply(code=ErrorCode.NOT_SUBSCRIBED, message="not seen"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_failed_registration_after_a_reconnect_is_retried_before_the_replay(
    answer: Any,
) -> None:
    connection = Connection()
    events = follow_to_its_last_event(connection)
    connection.connect(False)
    connection.answers = [answer]
    connection.connect(True)
    assert events == [progress(1)]
    assert connection.run_next_timer() == 0.5
    assert connection.requests[-1] == RegisterProgressRequest(client_id="lab")
    assert connection.run_next_timer() is None
    assert events == [progress(1), state(2)]


def test_failure_after_stop_is_neither_retried_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    connection = Unresponsive()
    subscriber = connection.open()
    connection.connect(True)
    connection.deliver(progress(1))
    subscriber.stop()
    connection.timeouts = 1
    connection.catch_up()
    assert connection.run_next_timer() is None
    assert not caplog.records
