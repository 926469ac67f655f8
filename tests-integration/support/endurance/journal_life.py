"""Drives a journal by random events, and records what was acknowledged."""

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
    """The state of an execution at a moment."""

    status: ExecutionStatus
    attempt: int
    result: bytes | None
    work: bytes
    """The fingerprint of its request."""

    @classmethod
    def of(cls, execution: Execution) -> Seen:
        return cls(
            execution.status, execution.attempt, execution.result, execution.compute_fingerprint()
        )


class JournalLife:
    """Drives an engine as a scheduler does.

    Args:
        path: the journal.
        choices: of the events.
    """

    def __init__(self, path: Path, choices: Random) -> None:
        self.path = path
        self.choices = choices
        self.engine = JournalLifecycleEngine(path, 10_000)
        self.acknowledged: dict[str, Seen] = {}
        self.possible: dict[str, set[Seen]] = {}
        """The acknowledged state of each, and its later states that were not acknowledged."""
        self.assigned: dict[str, int] = {}
        """The attempt of each that was assigned to a worker."""
        self._time = 1.0
        self._uncommitted: str | None = None
        self.acknowledge()

    def live(self, steps: int) -> None:
        """Make so many random events."""
        weights = {
            self._submit: 6,
            self._start: 6,
            self._complete: 5,
            self._fail: 1,
            self._retry: 1,
            self._report: 1,
            self._cancel: 1,
            self.engine.catch_up: 1,
            self.commit: 8,
        }
        for step in self.choices.choices(list(weights), list(weights.values()), k=steps):
            step()
            self.acknowledge()

    def commit(self) -> bool:
        """Commit; after a failure roll back, and return False."""
        try:
            self.engine.commit()
        except CommitFailed:
            for execution in self.engine.rollback():
                self.possible.pop(execution.execution_id, None)
                self.assigned.pop(execution.execution_id, None)
            self._uncommitted = None
            return False
        if (
            self._uncommitted is not None
            and (waited := self.engine.get(self._uncommitted)) is not None
        ):
            self.assigned[self._uncommitted] = waited.attempt
        self._uncommitted = None
        self.acknowledge()
        return True

    def submit(self, name: str) -> None:
        """Submit an execution with the id ``name``."""
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
        """Copy to ``to`` the files that a kill would leave now."""
        to.mkdir()
        for file in self.path.parent.iterdir():
            shutil.copyfile(file, to / file.name)

    def find_loss(self, engine: JournalLifecycleEngine) -> str | None:
        """Return an acknowledged state that ``engine`` does not have; None: it has all."""
        for name, seen in self.acknowledged.items():
            execution = engine.get(name)
            if execution is None:
                return f"{name} is missing, and was acknowledged as {seen}"
            if (found := Seen.of(execution)) not in self.possible[name]:
                return f"{name} is {found}, and was acknowledged as {seen}"
        for name, attempt in self.assigned.items():
            execution = engine.get(name)
            if execution is None:
                continue  # It was not acknowledged.
            if execution.status is QUEUED and execution.attempt <= attempt:
                return f"{name} was assigned, and would be assigned again"
        return None

    # -- events ---------------------------------------------------------------------------------

    def _now(self) -> float:
        self._time += 1.0
        return self._time

    def acknowledge(self) -> None:
        """Record the states: as acknowledged, if they are committed."""
        states = {name: Seen.of(e) for name, e in self.engine._executions.items()}
        if not self.engine.uncommitted:
            self.acknowledged = states
            self.possible = {name: {seen} for name, seen in states.items()}
        else:
            for name, seen in states.items():
                self.possible.setdefault(name, set()).add(seen)

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
            self.assigned[name] = execution.attempt
        else:
            self._uncommitted = name

    def _running(self) -> Execution | None:
        running = self.engine.list_running()
        return running[0] if running and running[0].execution_id != self._uncommitted else None

    def _complete(self) -> None:
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
