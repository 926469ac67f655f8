"""A worker that does not exist: it plays scripts, and tells what a runner would tell."""

from __future__ import annotations

from collections import deque
from enum import Enum

from zmqruntime.execution import (
    ProgressReported,
    RunnerEvent,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.messages import ErrorKind, ExecutionErrorInfo
from zmqruntime.testing.fake.script import (
    Complete,
    Fail,
    NeverEnd,
    Pause,
    Progress,
    Script,
    ServerDies,
    Step,
    WorkerDies,
)

__all__ = ["Player", "Playing"]

_KILLED = -9
# What a snapshot has besides its result.
_RESERVED_BYTES = 64 * 1024


class Playing(Enum):
    """What a player is at, in words for whoever waits for it."""

    NOTHING = "no execution runs"
    ON = "a script goes on"
    PAUSED = "a script is paused"
    ENDLESS = "a script that never ends is at its last step"


class Player:
    """Plays one script at a time. Each call returns at most one thing to tell.

    Args:
        max_message_bytes: of the server; a longer result fails, as C-128 of the protocol says.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_result_bytes = max_message_bytes - _RESERVED_BYTES
        self.state = Playing.NOTHING
        self._execution_id = ""
        self._steps: deque[Step] = deque()
        self._told: deque[RunnerEvent] = deque()

    def start_worker(self) -> None:
        """Let there be a worker, with nothing to do."""
        self._told.append(WorkerReady())

    def assign(self, execution_id: str, script: Script) -> None:
        """Begin with a script."""
        self._execution_id = execution_id
        self._steps = deque(script.steps)
        self.state = Playing.ON

    def interrupt(self, execution_id: str) -> None:
        """Stop the execution, if it is at hand and not deaf."""
        if execution_id != self._execution_id or self.state is Playing.NOTHING:
            return
        if any(isinstance(step, NeverEnd) and step.deaf for step in self._steps):
            return
        self._end()
        self._told.append(TaskStopped(execution_id))

    def kill_worker(self, exit_code: int = _KILLED) -> None:
        """End the worker, with whatever it was at."""
        self._end()
        self._told.append(WorkerExited(exit_code))

    def resume(self) -> None:
        """Go on behind a pause."""
        if self.state is Playing.PAUSED:
            self.state = Playing.ON

    def advance(self) -> RunnerEvent | ServerDies | None:
        """Play up to the next thing there is to tell; None when there is none now."""
        while not self._told and self.state is Playing.ON:
            step = self._steps[0]
            if isinstance(step, NeverEnd):
                self.state = Playing.ENDLESS
                return None
            self._steps.popleft()
            if isinstance(step, ServerDies):
                self._end()
                return step
            self._play(step)
        return self._told.popleft() if self._told else None

    def _play(self, step: Progress | Pause | Complete | Fail | WorkerDies) -> None:
        match step:
            case Progress():
                self._told.append(ProgressReported(self._execution_id, (step.body,)))
            case Pause():
                self.state = Playing.PAUSED
            case Complete():
                self._told.append(self._returned(step.result))
                self._end()
            case Fail():
                self._told.append(TaskRaised(self._execution_id, step.error))
                self._end()
            case WorkerDies():
                self.kill_worker(step.exit_code)

    def _returned(self, result: bytes) -> RunnerEvent:
        if len(result) <= self._max_result_bytes:
            return TaskReturned(self._execution_id, result)
        error = ExecutionErrorInfo(
            kind=ErrorKind.RESULT_TOO_LARGE,
            message=f"the result is {len(result):,} bytes long as JSON and must not be longer than "
            f"{self._max_result_bytes:,}",
        )
        return TaskRaised(self._execution_id, error)

    def _end(self) -> None:
        self._steps.clear()
        self.state = Playing.NOTHING
