"""With a journal: what a server tells is on disk, and the next server goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Driver, caller, error, request
from journals import fill_disk, free_disk, quick_engine, spoil_notes

from zmqruntime.execution import Dispatcher, Execution, JournalLifecycleEngine, RestartPolicy
from zmqruntime.execution.core.event_log import EventLog
from zmqruntime.execution.core.events import (
    CancelRequested,
    Now,
    ProgressReported,
    StatusRequested,
    Submitted,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    TimerDue,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.lifecycle.events import StateChange
from zmqruntime.messages import (
    MAX_ATTEMPTS,
    AcceptedReply,
    CancelRequest,
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ShutdownMode,
    StatusRequest,
    decode_reply,
)
from zmqruntime.transport import Caller

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


class Life(Driver):
    """One server's life with a journal, which ends as by a kill."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.journal = quick_engine(path)
        super().__init__(engine=self.journal, **options)

    def __enter__(self) -> Life:
        return self

    def __exit__(self, *error: object) -> None:
        self.journal.commit()
        self.journal._file.close()


def test_what_ran_when_the_server_died_is_failed_as_interrupted(path: Path) -> None:
    with Life(path) as life:
        life.accept("a", "b", "c")
    with Life(path) as life:
        assert life.started.states == [("a", FAILED)]
        record = life.record("a")
        assert record.error is not None
        assert record.error.kind is ErrorKind.INTERRUPTED
        assert life.scheduler.slots[0].execution_id == "b"


def test_or_it_runs_again_where_that_is_wanted(path: Path) -> None:
    with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
        life.accept("a", "b")
    for attempt in (2, 3):
        with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
            assert life.started.states == [("a", QUEUED)]
            record = life.record("a")
            assert (record.status, record.attempt) == (RUNNING, attempt)
            assert record.attempts[-1].error.kind is ErrorKind.INTERRUPTED


def test_but_not_for_ever_since_it_may_be_what_takes_its_server_down(path: Path) -> None:
    with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
        life.accept("a", "b")
    for attempt in range(2, MAX_ATTEMPTS + 1):
        with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
            assert life.record("a").attempt == attempt
    with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
        assert life.started.states == [("a", FAILED)]
        record = life.record("a")
        assert record.error is not None
        assert record.error.kind is ErrorKind.INTERRUPTED
        assert (record.attempt, len(record.attempts)) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)
        assert life.scheduler.slots[0].execution_id == "b"


def test_or_when_its_own_request_says_so(path: Path) -> None:
    with Life(path) as life:
        life.accept("a", max_attempts=2, retry_on=(ErrorKind.INTERRUPTED,), backoff_seconds=5.0)
    with Life(path) as life:
        assert life.record("a").status is QUEUED
        assert life.advance(5.0).assigned == ["a"]


@pytest.mark.parametrize("policy", RestartPolicy)
def test_what_was_to_be_cancelled_is(path: Path, policy: RestartPolicy) -> None:
    with Life(path, on_restart=policy) as life:
        life.accept("a")
        life.cancel("a")
    with Life(path, on_restart=policy) as life:
        assert life.record("a").status is CANCELLED


def test_a_retry_waits_for_its_time_over_a_restart(path: Path) -> None:
    with Life(path) as life:
        life.accept("a", max_attempts=2, backoff_seconds=10.0)
        life.raises("a")
    with Life(path) as life:
        assert life.record("a").retry_at == life.now.wall + 10.0
        assert life.advance(9.0).assigned == []
        assert life.advance(1.0).assigned == ["a"]


def test_submitting_twice_is_safe_also_over_a_restart(path: Path) -> None:
    with Life(path) as life:
        life.accept("a", "b", task={"x": 1})
    with Life(path) as life:
        assert life.submit("b", task={"x": 1}).reply(AcceptedReply).duplicate
        assert life.refuse("b", task={"x": 2}).code is ErrorCode.CONFLICT


@pytest.mark.parametrize("mode", ShutdownMode)
def test_the_end_of_a_server_leaves_the_queue_to_the_next(path: Path, mode: ShutdownMode) -> None:
    with Life(path) as life:
        life.accept("a", "b")
        who = life.hold("b", 30.0)
        assert not life.shut_down(mode).exits
        done = life.returns("a")
        assert done.exits
        assert done.answered == [who]
        snapshot = done.reply(ExecutionStatusSnapshot)
        assert snapshot.execution is not None
        assert snapshot.execution.status is QUEUED
    with Life(path) as life:
        assert life.scheduler.slots[0].execution_id == "b"


def test_a_server_that_cannot_start_its_worker_drops_nothing(path: Path) -> None:
    with Life(path, ready=False) as life:
        life.accept("a")
        assert life.worker_exits(1, "no model").exits
    with Life(path) as life:
        assert life.scheduler.slots[0].execution_id == "a"


def test_what_is_ended_for_the_servers_end_runs_again_where_that_is_wanted(path: Path) -> None:
    with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
        life.accept("a")
        assert life.shut_down(ShutdownMode.NOW).interrupted == ["a"]
        done = life.stops("a")
        assert done.states == [("a", QUEUED)]
        assert done.exits


# -- commits ----------------------------------------------------------------------------------


class Hall:
    """A dispatcher on a journal whose rounds a test ends by hand, and all that it does."""

    def __init__(self, engine: JournalLifecycleEngine) -> None:
        self.engine = engine
        self.commits = self.writes = 0
        self.told: list[Any] = []
        self.events: list[Any] = []
        self.due: list[Any] = []
        self.later: list[Any] = []
        self.time = 100.0
        write, sync = engine._file.write, engine._file.notes.sync

        def count(changes: Any, **options: Any) -> None:
            write(changes, **options)
            self.commits += 1
            self.writes += 1

        def count_sync() -> bool:
            self.commits += 1
            return sync()

        engine._file.write = count  # type: ignore[method-assign]
        engine._file.notes.sync = count_sync  # type: ignore[method-assign]
        self.dispatcher = Dispatcher(
            Scheduler(engine),
            self,  # type: ignore[arg-type]
            self,
            soon=self.due.append,
            later=self.later.append,
            wall=lambda: self.time,
            monotonic=lambda: self.time,
        )
        self.dispatcher.start()
        self.dispatcher.handle(WorkerReady())
        self.told.clear()
        self.commits = 0

    def end_round(self) -> None:
        """Let the round end; or, when nobody waits for that, the moment pass."""
        while self.due or self.later:
            (self.due or self.later).pop(0)()

    def submit(self, name: str, **fields: Any) -> None:
        self.dispatcher.handle(Submitted(request(name, **fields), caller()))

    def die(self) -> None:
        """Die as by a kill: nothing more is written."""
        self.engine._file._database.close()
        self.engine._file._held_journal.release()

    def kept(self, name: str) -> Execution:
        execution = self.engine.get(name)
        assert execution is not None
        return execution

    # -- what is done ---

    def send_reply(self, who: Caller, frame: bytes) -> None:
        self.told.append(decode_reply(frame))

    def send_composed_reply(self, who: Caller, compose: Callable[[], bytes]) -> None:
        self.send_reply(who, compose())

    def publish_events(self, client_id: str, execution_id: str, events: Any) -> None:
        self.events += [(execution_id, e.status) for e in events if isinstance(e, StateChange)]

    def assign(self, execution_id: str, frame: bytes) -> None:
        self.told.append(execution_id)

    def start_worker(self) -> None: ...

    def sweep_logs(self, is_kept: object, interrupted: object = None) -> None: ...

    def forget_log(self, execution_id: str) -> None:
        self.told.append(("forgotten", execution_id))

    def interrupt(self, execution_id: str) -> None:
        self.told.append(("interrupted", execution_id))

    def kill_worker(self) -> None:
        self.told.append("killed")

    def handled(self, event: object) -> None: ...

    def exit(self, failure: str | None) -> None: ...


@pytest.fixture
def hall(path: Path) -> Iterator[Hall]:
    engine = quick_engine(path)
    yield Hall(engine)
    engine._file.close()


@pytest.fixture
def forgetful_hall(path: Path) -> Iterator[Hall]:
    engine = quick_engine(path, history_limit=0)
    yield Hall(engine)
    engine._file.close()


def test_what_arrives_together_is_committed_together_and_told_then(hall: Hall) -> None:
    for name in "abc":
        hall.submit(name)
    assert (hall.told, hall.commits) == (["a"], 0)
    hall.end_round()
    assert hall.commits == 1
    assert [reply.execution_id for reply in hall.told[1:]] == [*"abc"]
    assert all(isinstance(reply, AcceptedReply) for reply in hall.told[1:])


def test_what_changes_nothing_waits_for_no_disk(hall: Hall) -> None:
    hall.dispatcher.handle(TimerDue())
    hall.end_round()
    assert hall.commits == 0
    assert hall.due == []


def test_nothing_is_accepted_that_is_not_on_disk(hall: Hall) -> None:
    hall.submit("before")
    hall.end_round()
    hall.told.clear()
    fill_disk(hall.engine)
    hall.submit("a", task={"x": "x" * 20_000})
    hall.submit("a", task={"x": "x" * 20_000}, wait_seconds=30.0)
    hall.end_round()
    assert [told.code for told in hall.told] == [ErrorCode.JOURNAL_UNAVAILABLE] * 2
    assert "free some space" in hall.told[0].message
    assert hall.engine.get("a") is None
    free_disk(hall.engine)
    hall.told.clear()
    hall.submit("a")
    hall.end_round()
    (reply,) = hall.told
    assert isinstance(reply, AcceptedReply)


def test_rollback_drops_the_events_of_an_execution(path: Path) -> None:
    engine = quick_engine(path)
    log = EventLog()
    scheduler = Scheduler(engine, events=log)
    now = Now(1.0, 1.0)
    scheduler.start(now)
    scheduler.handle(WorkerReady(), now)
    engine.commit()
    held = scheduler.handle(Submitted(request("a"), caller()), now)
    assert log.first_kept("a") == 1
    fill_disk(engine)
    scheduler.commit_failed(held, now)
    assert log.first_kept("a") is None
    engine._file.close()


def test_a_task_begins_while_the_end_of_the_one_before_is_committed(hall: Hall) -> None:
    for name in "ab":
        hall.submit(name)
    hall.end_round()
    hall.told.clear()
    hall.events.clear()
    commits = hall.commits
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    assert hall.told == ["b"]
    assert (hall.events, hall.commits) == ([], commits)
    assert hall.due == []  # Nobody waits for it: it may be gathered with others.
    hall.later.pop()()
    assert hall.commits == commits + 1
    assert hall.events == [("a", COMPLETE), ("b", RUNNING)]


def test_who_asks_is_answered_with_what_is_committed(hall: Hall) -> None:
    hall.submit("a")
    hall.end_round()
    hall.told.clear()
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    hall.dispatcher.handle(StatusRequested(StatusRequest(execution_id="a"), caller()))
    assert hall.told == []
    commits = hall.commits
    hall.end_round()
    (snapshot,) = hall.told
    assert snapshot.execution.status is COMPLETE
    assert hall.commits == commits + 1


def test_a_new_run_begins_when_the_log_of_the_last_one_of_its_name_is_gone(
    forgetful_hall: Hall,
) -> None:
    hall = forgetful_hall
    hall.submit("a")
    hall.end_round()
    hall.told.clear()
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    hall.submit("a")
    hall.end_round()
    told = [what for what in hall.told if not isinstance(what, AcceptedReply)]
    assert told == [("forgotten", "a"), "a"]


def test_nor_does_an_attempt_begin_before_the_last_one_is_told_to_stop(hall: Hall) -> None:
    hall.submit("a", max_attempts=2, backoff_seconds=0.0, timeout_seconds=1.0)
    hall.end_round()
    hall.told.clear()
    hall.submit("b")
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.dispatcher.handle(TaskStopped("a"))
    hall.end_round()
    told = [what for what in hall.told if not isinstance(what, AcceptedReply)]
    assert told == [("interrupted", "a"), "a"]


def test_what_has_ended_does_not_come_back_where_no_history_is_kept(path: Path) -> None:
    hall = Hall(quick_engine(path, history_limit=0))
    hall.submit("a", wait_seconds=30.0)
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    assert hall.told == ["a"]
    hall.end_round()
    assert isinstance(hall.told[1], AcceptedReply)
    hall.die()
    with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
        assert life.engine.get("a") is None


def test_a_start_outlives_a_server_that_dies_before_it_is_committed(path: Path) -> None:
    engine = quick_engine(path)
    hall = Hall(engine)
    for name in "abc":
        hall.submit(name)
    hall.end_round()
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    assert hall.told[-1] == "b"
    hall.die()
    with Life(path) as life:
        # That a has ended was told to nobody, and c was not begun.
        assert life.started.states == [("a", FAILED), ("b", FAILED)]
        assert life.scheduler.slots[0].execution_id == "c"


def test_what_has_begun_is_known_to_the_next_server_though_it_was_not_committed(path: Path) -> None:
    hall = Hall(quick_engine(path))
    hall.submit("a", wait_seconds=30.0, labels={"of": "n\u00e4chte"}, priority=3, max_attempts=2)
    hall.submit("b")  # It waits, so its caller has no word yet, and will ask again.
    assert (hall.told, hall.commits) == (["a"], 0)
    hall.die()
    with Life(path) as life:
        assert life.started.states == [("a", FAILED)]
        record = life.record("a")
        assert record.error is not None
        assert record.error.kind is ErrorKind.INTERRUPTED
        assert (record.labels, record.attempt) == ({"of": "n\u00e4chte"}, 1)
        assert life.engine.get("b") is None
        life.accept("c")
        assert life.scheduler.slots[0].execution_id == "c"
    with Life(path) as life:
        assert life.record("a").status is FAILED
        assert life.record("c").status is FAILED


def test_what_ends_before_it_is_committed_is_written_once_and_told_then(hall: Hall) -> None:
    hall.submit("a", wait_seconds=30.0)
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    assert (hall.told, hall.commits) == (["a"], 0)
    hall.end_round()
    (_, reply) = hall.told
    assert reply.execution.status is COMPLETE
    assert hall.commits == 1


def test_what_has_begun_and_cannot_be_written_is_ended_and_refused(path: Path) -> None:
    hall = Hall(quick_engine(path))
    fill_disk(hall.engine)
    hall.submit("a", task={"x": "x" * 2000}, wait_seconds=30.0)
    hall.submit("b", task={"x": "x" * 20_000})
    hall.end_round()
    begun, *replies, killed = hall.told
    assert (begun, killed) == ("a", "killed")
    assert [reply.code for reply in replies] == [ErrorCode.JOURNAL_UNAVAILABLE] * 2
    assert hall.engine.get("a") is None
    hall.dispatcher.handle(TaskReturned("a", b"1"))  # Its last word is heard by nobody.
    assert hall.engine.get("a") is None
    hall.told.clear()
    hall.dispatcher.handle(WorkerExited(-9))
    hall.end_round()
    assert hall.told == [("forgotten", "a")]  # Until now the worker wrote there.
    hall.die()
    with Life(path) as life:
        assert life.engine.get("a") is None


def submit_in_vain(hall: Hall, *, is_cancelled: bool = False, **fields: Any) -> None:
    """Have a task begin, fail, and wait for a retry, and then nothing of it written."""
    fill_disk(hall.engine)
    hall.submit("a", task={"x": "x" * 2000}, max_attempts=2, **fields)
    hall.submit("b", task={"x": "x" * 20_000})
    hall.dispatcher.handle(TaskRaised("a", error()))
    if is_cancelled:
        hall.dispatcher.handle(CancelRequested(CancelRequest(execution_id="a"), caller()))
    hall.end_round()
    assert hall.engine.get("a") is None


def test_what_was_refused_is_not_tried_again(hall: Hall) -> None:
    submit_in_vain(hall, backoff_seconds=5.0)
    assert ("forgotten", "a") in hall.told
    hall.time += 6.0
    hall.dispatcher.wake()
    assert hall.engine.get("a") is None


@pytest.mark.parametrize("backoff_seconds", [0.0, 5.0])
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_was_refused_is_not_known_to_the_next_server_either(
    path: Path, backoff_seconds: float, is_cancelled: bool
) -> None:
    hall = Hall(quick_engine(path))
    submit_in_vain(hall, backoff_seconds=backoff_seconds, is_cancelled=is_cancelled)
    hall.die()
    with Life(path, on_restart=RestartPolicy.REQUEUE) as life:
        assert life.engine.get("a") is None


def test_what_has_ended_and_cannot_be_written_is_told_and_written_later(hall: Hall) -> None:
    fill_disk(hall.engine)
    hall.submit("a", task={"x": "x" * 2000}, wait_seconds=30.0)
    hall.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 20_000)))
    hall.end_round()
    (_, reply) = hall.told
    assert reply.execution.status is COMPLETE
    commits = hall.commits
    free_disk(hall.engine)
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.end_round()
    assert hall.commits == commits + 1
    assert hall.kept("a").status is COMPLETE


def test_the_latest_progress_is_written_within_a_second_and_once_in_a_second(hall: Hall) -> None:
    hall.submit("a")
    hall.end_round()
    commits = hall.commits
    for n in range(100):
        hall.dispatcher.handle(ProgressReported("a", (b'{"completed":%d}' % n,)))
        hall.end_round()
    assert hall.commits == commits
    assert hall.dispatcher.next_deadline == hall.time + 1.0
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.end_round()
    assert hall.commits == commits + 1
    assert not hall.engine.lags
    assert hall.dispatcher.next_deadline is None


def test_without_a_journal_that_can_be_written_nothing_begins_and_it_is_tried_again(
    hall: Hall,
) -> None:
    large = b'"%b"' % (b"x" * 50_000)
    hall.submit("a", wait_seconds=30.0)
    hall.submit("b")
    hall.submit("c")
    hall.end_round()
    hall.told.clear()
    fill_disk(hall.engine)
    hall.dispatcher.handle(TaskReturned("a", large))
    hall.end_round()
    began, reply = hall.told  # What has ended is told.
    assert began == "b"
    assert isinstance(reply, AcceptedReply)
    assert reply.execution is not None
    assert reply.execution.status is COMPLETE
    hall.dispatcher.handle(TaskReturned("b", b"1"))
    hall.told.clear()
    for _ in range(2):
        assert hall.dispatcher.next_deadline == hall.time + 1.0
        hall.time += 1.0
        hall.dispatcher.wake()
        hall.end_round()
        assert hall.told == []
        assert hall.kept("c").status is QUEUED
    free_disk(hall.engine)
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.end_round()
    assert hall.told == ["c"]
    assert hall.kept("c").status is RUNNING


def test_a_start_that_cannot_be_noted_is_committed_before_the_task_begins(hall: Hall) -> None:
    for name in "abc":
        hall.submit(name)
    hall.end_round()
    hall.told.clear()
    spoil_notes(hall.engine)
    for name, following in ("ab", "bc"):
        hall.dispatcher.handle(TaskReturned(name, b"1"))
        commits = hall.commits
        assert hall.told == []
        hall.end_round()
        assert hall.commits == commits + 1
        assert hall.told == [following]
        hall.told.clear()


def test_and_waits_again_where_that_fails_until_the_disk_has_room(hall: Hall) -> None:
    hall.submit("a")
    hall.submit("b")
    hall.end_round()
    hall.told.clear()
    hall.events.clear()
    spoil_notes(hall.engine)
    fill_disk(hall.engine)
    hall.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 50_000)))
    hall.end_round()
    assert hall.told == []
    assert hall.events == [("a", COMPLETE), ("b", RUNNING), ("b", QUEUED)]
    assert (hall.kept("b").status, hall.kept("b").attempt) == (QUEUED, 1)
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.end_round()
    assert hall.told == []
    free_disk(hall.engine)
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.end_round()
    assert hall.told == ["b"]
    assert hall.kept("b").status is RUNNING


def test_nor_is_a_cancel_forgotten_then(hall: Hall) -> None:
    hall.submit("a")
    hall.submit("b")
    hall.end_round()
    spoil_notes(hall.engine)
    fill_disk(hall.engine)
    hall.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 50_000)))
    hall.dispatcher.handle(CancelRequested(CancelRequest(execution_id="b"), caller()))
    hall.end_round()
    assert hall.kept("b").status is CANCELLED


def test_a_refusal_is_an_error_reply(hall: Hall) -> None:
    fill_disk(hall.engine)
    hall.submit("a", task={"x": "x" * 20_000})
    hall.end_round()
    (refusal,) = hall.told
    assert isinstance(refusal, ErrorReply)
    assert "nothing was accepted" in refusal.message


def test_what_lags_is_written_a_second_after_a_task_has_begun(hall: Hall) -> None:
    hall.submit("a")
    hall.end_round()
    written = hall.writes
    assert hall.engine.lags
    hall.dispatcher.handle(TaskReturned("a", b"1"))
    hall.end_round()
    assert hall.writes == written
    assert hall.dispatcher.next_deadline == hall.time + 1.0
    hall.time += 1.0
    hall.dispatcher.wake()
    hall.end_round()
    assert (hall.engine.lags, hall.writes) == (False, written + 1)
