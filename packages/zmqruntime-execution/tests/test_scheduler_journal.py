"""With a journal: effects are held until their commit, and the next server recovers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Driver, caller, error, request
from journals import abandon, fill_disk, fill_redo_log, free_disk, quick_engine

from zmqruntime.execution import CommitFailed, Execution, JournalLifecycleEngine, RestartPolicy
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
from zmqruntime.execution.lowlevel import Dispatcher
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


class Run(Driver):
    """One run of a server with a journal, which ends like a kill."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.journal = quick_engine(path)
        super().__init__(engine=self.journal, **options)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.journal.commit()
        self.journal._file.close()


def test_execution_that_ran_when_the_server_died_is_failed_as_interrupted(path: Path) -> None:
    with Run(path) as run:
        run.accept("a", "b", "c")
    with Run(path) as run:
        assert run.started.states == [("a", FAILED)]
        record = run.record("a")
        assert record.error is not None
        assert record.error.kind is ErrorKind.INTERRUPTED
        assert run.scheduler.slots[0].execution_id == "b"


def test_execution_that_ran_when_the_server_died_runs_again_with_requeue(path: Path) -> None:
    with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
        run.accept("a", "b")
    for attempt in (2, 3):
        with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
            assert run.started.states == [("a", QUEUED)]
            record = run.record("a")
            assert (record.status, record.attempt) == (RUNNING, attempt)
            assert record.attempts[-1].error.kind is ErrorKind.INTERRUPTED


def test_requeue_after_a_server_death_is_limited_to_the_maximum_of_attempts(path: Path) -> None:
    with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
        run.accept("a", "b")
    for attempt in range(2, MAX_ATTEMPTS + 1):
        with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
            assert run.record("a").attempt == attempt
    with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
        assert run.started.states == [("a", FAILED)]
        record = run.record("a")
        assert record.error is not None
        assert record.error.kind is ErrorKind.INTERRUPTED
        assert (record.attempt, len(record.attempts)) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)
        assert run.scheduler.slots[0].execution_id == "b"


def test_retry_on_interrupted_applies_to_a_server_death(path: Path) -> None:
    with Run(path) as run:
        run.accept("a", max_attempts=2, retry_on=(ErrorKind.INTERRUPTED,), backoff_seconds=5.0)
    with Run(path) as run:
        assert run.record("a").status is QUEUED
        assert run.advance(5.0).assigned == ["a"]


@pytest.mark.parametrize("policy", RestartPolicy)
def test_execution_being_cancelled_when_the_server_died_is_cancelled(
    path: Path, policy: RestartPolicy
) -> None:
    with Run(path, on_restart=policy) as run:
        run.accept("a")
        run.cancel("a")
    with Run(path, on_restart=policy) as run:
        assert run.record("a").status is CANCELLED


def test_backoff_of_a_retry_survives_a_restart(path: Path) -> None:
    with Run(path) as run:
        run.accept("a", max_attempts=2, backoff_seconds=10.0)
        run.raises("a")
    with Run(path) as run:
        assert run.record("a").retry_at == run.now.wall + 10.0
        assert run.advance(9.0).assigned == []
        assert run.advance(1.0).assigned == ["a"]


def test_duplicate_submit_is_detected_over_a_restart(path: Path) -> None:
    with Run(path) as run:
        run.accept("a", "b", task={"x": 1})
    with Run(path) as run:
        assert run.submit("b", task={"x": 1}).reply(AcceptedReply).duplicate
        assert run.reject("b", task={"x": 2}).code is ErrorCode.CONFLICT


@pytest.mark.parametrize("mode", ShutdownMode)
def test_queue_survives_the_end_of_a_server(path: Path, mode: ShutdownMode) -> None:
    with Run(path) as run:
        run.accept("a", "b")
        waiting = run.hold("b", 30.0)
        assert not run.shut_down(mode).exits
        done = run.returns("a")
        assert done.exits
        assert done.callers == [waiting]
        snapshot = done.reply(ExecutionStatusSnapshot)
        assert snapshot.execution is not None
        assert snapshot.execution.status is QUEUED
    with Run(path) as run:
        assert run.scheduler.slots[0].execution_id == "b"


def test_queue_survives_a_server_that_cannot_start_its_worker(path: Path) -> None:
    with Run(path, ready=False) as run:
        run.accept("a")
        assert run.worker_exits(1, "no model").exits
    with Run(path) as run:
        assert run.scheduler.slots[0].execution_id == "a"


def test_execution_interrupted_by_a_shutdown_runs_again_with_requeue(path: Path) -> None:
    with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
        run.accept("a")
        assert run.shut_down(ShutdownMode.NOW).interrupted == ["a"]
        done = run.stops("a")
        assert done.states == [("a", QUEUED)]
        assert done.exits


# -- commits ----------------------------------------------------------------------------------


class ManualCommit:
    """A dispatcher with a journal that a test commits by hand; records its effects."""

    def __init__(self, engine: JournalLifecycleEngine) -> None:
        self.engine = engine
        self.commits = self.writes = 0
        self.done: list[Any] = []
        self.events: list[Any] = []
        self.due: list[Any] = []
        self.later: list[Any] = []
        self.time = 100.0
        write, sync = engine._file.write, engine._file.redo_log.sync

        def count(changes: Any, **options: Any) -> None:
            write(changes, **options)
            self.commits += 1
            self.writes += 1

        def count_sync() -> bool:
            self.commits += 1
            return sync()

        engine._file.write = count  # type: ignore[method-assign]
        engine._file.redo_log.sync = count_sync  # type: ignore[method-assign]
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
        self.done.clear()
        self.commits = 0

    def end_round(self) -> None:
        """Run the callbacks for the end of the round, then those for a moment later."""
        while self.due or self.later:
            (self.due or self.later).pop(0)()

    def submit(self, name: str, **fields: Any) -> None:
        self.dispatcher.handle(Submitted(request(name, **fields), caller()))

    def die(self) -> None:
        """End like a kill: nothing more is written."""
        abandon(self.engine)

    def kept(self, name: str) -> Execution:
        execution = self.engine.get(name)
        assert execution is not None
        return execution

    # -- transport and runner ---

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        self.done.append(decode_reply(frame))

    def send_composed_reply(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        self.send_reply(caller, compose())

    def publish_events(self, client_id: str, execution_id: str, events: Any) -> None:
        self.events += [(execution_id, e.status) for e in events if isinstance(e, StateChange)]

    def assign(self, execution_id: str, frame: bytes) -> None:
        self.done.append(execution_id)

    def start_worker(self) -> None: ...

    def sweep_logs(self, is_kept: object, interrupted: object = None) -> None: ...

    def forget_log(self, execution_id: str) -> None:
        self.done.append(("forgotten", execution_id))

    def interrupt(self, execution_id: str) -> None:
        self.done.append(("interrupted", execution_id))

    def kill_worker(self) -> None:
        self.done.append("killed")

    def handled(self, event: object) -> None: ...

    def exit(self, failure: str | None) -> None:
        self.done.append("exit")


@pytest.fixture
def manual(path: Path) -> Iterator[ManualCommit]:
    engine = quick_engine(path)
    yield ManualCommit(engine)
    engine._file.close()


@pytest.fixture
def forgetful(path: Path) -> Iterator[ManualCommit]:
    engine = quick_engine(path, history_limit=0)
    yield ManualCommit(engine)
    engine._file.close()


def test_submits_that_arrive_together_share_a_commit_and_are_accepted_after_it(
    manual: ManualCommit,
) -> None:
    for name in "abc":
        manual.submit(name)
    assert (manual.done, manual.commits) == (["a"], 0)
    manual.end_round()
    assert manual.commits == 1
    assert [reply.execution_id for reply in manual.done[1:]] == [*"abc"]
    assert all(isinstance(reply, AcceptedReply) for reply in manual.done[1:])


def test_event_without_a_change_causes_no_commit(manual: ManualCommit) -> None:
    manual.dispatcher.handle(TimerDue())
    manual.end_round()
    assert manual.commits == 0
    assert manual.due == []


def test_submit_that_cannot_be_committed_is_rejected(manual: ManualCommit) -> None:
    manual.submit("before")
    manual.end_round()
    manual.done.clear()
    fill_disk(manual.engine)
    manual.submit("a", task={"x": "x" * 20_000})
    manual.submit("a", task={"x": "x" * 20_000}, wait_seconds=30.0)
    manual.end_round()
    assert [reply.code for reply in manual.done] == [ErrorCode.JOURNAL_UNAVAILABLE] * 2
    assert "free some space" in manual.done[0].message
    assert "a" not in [name for name, _ in manual.events]
    assert manual.engine.get("a") is None
    free_disk(manual.engine)
    manual.done.clear()
    manual.submit("a")
    manual.end_round()
    (reply,) = manual.done
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


def test_task_begins_before_the_end_of_the_previous_one_is_committed(manual: ManualCommit) -> None:
    for name in "ab":
        manual.submit(name)
    manual.end_round()
    manual.done.clear()
    manual.events.clear()
    commits = manual.commits
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    assert manual.done == ["b"]
    assert (manual.events, manual.commits) == ([], commits)
    assert manual.due == []  # No reply depends on it: it is batched with other ends.
    manual.later.pop()()
    assert manual.commits == commits + 1
    assert manual.events == [("a", COMPLETE), ("b", RUNNING)]


def test_status_reply_is_held_until_its_record_is_committed(manual: ManualCommit) -> None:
    manual.submit("a")
    manual.end_round()
    manual.done.clear()
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    manual.dispatcher.handle(StatusRequested(StatusRequest(execution_id="a"), caller()))
    assert manual.done == []
    commits = manual.commits
    manual.end_round()
    (snapshot,) = manual.done
    assert snapshot.execution.status is COMPLETE
    assert manual.commits == commits + 1


def test_run_with_a_reused_id_begins_after_the_removal_of_the_last_log(
    forgetful: ManualCommit,
) -> None:
    manual = forgetful
    manual.submit("a")
    manual.end_round()
    manual.done.clear()
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    manual.submit("a")
    manual.end_round()
    done = [one for one in manual.done if not isinstance(one, AcceptedReply)]
    assert done == [("forgotten", "a"), "a"]


def test_attempt_begins_after_the_interrupt_of_the_last_one(manual: ManualCommit) -> None:
    manual.submit("a", max_attempts=2, backoff_seconds=0.0, timeout_seconds=1.0)
    manual.end_round()
    manual.done.clear()
    manual.submit("b")
    manual.time += 1.0
    manual.dispatcher.wake()
    manual.dispatcher.handle(TaskStopped("a"))
    manual.end_round()
    done = [one for one in manual.done if not isinstance(one, AcceptedReply)]
    assert done == [("interrupted", "a"), "a"]


def test_ended_execution_without_a_history_is_not_recovered(path: Path) -> None:
    manual = ManualCommit(quick_engine(path, history_limit=0))
    manual.submit("a", wait_seconds=30.0)
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    assert manual.done == ["a"]
    manual.end_round()
    assert isinstance(manual.done[1], AcceptedReply)
    manual.die()
    with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
        assert run.engine.get("a") is None


def test_start_that_was_not_committed_survives_a_server_death(path: Path) -> None:
    engine = quick_engine(path)
    manual = ManualCommit(engine)
    for name in "abc":
        manual.submit(name)
    manual.end_round()
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    assert manual.done[-1] == "b"
    manual.die()
    with Run(path) as run:
        # The end of a was not published, and c was not begun.
        assert run.started.states == [("a", FAILED), ("b", FAILED)]
        assert run.scheduler.slots[0].execution_id == "c"


def test_uncommitted_submit_that_has_begun_survives_a_server_death(path: Path) -> None:
    manual = ManualCommit(quick_engine(path))
    manual.submit("a", wait_seconds=30.0, labels={"of": "n\u00e4chte"}, priority=3, max_attempts=2)
    manual.submit("b")  # Its reply is held until the commit, so its client will retry.
    assert (manual.done, manual.commits) == (["a"], 0)
    manual.die()
    with Run(path) as run:
        assert run.started.states == [("a", FAILED)]
        record = run.record("a")
        assert record.error is not None
        assert record.error.kind is ErrorKind.INTERRUPTED
        assert (record.labels, record.attempt) == ({"of": "n\u00e4chte"}, 1)
        assert run.engine.get("b") is None
        run.accept("c")
        assert run.scheduler.slots[0].execution_id == "c"
    with Run(path) as run:
        assert run.record("a").status is FAILED
        assert run.record("c").status is FAILED


def test_execution_that_ends_before_its_first_commit_is_committed_once(
    manual: ManualCommit,
) -> None:
    manual.submit("a", wait_seconds=30.0)
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    assert (manual.done, manual.commits) == (["a"], 0)
    manual.end_round()
    (_, reply) = manual.done
    assert reply.execution.status is COMPLETE
    assert manual.commits == 1


def test_running_execution_that_cannot_be_committed_is_killed_and_rejected(path: Path) -> None:
    manual = ManualCommit(quick_engine(path))
    fill_disk(manual.engine)
    manual.submit("a", task={"x": "x" * 2000}, wait_seconds=30.0)
    manual.submit("b", task={"x": "x" * 20_000})
    manual.end_round()
    begun, *replies, killed = manual.done
    assert (begun, killed) == ("a", "killed")
    assert [reply.code for reply in replies] == [ErrorCode.JOURNAL_UNAVAILABLE] * 2
    assert manual.engine.get("a") is None
    manual.dispatcher.handle(TaskReturned("a", b"1"))  # From the killed worker: ignored.
    assert manual.engine.get("a") is None
    manual.done.clear()
    manual.dispatcher.handle(WorkerExited(-9))
    manual.end_round()
    assert manual.done == [("forgotten", "a")]  # The worker wrote to it until its end.
    manual.dispatcher.handle(WorkerExited(-9))
    manual.end_round()
    assert manual.done == [("forgotten", "a")]
    manual.die()
    with Run(path) as run:
        assert run.engine.get("a") is None


def submit_and_fail_to_commit(
    manual: ManualCommit, *, is_cancelled: bool = False, **fields: Any
) -> None:
    """Run a task that fails and is in a backoff when the commit of its submit fails."""
    fill_disk(manual.engine)
    manual.submit("a", task={"x": "x" * 2000}, max_attempts=2, **fields)
    manual.submit("b", task={"x": "x" * 20_000})
    manual.dispatcher.handle(TaskRaised("a", error()))
    if is_cancelled:
        manual.dispatcher.handle(CancelRequested(CancelRequest(execution_id="a"), caller()))
    manual.end_round()
    assert manual.engine.get("a") is None


def test_rolled_back_execution_is_not_retried(manual: ManualCommit) -> None:
    submit_and_fail_to_commit(manual, backoff_seconds=5.0)
    assert ("forgotten", "a") in manual.done
    manual.time += 6.0
    manual.dispatcher.wake()
    assert manual.engine.get("a") is None


@pytest.mark.parametrize("backoff_seconds", [0.0, 5.0])
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_rolled_back_execution_is_unknown_to_the_next_server(
    path: Path, backoff_seconds: float, is_cancelled: bool
) -> None:
    manual = ManualCommit(quick_engine(path))
    submit_and_fail_to_commit(manual, backoff_seconds=backoff_seconds, is_cancelled=is_cancelled)
    manual.die()
    with Run(path, on_restart=RestartPolicy.REQUEUE) as run:
        assert run.engine.get("a") is None


def test_ended_execution_that_cannot_be_committed_is_published_and_committed_later(
    manual: ManualCommit,
) -> None:
    fill_disk(manual.engine)
    manual.submit("a", task={"x": "x" * 2000}, wait_seconds=30.0)
    manual.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 20_000)))
    manual.end_round()
    (_, reply) = manual.done
    assert reply.execution.status is COMPLETE
    commits = manual.commits
    free_disk(manual.engine)
    manual.time += 1.0
    manual.dispatcher.wake()
    manual.end_round()
    assert manual.commits == commits + 1
    assert manual.kept("a").status is COMPLETE


def test_progress_is_committed_once_a_second(manual: ManualCommit) -> None:
    manual.submit("a")
    manual.end_round()
    commits, start = manual.commits, manual.time
    for n in range(100):
        manual.dispatcher.handle(ProgressReported("a", (b'{"completed":%d}' % n,)))
        manual.end_round()
        manual.time += 0.005
    assert manual.commits == commits
    assert manual.dispatcher.next_deadline == start + 1.0
    manual.time = start + 1.0
    manual.dispatcher.wake()
    manual.end_round()
    assert manual.commits == commits + 1
    assert not manual.engine.lags
    assert manual.dispatcher.next_deadline is None


def test_no_task_begins_until_a_failed_commit_succeeds(
    manual: ManualCommit,
) -> None:
    large = b'"%b"' % (b"x" * 50_000)
    manual.submit("a", wait_seconds=30.0)
    manual.submit("b")
    manual.submit("c")
    manual.end_round()
    manual.done.clear()
    fill_disk(manual.engine)
    manual.dispatcher.handle(TaskReturned("a", large))
    manual.end_round()
    began, reply = manual.done  # The end is published.
    assert began == "b"
    assert isinstance(reply, AcceptedReply)
    assert reply.execution is not None
    assert reply.execution.status is COMPLETE
    manual.dispatcher.handle(TaskReturned("b", b"1"))
    manual.done.clear()
    for _ in range(2):
        assert manual.dispatcher.next_deadline == manual.time + 1.0
        manual.time += 1.0
        manual.dispatcher.wake()
        manual.end_round()
        assert manual.done == []
        assert manual.kept("c").status is QUEUED
    free_disk(manual.engine)
    manual.time += 1.0
    manual.dispatcher.wake()
    manual.end_round()
    assert manual.done == ["c"]
    assert manual.kept("c").status is RUNNING


def test_start_without_a_redo_log_is_committed_before_the_task_begins(manual: ManualCommit) -> None:
    for name in "abc":
        manual.submit(name)
    manual.end_round()
    manual.done.clear()
    fill_redo_log(manual.engine)
    for name, following in ("ab", "bc"):
        manual.dispatcher.handle(TaskReturned(name, b"1"))
        commits = manual.commits
        assert manual.done == []
        manual.end_round()
        assert manual.commits == commits + 1
        assert manual.done == [following]
        manual.done.clear()


def test_start_without_a_redo_log_waits_for_a_commit_that_succeeds(manual: ManualCommit) -> None:
    manual.submit("a")
    manual.submit("b")
    manual.end_round()
    manual.done.clear()
    manual.events.clear()
    fill_redo_log(manual.engine)
    fill_disk(manual.engine)
    manual.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 50_000)))
    manual.end_round()
    assert manual.done == []
    assert manual.events == [("a", COMPLETE), ("b", RUNNING), ("b", QUEUED)]
    assert (manual.kept("b").status, manual.kept("b").attempt) == (QUEUED, 1)
    manual.time += 1.0
    manual.dispatcher.wake()
    manual.end_round()
    assert manual.done == []
    free_disk(manual.engine)
    manual.time += 1.0
    manual.dispatcher.wake()
    manual.end_round()
    assert manual.done == ["b"]
    assert manual.kept("b").status is RUNNING


def test_cancel_during_a_failed_commit_is_kept(manual: ManualCommit) -> None:
    manual.submit("a")
    manual.submit("b")
    manual.end_round()
    fill_redo_log(manual.engine)
    fill_disk(manual.engine)
    manual.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 50_000)))
    manual.dispatcher.handle(CancelRequested(CancelRequest(execution_id="b"), caller()))
    manual.end_round()
    assert manual.kept("b").status is CANCELLED
    assert ("interrupted", "b") not in manual.done


def test_rejection_of_an_uncommitted_submit_is_an_error_reply(manual: ManualCommit) -> None:
    fill_disk(manual.engine)
    manual.submit("a", task={"x": "x" * 20_000})
    manual.end_round()
    (rejection,) = manual.done
    assert isinstance(rejection, ErrorReply)
    assert "nothing was accepted" in rejection.message


def test_lagging_changes_are_written_a_second_after_a_start(manual: ManualCommit) -> None:
    manual.submit("a")
    manual.end_round()
    written = manual.writes
    assert manual.engine.lags
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    manual.end_round()
    assert manual.writes == written
    assert manual.dispatcher.next_deadline == manual.time + 1.0
    manual.time += 1.0
    manual.dispatcher.wake()
    manual.end_round()
    assert (manual.engine.lags, manual.writes) == (False, written + 1)


def test_exit_that_was_held_by_a_failed_commit_is_repeated(manual: ManualCommit) -> None:
    manual.submit("a")
    manual.end_round()
    manual.dispatcher.shut_down(ShutdownMode.DRAIN)
    fill_disk(manual.engine)
    manual.dispatcher.handle(TaskReturned("a", b'"%b"' % (b"x" * 50_000)))
    manual.end_round()
    assert manual.done[-1] == "exit"
    assert manual.done.count("exit") == 1


def test_eviction_by_a_read_is_committed_within_a_second(path: Path) -> None:
    engine = quick_engine(path, history_limit=1)
    manual = ManualCommit(engine)
    for name in "ab":
        manual.submit(name)
        manual.dispatcher.handle(TaskReturned(name, b"1"))
    manual.end_round()
    engine.catch_up()
    engine.commit()
    manual.time += 1.0
    manual.dispatcher.wake()
    assert manual.dispatcher.next_deadline is None
    for name in "ab":
        manual.dispatcher.handle(StatusRequested(StatusRequest(execution_id=name), caller()))
    assert engine.get("a") is None
    assert manual.dispatcher.next_deadline == manual.time + 1.0
    manual.die()


def test_all_long_polls_of_a_rolled_back_execution_are_rejected(manual: ManualCommit) -> None:
    fill_disk(manual.engine)
    manual.submit("runs", task={"x": "x" * 20_000})
    manual.submit("a")
    for _ in range(6):
        poll = StatusRequest(execution_id="a", wait_seconds=30.0)
        manual.dispatcher.handle(StatusRequested(poll, caller()))
    manual.dispatcher.handle(CancelRequested(CancelRequest(execution_id="a"), caller()))
    manual.end_round()
    manual.dispatcher.wake()
    manual.end_round()
    assert manual.engine.get("a") is None
    replies = [reply for reply in manual.done if isinstance(reply, ErrorReply)]
    assert [reply.code for reply in replies] == [ErrorCode.JOURNAL_UNAVAILABLE] * 9
    assert [one for one in manual.done if one not in replies] == []


def test_task_with_a_reused_id_begins_before_its_commit_once_the_log_is_removed(
    forgetful: ManualCommit,
) -> None:
    manual = forgetful
    for _ in range(2):
        manual.submit("a")
        manual.dispatcher.handle(TaskReturned("a", b"1"))
        manual.end_round()
    manual.done.clear()
    manual.submit("a")
    assert manual.done == ["a"]


def test_reply_of_an_ended_task_waits_for_further_ends_while_the_next_one_runs(
    manual: ManualCommit,
) -> None:
    manual.submit("a", wait_seconds=30.0)
    manual.submit("b")
    manual.end_round()
    manual.done.clear()
    manual.dispatcher.handle(TaskReturned("a", b"1"))
    assert (manual.done, manual.due) == (["b"], [])
    manual.later.pop()()
    (_, reply) = manual.done
    assert reply.execution.status is COMPLETE


def test_failed_commit_is_not_retried_in_the_same_round(manual: ManualCommit) -> None:
    attempts: list[object] = []

    def fail(changes: object, **options: Any) -> None:
        attempts.append(changes)
        assert len(attempts) == 1
        raise CommitFailed("no room")

    manual.engine._file.write = fail  # type: ignore[method-assign]
    manual.submit("a", task={"x": "x" * 20_000})
    manual.end_round()
    assert [reply.code for reply in manual.done] == [ErrorCode.JOURNAL_UNAVAILABLE]
    assert manual.dispatcher.next_deadline == manual.time + 1.0
