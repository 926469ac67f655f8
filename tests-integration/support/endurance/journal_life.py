"""A journal with a random life: what was acknowledged, and what a kill leaves of its files."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import NamedTuple

from zmqruntime.execution import CommitFailed, Execution, JournalLifecycleEngine
from zmqruntime.execution.lifecycle.retry import make_attempt
from zmqruntime.messages import (
    ErrorKind,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionStatus,
    JsonValue,
)

__all__ = ["JournalLife", "Seen"]

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

_ERROR = ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="it cracked")
_SIZES = [0, 10, 400, 3000, 9000]


class Seen(NamedTuple):
    """How an execution was at a moment."""

    status: ExecutionStatus
    attempt: int
    result: bytes | None
    work: bytes
    """Its fingerprint."""

    @classmethod
    def of(cls, execution: Execution) -> Seen:
        return cls(
            execution.status, execution.attempt, execution.result, execution.compute_fingerprint()
        )


class JournalLife:
    """Drives an engine as a scheduler does, and knows what its clients were told.

    Args:
        path: the journal.
        choices: decides what happens.
    """

    def __init__(self, path: Path, choices: Random) -> None:
        self.path = path
        self.choices = choices
        self.engine = JournalLifecycleEngine(path, 10_000)
        self.acknowledged: dict[str, Seen] = {}
        self.since: dict[str, set[Seen]] = {}
        """How each may be by now, though nobody was told."""
        self.begun: dict[str, int] = {}
        """The attempt of each that a worker was given."""
        self._time = 1.0
        self._waits: str | None = None
        self._hear()

    def live(self, steps: int) -> None:
        """Let things happen."""
        weights = {
            self._submit: 6,
            self._start: 6,
            self._return: 5,
            self._fail: 1,
            self._retry: 1,
            self._report: 1,
            self._cancel: 1,
            self.engine.catch_up: 1,
            self.commit: 8,
        }
        for step in self.choices.choices(list(weights), list(weights.values()), k=steps):
            step()
            self._hear()

    def commit(self) -> bool:
        """Commit; return whether it worked. What cannot be is refused."""
        try:
            self.engine.commit()
        except CommitFailed:
            for execution in self.engine.rollback():
                self.since.pop(execution.execution_id, None)
                self.begun.pop(execution.execution_id, None)
            self._waits = None
            return False
        if self._waits is not None and (waited := self.engine.get(self._waits)) is not None:
            self.begun[self._waits] = waited.attempt
        self._waits = None
        self._hear()
        return True

    def submit(self, name: str) -> None:
        """Submit one more."""
        task: dict[str, JsonValue] = {
            "t": "x" * self.choices.choice(_SIZES),
            "n": self.choices.randrange(10**9),
        }
        priority, client_id = self.choices.choice([0, 0, 3]), self.choices.choice("xy")
        request = ExecuteRequest(
            execution_id=name, client_id=client_id, task=task, priority=priority
        )
        self.engine.submit(request, self._now())

    def copy(self, to: Path) -> None:
        """Leave in ``to`` what a kill would leave now."""
        to.mkdir()
        for file in self.path.parent.iterdir():
            shutil.copyfile(file, to / file.name)

    def find_loss(self, engine: JournalLifecycleEngine) -> str | None:
        """Return what another engine does not have as it was acknowledged."""
        for name, seen in self.acknowledged.items():
            execution = engine.get(name)
            if execution is None:
                return f"{name} is gone, and was {seen}"
            if (found := Seen.of(execution)) not in self.since[name]:
                return f"{name} is {found}, and was {seen}"
        for name, attempt in self.begun.items():
            execution = engine.get(name)
            if execution is None:
                continue  # It was never acknowledged, or that was found above.
            if execution.status is QUEUED and execution.attempt <= attempt:
                return f"{name} had begun, and begins again"
        return None

    # -- what happens ---------------------------------------------------------------------------

    def _now(self) -> float:
        self._time += 1.0
        return self._time

    def _hear(self) -> None:
        states = {name: Seen.of(e) for name, e in self.engine._executions.items()}
        if not self.engine.uncommitted:
            self.acknowledged = states
            self.since = {name: {seen} for name, seen in states.items()}
        else:
            for name, seen in states.items():
                self.since.setdefault(name, set()).add(seen)

    def _submit(self) -> None:
        name = f"e{self.choices.randrange(60)}"
        if self.engine.get(name) is None:
            self.submit(name)

    def _start(self) -> None:
        execution = self.engine.peek()
        if execution is None or self.engine.list_running():
            return
        name = execution.execution_id
        self.engine.start(name, self._now())
        if self.engine.is_committed(name):
            self.begun[name] = execution.attempt
        else:
            self._waits = name

    def _running(self) -> Execution | None:
        running = self.engine.list_running()
        return running[0] if running and running[0].execution_id != self._waits else None

    def _return(self) -> None:
        if (execution := self._running()) is not None:
            result = b'"%b"' % (b"r" * self.choices.choice(_SIZES))
            self.engine.finish(execution.execution_id, COMPLETE, self._now(), result=result)

    def _fail(self) -> None:
        if (execution := self._running()) is not None:
            self.engine.finish(execution.execution_id, FAILED, self._now(), error=_ERROR)

    def _retry(self) -> None:
        if (execution := self._running()) is not None:
            failed = make_attempt(execution, _ERROR, self._now())
            self.engine.requeue(execution.execution_id, failed=failed)

    def _report(self) -> None:
        if (execution := self._running()) is not None:
            self.engine.keep_progress(execution.execution_id, [b'{"completed":1}'], self._now())

    def _cancel(self) -> None:
        if waiting := self.engine.list_queued(1).entries:
            self.engine.finish(waiting[0][1].execution_id, CANCELLED, self._now())
