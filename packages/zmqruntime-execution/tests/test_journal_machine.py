"""State machine: what was acknowledged before a random death is so in the next server.

A kill leaves the whole redo log; a power cut leaves what was synced of it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from driving import error, request
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import abandon, quick_engine

from zmqruntime.execution import CommitFailed, QueuePolicy
from zmqruntime.execution.journal import journal_file, redo_log
from zmqruntime.execution.journal.pending_changes import Durability, PendingChanges
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import HistoryLimits
from zmqruntime.execution.lifecycle.retry import make_attempt
from zmqruntime.messages import ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus
ROOM = 2**14
RESULTS = [b"1", b'{"a":"b c"}', b'"%b"' % (b"z" * 5000)]


class Lives:
    """An engine, driven as by a scheduler, and a record of what was acknowledged."""

    def __init__(self, path: Path, choices: Random) -> None:
        self.path = path
        self.choices = choices
        limit = choices.choice([0, 1, 3, 1000])
        self.limits = HistoryLimits(
            history_limit=min(limit, choices.choice([1, 3])),
            unread_limit=max(1, limit),
            tombstone_limit=choices.choice([0, 2]),
        )
        self.policy = choices.choice(list(QueuePolicy))
        self.time = 1.0
        self.boots = 0
        self.submitted = 0
        self.works = True
        self.acknowledged: dict[str, tuple[ExecutionStatus, bytes | None, int]] = {}
        """The state of each execution that clients know, by its label."""
        self.ended: set[str] = set()
        """The executions that have ended, acknowledged or not."""
        self.assigned: dict[str, int] = {}
        """The attempt that was assigned to a worker."""
        self.refused: set[str] = set()
        self.waits_for_commit: Execution | None = None
        self.open()

    def open(self) -> None:
        room, redo_log._FILE_BYTES = redo_log._FILE_BYTES, ROOM  # type: ignore[misc]
        try:
            with pytest.MonkeyPatch.context() as patched:  # After a power cut, another boot.
                patched.setattr(journal_file, "boot_id", lambda boot=self.boots: str(boot))
                self.engine = quick_engine(
                    self.path, None, queue_policy=self.policy, limits=self.limits
                )
        finally:
            redo_log._FILE_BYTES = room  # type: ignore[misc]
        self.synced = self.redo_path.read_bytes()
        write = self.engine._file.write

        def write_if_it_works(changes: Any, **options: Any) -> None:
            if not self.works:
                raise CommitFailed("no room")
            write(changes, **options)

        def sync() -> bool:
            if self.works:
                self.synced = self.redo_path.read_bytes()
            return self.works

        self.engine._file.write = write_if_it_works  # type: ignore[method-assign]
        vars(self.engine._file.redo_log)["sync"] = sync

    @property
    def redo_path(self) -> Path:
        return Path(f"{self.path}.started")

    @property
    def running(self) -> Execution | None:
        """The execution that a worker has, not one that waits for a commit."""
        running = self.engine.list_running()
        return running[0] if running and running[0] is not self.waits_for_commit else None

    def now(self) -> float:
        self.time += 1.0
        return self.time

    # -- events ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Make a random event; usual ones are more frequent."""
        steps = {
            self.submit: 6,
            self.start: 6,
            self.complete: 5,
            self.fail: 1,
            self.retry: 1,
            self.report_progress: 1,
            self.cancel_running: 1,
            self.cancel_queued: 1,
            self.read_record: 2,
            self.engine.catch_up: 1,
            self.commit: 8,
        }
        (step,) = self.choices.choices(list(steps), list(steps.values()))
        step()
        self.acknowledge()
        check_indices(self.engine._changes)

    def submit(self) -> None:
        name = self.choices.choice("abcdef")
        if self.engine.get(name) is not None or not self.engine.available:
            return
        self.submitted += 1
        submitted = request(
            name,
            client_id=self.choices.choice("xy"),
            priority=self.choices.choice([0, 0, 3]),
            labels={"mark": str(self.submitted)},
        )
        self.engine.submit(submitted, self.now())

    def start(self) -> None:
        execution = self.engine.peek()
        if execution is None or self.engine.list_running() or not self.engine.available:
            return
        self.engine.start(execution.execution_id, self.now())
        if self.engine.is_committed(execution.execution_id):
            self.assigned[label_of(execution)] = execution.attempt
        else:
            self.waits_for_commit = execution

    def complete(self) -> None:
        if self.running is not None:
            self.end(self.running, COMPLETE, self.choices.choice(RESULTS))

    def fail(self) -> None:
        if self.running is not None:
            self.end(self.running, self.choices.choice([FAILED, CANCELLED]))

    def retry(self) -> None:
        if self.running is not None:
            failed = make_attempt(self.running, error(), self.now())
            self.engine.requeue(self.running.execution_id, failed=failed)

    def report_progress(self) -> None:
        if self.running is not None:
            self.engine.keep_progress(self.running.execution_id, [b'{"completed":1}'], self.now())

    def cancel_running(self) -> None:
        if self.running is not None:
            self.engine.request_cancel(self.running.execution_id)

    def cancel_queued(self) -> None:
        if queued := self.engine.list_queued(1).entries:
            self.end(queued[0][1], CANCELLED)

    def read_record(self) -> None:
        ended = [e.execution_id for e in self.engine._executions.values() if is_ended(e)]
        if ended:
            self.engine.mark_read(self.choices.choice(ended))

    def end(
        self, execution: Execution, status: ExecutionStatus, result: bytes | None = None
    ) -> None:
        self.ended.add(label_of(execution))
        self.engine.finish(execution.execution_id, status, self.now(), result=result)

    def commit(self) -> None:
        self.works = self.choices.random() < 0.9
        try:
            self.engine.commit()
        except CommitFailed:
            for execution in self.engine.rollback():
                self.refused.add(label_of(execution))
                self.assigned.pop(label_of(execution), None)
            waited, self.waits_for_commit = self.waits_for_commit, None
            if waited is not None and self.engine.get(waited.execution_id) is waited:
                self.engine.requeue(waited.execution_id)
        else:
            waited, self.waits_for_commit = self.waits_for_commit, None
            if waited is not None:
                self.assigned[label_of(waited)] = waited.attempt

    def acknowledge(self) -> None:
        """Acknowledge the states, if they are committed."""
        if not self.engine.uncommitted:
            kept = self.engine._executions.values()
            self.acknowledged = {label_of(e): (e.status, e.result, e.attempt) for e in kept}
            for mark in self.ended:
                self.acknowledged.setdefault(mark, (CANCELLED, None, 0))  # Evicted.

    # -- deaths ---------------------------------------------------------------------------------

    def die(self) -> None:
        abandon(self.engine)
        if self.choices.random() < 0.3:  # A power cut.
            self.redo_path.write_bytes(self.synced)
            self.assigned = {}
            self.boots += 1
        self.waits_for_commit = None
        self.works = True
        self.open()
        self.check()
        kept = {label_of(e): e for e in self.engine._executions.values()}
        self.ended = {mark for mark in self.ended if mark not in kept or is_ended(kept[mark])}
        self.assigned = {}
        self.acknowledged = {}
        for execution in self.engine.list_running():
            self.end(execution, FAILED)
        self.engine.commit()

    def check(self) -> None:
        kept = {label_of(e): e for e in self.engine._executions.values()}
        assert len({e.ticket for e in kept.values()}) == len(kept)
        assert not self.refused & kept.keys()
        for mark, (status, result, attempt) in self.acknowledged.items():
            execution = kept.get(mark)
            if execution is None:
                assert mark in self.ended
            elif mark in self.ended and (status.is_terminal):
                assert is_ended(execution)
                assert attempt == 0 or (execution.status, execution.result) == (status, result)
            else:
                assert execution.attempt >= attempt
        for mark, attempt in self.assigned.items():
            execution = kept.get(mark)
            if execution is None:
                assert mark in self.ended
            else:
                assert execution.status is not QUEUED or execution.attempt > attempt


def check_indices(changes: PendingChanges) -> None:
    """The indices of pending changes agree with the durability of each."""
    found = {ticket: pending.durability for ticket, pending in changes._pending.items()}
    unrecorded = (Durability.SUBMITTED, Durability.CHANGED)
    assert changes._unsynced.keys() == {n for n in found if found[n] is Durability.LOGGED}
    assert changes._unrecorded == {n for n in found if found[n] in unrecorded}


def label_of(execution: Execution) -> str:
    return execution.labels["mark"]


def is_ended(execution: Execution) -> bool:
    return execution.status.is_terminal


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_acknowledged_states_survive_random_deaths(seed: int) -> None:
    choices = Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        lives = Lives(Path(directory, "journal"), choices)
        for _ in range(5):
            for _ in range(choices.randrange(1, 60)):
                lives.step()
            lives.die()
        lives.works = True
        lives.engine.close()
