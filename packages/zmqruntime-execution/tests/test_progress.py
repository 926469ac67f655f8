"""What the server publishes reaches the application: checked, in order, and whatever it does."""

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
    """A client and its subscriber's socket, played by the test."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answers: list[OkReply | ErrorReply | BaseException] = []
        self.kept: dict[str, _Events] = {}
        self.page = 100
        self.is_back = False
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
        # The server holds its answer to a registration, and no try is shorter than that.
        assert hold == (1.5 if isinstance(request, RegisterProgressRequest) else 0.0)
        if isinstance(request, EventsRequest):
            return self._tell_kept(request)
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else OkReply()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def reconnect(self) -> None:
        if not self.is_back:
            raise ServerLost("nobody is back")

    def exchange(self, requests: Sequence[Request]) -> list[Reply]:
        return [self.request(request) for request in requests]

    def _tell_kept(self, request: EventsRequest) -> Reply:
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
        assert not self.asked, "it subscribes first, then registers"
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

    def let_time_pass(self) -> float | None:
        """Call what is due next; return how long that had to wait, None for nothing."""
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


def test_it_subscribes_to_its_own_says_that_it_takes_arrays_and_registers() -> None:
    connection = Connection()
    connection.open()
    assert connection.prefixes == [b"lab/", b"~lab/"]
    assert connection.asked == [RegisterProgressRequest(client_id="lab")]


@pytest.mark.parametrize("scope", [ProgressScope.ALL, "all"], ids=["member", "word"])
def test_for_everybodys_the_subscription_by_which_it_is_known_comes_last_of_those(
    scope: Any,
) -> None:
    connection = Connection()
    connection.open(scope=scope)
    assert connection.prefixes == [b"", b"lab/", b"~", b"~lab/"]
    assert connection.asked == [RegisterProgressRequest(client_id="lab", scope=ProgressScope.ALL)]


def test_a_registration_that_is_refused_leaves_nothing_open() -> None:
    connection = Connection()
    connection.answers = [ErrorReply(code=ErrorCode.NOT_SUBSCRIBED, message="not seen in 2 s")]
    with pytest.raises(RequestRejected, match="not seen in 2 s"):
        connection.open()
    assert connection.state == "closed"


def test_a_server_that_does_not_answer_leaves_nothing_open() -> None:
    connection = Connection()
    connection.answers = [RequestTimeout("no answer")]
    with pytest.raises(RequestTimeout):
        connection.open()
    assert connection.state == "closed"


def test_each_event_is_called_back_in_order_the_terminal_one_included() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    sent: _Events = [state(1, ExecutionStatus.QUEUED), progress(2), progress(3), state(4)]
    connection.deliver(*sent)
    assert events == sent


def test_an_event_that_comes_twice_is_told_once() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver(progress(1), progress(1), progress(2), progress(1), progress(3))
    assert [event.sequence for event in events] == [1, 2, 3]


def test_a_gap_is_counted_and_logged_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    with caplog.at_level(logging.INFO, "zmqruntime.client"):
        connection.deliver(progress(1), progress(5), progress(6))
    assert [event.sequence for event in events] == [1, 5, 6]
    assert subscriber.missed == 3
    assert "3 events of execution a were lost" in caplog.text


def test_of_what_went_on_before_it_listened_nothing_is_missed() -> None:
    connection = Connection()
    subscriber = connection.open()
    connection.deliver(progress(5000), progress(5001))
    assert subscriber.missed == 0


def test_of_what_was_submitted_later_everything_would_be() -> None:
    connection = Connection()
    subscriber = connection.open()
    stream = subscriber.open_stream("a", from_start=True)
    connection.deliver(progress(4))
    assert subscriber.missed == 3
    assert stream.take(0) == [progress(4)]


def test_executions_are_told_apart() -> None:
    connection = Connection()
    subscriber = connection.open()
    connection.deliver(progress(1, "a"), progress(1, "b"), progress(2, "a"), progress(2, "b"))
    assert subscriber.missed == 0


def test_a_name_that_is_used_again_begins_anew() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1), state(2))
    connection.deliver(progress(1), state(2))
    assert len(events) == 4
    assert subscriber.missed == 0


@pytest.mark.parametrize("frame", [b"", b"\xff", b"~", b'{"type":"progress"}', b'{"type":"hello"}'])
def test_what_is_no_event_is_logged_and_the_stream_goes_on(
    frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver_frame(frame)
    connection.deliver(progress(1))
    assert events == [progress(1)]
    assert "a message on topic b'lab/a' was ignored" in caplog.text


def batch(*events: ProgressEvent | StateEvent) -> bytes:
    return b"[%b]" % b",".join(map(encode, events))


def test_it_takes_several_events_in_one_message() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    stream = subscriber.open_stream("a")
    told: _Events = [*(progress(n) for n in range(1, 8)), state(8)]
    connection.deliver_frame(batch(*told[:5]))
    connection.deliver(told[5])
    connection.deliver_frame(batch(*told[6:]))
    assert events == told
    assert stream.take(0.0) == told


def test_of_a_batch_what_came_before_is_not_told_again() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1), progress(2))
    connection.deliver_frame(batch(progress(1), progress(2), progress(3), progress(4)))
    connection.kept["a"] = [progress(n) for n in range(1, 8)]
    connection.deliver_frame(batch(progress(6), progress(7)))
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert subscriber.missed == 0


def test_a_batch_with_a_fault_is_logged_and_its_events_are_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.deliver_frame(batch(progress(2), progress(3)).replace(b'"sequence":3', b'"s":3'))
    assert [event.sequence for event in events] == [1]
    assert "a message on topic b'lab/a' was ignored" in caplog.text
    assert "sequence" in caplog.text
    connection.kept["a"] = [progress(n) for n in range(1, 6)]
    connection.deliver_frame(batch(progress(4), progress(5)))
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert subscriber.missed == 0


@pytest.mark.parametrize(
    "kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]
)
def test_a_callback_that_raises_is_logged_and_the_stream_goes_on(
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
    assert "the progress callback failed on event 1 of execution a" in caplog.text
    assert "the application's own" in caplog.text  # with its traceback


def test_each_reader_has_every_event_of_its_execution() -> None:
    connection = Connection()
    subscriber = connection.open()
    one, other, another = (subscriber.open_stream(name) for name in "aab")
    connection.deliver(progress(1, "a"), progress(1, "b"))
    assert one.take(0) == other.take(0) == [progress(1, "a")]
    assert another.take(0) == [progress(1, "b")]
    assert one.take(0) == []


def test_a_reader_that_is_gone_costs_nothing_and_the_others_go_on() -> None:
    connection = Connection()
    subscriber = connection.open()
    gone, stays = subscriber.open_stream("a"), subscriber.open_stream("a")
    del gone
    connection.deliver(progress(1))
    assert stays.take(0) == [progress(1)]


def test_back_after_a_lost_connection_it_registers_again_and_readers_look_at_the_record() -> None:
    connection = Connection()
    subscriber = connection.open()
    stream = subscriber.open_stream("a")
    connection.connect(True)
    assert len(connection.asked) == 1
    assert stream.take(60) == []
    connection.connect(False)
    assert stream.take(60) == []
    connection.connect(True)
    assert connection.asked == [RegisterProgressRequest(client_id="lab")] * 2
    assert stream.take(60) == []


@pytest.mark.parametrize(
    "answer",
    [
        ServerLost("gone"),
        RequestTimeout("no answer"),
        ErrorReply(code=ErrorCode.NOT_SUBSCRIBED, message="not seen"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_a_registration_that_fails_later_is_logged_and_readers_are_woken_all_the_same(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection()
    stream = connection.open().open_stream("a")
    connection.connect(True)
    stream.take(60)
    connection.answers = [answer]
    connection.connect(True)
    assert stream.take(60) == []
    assert "not registered again, and tried again later" in caplog.text


def test_it_takes_its_leave() -> None:
    connection = Connection()
    connection.open().close()
    assert connection.asked[-1] == UnregisterProgressRequest(client_id="lab")
    assert connection.state == "closed"


def test_it_closes_also_when_the_server_is_gone() -> None:
    connection = Connection()
    subscriber = connection.open()
    connection.answers = [ServerLost("gone")]
    subscriber.close()
    assert connection.state == "closed"


def test_stopping_waits_for_no_callback() -> None:
    connection = Connection()
    connection.open().stop()
    assert connection.asked[-1] == UnregisterProgressRequest(client_id="lab")
    assert connection.state == "stopping"


def test_stopping_closes_the_streams_that_there_are_and_that_are_opened_too_late() -> None:
    subscriber = Connection().open()
    stream = subscriber.open_stream("a")
    subscriber.stop()
    assert stream.closed
    assert subscriber.open_stream("a").closed


def test_any_number_of_executions_is_watched_at_a_bounded_cost() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    for n in range(20_000):  # none of which ends
        connection.deliver(progress(1, f"x{n}"))
    connection.deliver(progress(3, "x19999"))
    assert subscriber.missed == 1
    assert len(events) == 20_001


def test_a_gap_is_filled_with_what_the_server_still_keeps() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.kept["a"] = [progress(n) for n in range(1, 6)]
    connection.deliver(progress(1), progress(5), progress(6))
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert subscriber.missed == 0


def test_a_gap_of_many_pages_is_filled() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.page = 7
    connection.open(events.append)
    connection.kept["a"] = [progress(n) for n in range(1, 101)]
    connection.deliver(progress(1), progress(100))
    assert [event.sequence for event in events] == list(range(1, 101))


def test_what_is_older_than_what_is_kept_is_missed_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.kept["a"] = [progress(n) for n in range(6, 10)]
    with caplog.at_level(logging.INFO, "zmqruntime.client"):
        connection.deliver(progress(1), progress(9), progress(10))
    assert [event.sequence for event in events] == [1, 6, 7, 8, 9, 10]
    assert subscriber.missed == 4
    (told,) = [r for r in caplog.records if "were lost" in r.getMessage()]
    assert vars(told)["execution_id"] == "a"


@pytest.mark.parametrize("unwritten", [0, 500])
def test_a_restart_is_told_as_one_and_not_as_a_number_of_lost_events(
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
    assert "execution a were cut by a restart of its server" in caplog.text


def test_what_arrives_after_it_was_asked_for_is_told_once() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.kept["a"] = [*(progress(n) for n in range(1, 9)), state(9)]
    connection.deliver(progress(1), *(progress(n) for n in range(4, 9)), state(9))
    assert [event.sequence for event in events] == list(range(1, 10))


def test_a_server_that_cannot_tell_what_was_missed_leaves_a_gap() -> None:
    class Silent(Connection):
        def _tell_kept(self, request: EventsRequest) -> Reply:
            raise RequestTimeout("no answer")

    connection, events = Silent(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1), progress(4))
    assert [event.sequence for event in events] == [1, 4]
    assert subscriber.missed == 2


def test_back_after_a_cut_it_has_what_went_on_meanwhile_the_end_included() -> None:
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


def test_caught_up_after_having_been_far_behind_it_asks_for_what_may_have_been_dropped() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver(progress(1), progress(1, "b"), state(2, execution_id="b"))
    connection.kept["a"] = [progress(1), state(2)]
    connection.catch_up()
    assert events[-1] == state(2)
    connection.catch_up()
    assert len(events) == 4


def test_what_is_still_on_its_way_is_not_taken_for_lost() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(n) for n in range(5, 9)]  # It keeps no more of them.
    connection.catch_up()
    for n in range(2, 9):
        connection.deliver(progress(n))
        connection.let_time_pass()
    connection.let_time_pass()
    assert [event.sequence for event in events] == list(range(1, 9))
    assert subscriber.missed == 0


def test_nor_is_what_left_while_page_after_page_was_asked_for() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(2), progress(5), progress(6)]
    connection.catch_up()
    assert [event.sequence for event in events] == [1, 2]
    connection.deliver(*[progress(n) for n in range(2, 7)], state(7))
    connection.let_time_pass()
    assert [event.sequence for event in events] == list(range(1, 8))
    assert subscriber.missed == 0
    assert connection.let_time_pass() is None


def test_what_does_not_come_for_a_while_is_missed() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(5), state(6)]
    connection.catch_up()
    assert len(events) == 1
    assert connection.let_time_pass() == 0.5
    assert [event.sequence for event in events] == [1, 5, 6]
    assert subscriber.missed == 3
    assert connection.let_time_pass() is None


def test_a_stream_that_goes_on_for_long_loses_nothing_by_being_asked_about() -> None:
    connection, events = Connection(), cast("_Events", [])
    subscriber = connection.open(events.append)
    for n in range(1, 100):  # The server is always further than what it keeps reaches back.
        connection.deliver(progress(n))
        connection.kept["a"] = [progress(n + 5), progress(n + 6)]
        connection.catch_up()
        connection.deliver(progress(n + 1))
        connection.let_time_pass()
    assert len(events) == 100
    assert subscriber.missed == 0


def test_but_it_is_asked_in_the_end_though_others_keep_coming() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(1), state(2)]
    connection.catch_up()
    for n in range(1, 50):
        connection.deliver(progress(n, "b"))
        connection.let_time_pass()
    assert state(2) in events


def test_a_gap_is_filled_with_what_lies_in_it_and_the_rest_comes_by_itself() -> None:
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


def test_another_server_at_the_same_place_is_gone_on_with() -> None:
    connection, events = Connection(), cast("_Events", [])
    connection.open(events.append)
    connection.connect(True)
    connection.deliver(progress(1), progress(7))
    # It was killed before it had written down how far it had counted.
    connection.kept["a"] = [progress(1), state(5, ExecutionStatus.RUNNING)]
    connection.answers, connection.is_back = [ServerLost("gone"), OkReply()], True
    connection.connect(True)
    connection.deliver(progress(6))
    assert events[-1] == progress(6)


class Deaf(Connection):
    """Its server does not tell what was missed, until it does."""

    silences = 0

    def _tell_kept(self, request: EventsRequest) -> Reply:
        if self.silences:
            self.silences -= 1
            raise RequestTimeout("no answer")
        return super()._tell_kept(request)


def follow_to_its_last_event(connection: Connection) -> _Events:
    """Open a subscriber that has all but the end of what its server keeps."""
    events: _Events = []
    connection.open(events.append)
    connection.connect(True)
    connection.deliver(progress(1))
    connection.kept["a"] = [progress(1), state(2)]
    return events


def test_a_server_that_is_silent_when_it_has_caught_up_is_asked_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection = Deaf()
    events = follow_to_its_last_event(connection)
    connection.silences = 3
    connection.catch_up()
    connection.catch_up()  # Not asked twice meanwhile.
    assert "not asked for what was missed, and tried again later" in caplog.text
    assert [connection.let_time_pass() for _ in range(4)] == [0.5, 1.0, 2.0, None]
    assert events == [progress(1), state(2)]


def test_the_pause_between_two_tries_is_bounded() -> None:
    connection = Deaf()
    follow_to_its_last_event(connection)
    connection.silences = 100
    connection.catch_up()
    assert max(connection.let_time_pass() or 0 for _ in range(100)) <= 60
    assert connection.let_time_pass() is None


def test_a_server_that_was_lost_is_asked_as_soon_as_it_is_back() -> None:
    connection = Deaf()
    events = follow_to_its_last_event(connection)
    connection.silences = 1
    connection.catch_up()
    connection.connect(False)
    assert connection.let_time_pass() is None
    connection.connect(True)
    assert events == [progress(1), state(2)]


@pytest.mark.parametrize(
    "answer",
    [
        ServerLost("gone"),
        RequestTimeout("no answer"),
        ErrorReply(code=ErrorCode.NOT_SUBSCRIBED, message="not seen"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_a_registration_that_fails_later_is_tried_again_and_what_was_missed_asked_for(
    answer: Any,
) -> None:
    connection = Connection()
    events = follow_to_its_last_event(connection)
    connection.connect(False)
    connection.answers = [answer]
    connection.connect(True)
    assert events == [progress(1)]
    assert connection.let_time_pass() == 0.5
    assert connection.asked[-1] == RegisterProgressRequest(client_id="lab")
    assert connection.let_time_pass() is None
    assert events == [progress(1), state(2)]


def test_who_is_about_to_stop_tries_nothing_again(caplog: pytest.LogCaptureFixture) -> None:
    connection = Deaf()
    subscriber = connection.open()
    connection.connect(True)
    connection.deliver(progress(1))
    subscriber.stop()
    connection.silences = 1
    connection.catch_up()
    assert connection.let_time_pass() is None
    assert not caplog.records
