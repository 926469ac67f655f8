"""Whatever happens between two deaths of a server: what was told is so in the next one.

A kill leaves all that was noted; a power cut leaves of the notes what was synced.
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
from journals import quick_engine

from zmqruntime.execution import CommitFailed, QueuePolicy
from zmqruntime.execution.journal import file as journal_file
from zmqruntime.execution.journal import redo_log
from zmqruntime.execution.journal.pending import UnwrittenChanges, _Told
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import HistoryLimits
from zmqruntime.execution.lifecycle.retry import make_attempt
from zmqruntime.messages import ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus
ROOM = 2**14
RESULTS = [b"1", b'{"a":"b c"}', b'"%b"' % (b"z" * 5000)]


class Lives:
    """An engine as a scheduler drives it, and what its clients and its worker were told."""

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
        self.made = 0
        self.works = True
        self.told: dict[str, tuple[ExecutionStatus, bytes | None, int]] = {}
        """By its own mark: how each is, as clients know."""
        self.ended: set[str] = set()
        """What has ended, told or not."""
        self.begun: dict[str, int] = {}
        """The attempt that a worker was handed."""
        self.refused: set[str] = set()
        self.waits_for_commit: Execution | None = None
        self.open()

    def open(self) -> None:
        room, redo_log._ROOM_BYTES = redo_log._ROOM_BYTES, ROOM  # type: ignore[misc]
        try:
            with pytest.MonkeyPatch.context() as patched:  # After a power cut, another boot.
                patched.setattr(journal_file, "boot_id", lambda boot=self.boots: str(boot))
                self.engine = quick_engine(
                    self.path, None, queue_policy=self.policy, limits=self.limits
                )
        finally:
            redo_log._ROOM_BYTES = room  # type: ignore[misc]
        self.synced = self.notes_path.read_bytes()
        write = self.engine._file.write

        def write_if_it_works(changes: Any, **options: Any) -> None:
            if not self.works:
                raise CommitFailed("no room")
            write(changes, **options)

        def sync() -> bool:
            if self.works:
                self.synced = self.notes_path.read_bytes()
            return self.works

        self.engine._file.write = write_if_it_works  # type: ignore[method-assign]
        vars(self.engine._file.notes)["sync"] = sync

    @property
    def notes_path(self) -> Path:
        return Path(f"{self.path}.started")

    @property
    def running(self) -> Execution | None:
        """What a worker has; not what waits to be handed to it."""
        running = self.engine.list_running()
        return running[0] if running and running[0] is not self.waits_for_commit else None

    def now(self) -> float:
        self.time += 1.0
        return self.time

    # -- what happens ---------------------------------------------------------------------------

    def step(self) -> None:
        """Let something happen, what is usual more often."""
        steps = {
            self.submit: 6,
            self.start: 6,
            self.returns: 5,
            self.fails: 1,
            self.is_tried_again: 1,
            self.tells_progress: 1,
            self.is_to_stop: 1,
            self.cancel_what_waits: 1,
            self.is_read: 2,
            self.engine.catch_up: 1,
            self.commit: 8,
        }
        (step,) = self.choices.choices(list(steps), list(steps.values()))
        step()
        self.hear()
        check_indices(self.engine._changes)

    def submit(self) -> None:
        name = self.choices.choice("abcdef")
        if self.engine.get(name) is not None or not self.engine.available:
            return
        self.made += 1
        asked = request(
            name,
            client_id=self.choices.choice("xy"),
            priority=self.choices.choice([0, 0, 3]),
            labels={"mark": str(self.made)},
        )
        self.engine.submit(asked, self.now())

    def start(self) -> None:
        execution = self.engine.peek()
        if execution is None or self.engine.list_running() or not self.engine.available:
            return
        self.engine.start(execution.execution_id, self.now())
        if self.engine.is_committed(execution.execution_id):
            self.begun[mark_of(execution)] = execution.attempt
        else:
            self.waits_for_commit = execution

    def returns(self) -> None:
        if self.running is not None:
            self.end(self.running, COMPLETE, self.choices.choice(RESULTS))

    def fails(self) -> None:
        if self.running is not None:
            self.end(self.running, self.choices.choice([FAILED, CANCELLED]))

    def is_tried_again(self) -> None:
        if self.running is not None:
            failed = make_attempt(self.running, error(), self.now())
            self.engine.requeue(self.running.execution_id, failed=failed)

    def tells_progress(self) -> None:
        if self.running is not None:
            self.engine.keep_progress(self.running.execution_id, [b'{"completed":1}'], self.now())

    def is_to_stop(self) -> None:
        if self.running is not None:
            self.engine.request_cancel(self.running.execution_id)

    def cancel_what_waits(self) -> None:
        if waiting := self.engine.list_queued(1).entries:
            self.end(waiting[0][1], CANCELLED)

    def is_read(self) -> None:
        ended = [e.execution_id for e in self.engine._executions.values() if is_ended(e)]
        if ended:
            self.engine.mark_read(self.choices.choice(ended))

    def end(
        self, execution: Execution, status: ExecutionStatus, result: bytes | None = None
    ) -> None:
        self.ended.add(mark_of(execution))
        self.engine.finish(execution.execution_id, status, self.now(), result=result)

    def commit(self) -> None:
        self.works = self.choices.random() < 0.9
        try:
            self.engine.commit()
        except CommitFailed:
            for execution in self.engine.rollback():
                self.refused.add(mark_of(execution))
                self.begun.pop(mark_of(execution), None)
            waited, self.waits_for_commit = self.waits_for_commit, None
            if waited is not None and self.engine.get(waited.execution_id) is waited:
                self.engine.requeue(waited.execution_id)
        else:
            waited, self.waits_for_commit = self.waits_for_commit, None
            if waited is not None:
                self.begun[mark_of(waited)] = waited.attempt

    def hear(self) -> None:
        """What is committed is told."""
        if not self.engine.uncommitted:
            kept = self.engine._executions.values()
            self.told = {mark_of(e): (e.status, e.result, e.attempt) for e in kept}
            for mark in self.ended:
                self.told.setdefault(mark, (CANCELLED, None, 0))  # It has left history.

    # -- deaths ---------------------------------------------------------------------------------

    def die(self) -> None:
        self.engine._file._database.close()
        self.engine._file._held_journal.release()
        self.engine._file.notes.close(forget=False)
        if self.choices.random() < 0.3:  # The power has gone.
            self.notes_path.write_bytes(self.synced)
            self.begun = {}
            self.boots += 1
        self.waits_for_commit = None
        self.works = True
        self.open()
        self.check()
        kept = {mark_of(e): e for e in self.engine._executions.values()}
        self.ended = {mark for mark in self.ended if mark not in kept or is_ended(kept[mark])}
        self.begun = {}
        self.told = {}
        for execution in self.engine.list_running():
            self.end(execution, FAILED)
        self.engine.commit()

    def check(self) -> None:
        kept = {mark_of(e): e for e in self.engine._executions.values()}
        assert len({e.ticket for e in kept.values()}) == len(kept)
        assert not self.refused & kept.keys()
        for mark, (status, result, attempt) in self.told.items():
            execution = kept.get(mark)
            if execution is None:
                assert mark in self.ended
            elif mark in self.ended and (status.is_terminal):
                assert is_ended(execution)
                assert attempt == 0 or (execution.status, execution.result) == (status, result)
            else:
                assert execution.attempt >= attempt
        for mark, attempt in self.begun.items():
            execution = kept.get(mark)
            if execution is None:
                assert mark in self.ended
            else:
                assert execution.status is not QUEUED or execution.attempt > attempt


def check_indices(changes: UnwrittenChanges) -> None:
    """What is asked for at each event is what can be read off each one."""
    told = {ticket: unwritten.told for ticket, unwritten in changes._unwritten.items()}
    assert changes._noted.keys() == {n for n in told if told[n] is _Told.NOTED}
    assert changes._untold == {n for n in told if told[n] in (_Told.SUBMITTED, _Told.CHANGED)}


def mark_of(execution: Execution) -> str:
    return execution.labels["mark"]


def is_ended(execution: Execution) -> bool:
    return execution.status.is_terminal


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_was_told_is_so_in_the_next_life(seed: int) -> None:
    choices = Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        lives = Lives(Path(directory, "journal"), choices)
        for _ in range(5):
            for _ in range(choices.randrange(1, 60)):
                lives.step()
            lives.die()
        lives.works = True
        lives.engine.close()
