"""A simulated worker: runs scripts and emits the events of a task runner."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from zmqruntime.execution import (
    ProgressReported,
    RunnerEvent,
    RunnerHost,
    TaskRaised,
    TaskReturned,
    TaskRunner,
    TaskStopped,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.messages import ErrorKind, ExecutionErrorInfo, WorkerInfo
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

__all__ = ["ScriptState", "ScriptedWorker", "ScriptedWorkerRunner"]

_KILLED = -9
# Room in a snapshot for all fields other than the result.
_RESERVED_BYTES = 64 * 1024


class ScriptState(Enum):
    """The state of the current script; the values appear in error messages."""

    IDLE = "no execution is running"
    RUNNING = "a script is running"
    PAUSED = "a script is paused"
    ENDLESS = "the script has reached never_end()"


class ScriptedWorker:
    """Runs one script at a time; `advance` returns at most one event.

    Args:
        max_message_bytes: the limit of the server; a longer result fails (protocol, C-128).
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_result_bytes = max_message_bytes - _RESERVED_BYTES
        self.state = ScriptState.IDLE
        self._execution_id = ""
        self._steps: deque[Step] = deque()
        self._events: deque[RunnerEvent] = deque()

    def start_worker(self) -> None:
        """Start an idle worker."""
        self._events.append(WorkerReady())

    def assign(self, execution_id: str, script: Script) -> None:
        """Start a script."""
        self._execution_id = execution_id
        self._steps = deque(script.steps)
        self.state = ScriptState.RUNNING

    def interrupt(self, execution_id: str) -> None:
        """Interrupt the execution, if it is running and its script is not deaf."""
        if execution_id != self._execution_id or self.state is ScriptState.IDLE:
            return
        if any(isinstance(step, NeverEnd) and step.deaf for step in self._steps):
            return
        self._end()
        self._events.append(TaskStopped(execution_id))

    def kill_worker(self, exit_code: int = _KILLED) -> None:
        """Kill the worker, and its script with it."""
        self._end()
        self._events.append(WorkerExited(exit_code))

    def resume(self) -> None:
        """Continue after a pause."""
        if self.state is ScriptState.PAUSED:
            self.state = ScriptState.RUNNING

    def advance(self) -> RunnerEvent | ServerDies | None:
        """Run up to the next event and return it; None if there is no event yet."""
        while not self._events and self.state is ScriptState.RUNNING:
            step = self._steps[0]
            if isinstance(step, NeverEnd):
                self.state = ScriptState.ENDLESS
                return None
            self._steps.popleft()
            if isinstance(step, ServerDies):
                self._end()
                return step
            self._apply(step)
        return self._events.popleft() if self._events else None

    def _apply(self, step: Progress | Pause | Complete | Fail | WorkerDies) -> None:
        match step:
            case Progress():
                self._events.append(ProgressReported(self._execution_id, (step.body,)))
            case Pause():
                self.state = ScriptState.PAUSED
            case Complete():
                self._events.append(self._returned(step.result))
                self._end()
            case Fail():
                self._events.append(TaskRaised(self._execution_id, step.error))
                self._end()
            case WorkerDies():
                self.kill_worker(step.exit_code)

    def _returned(self, result: bytes) -> RunnerEvent:
        if len(result) <= self._max_result_bytes:
            return TaskReturned(self._execution_id, result)
        error = ExecutionErrorInfo(
            kind=ErrorKind.RESULT_TOO_LARGE,
            message=f"the result is too large: {len(result):,} bytes as JSON, the limit is "
            f"{self._max_result_bytes:,} bytes",
        )
        return TaskRaised(self._execution_id, error)

    def _end(self) -> None:
        self._steps.clear()
        self.state = ScriptState.IDLE


_Command = Callable[[Callable[[ScriptedWorker], None]], None]


class ScriptedWorkerRunner(TaskRunner):
    """Runner that forwards its commands to a `ScriptedWorker`.

    Args:
        command: applies a function to the worker, under the lock of its owner.
        script_of: returns the script of an execution.
    """

    def __init__(self, command: _Command, script_of: Callable[[str], Script]) -> None:
        self._command = command
        self._script_of = script_of

    def open(self, host: RunnerHost) -> None:
        """Do nothing: there is no resource to prepare."""

    def start_worker(self, slot: int = 0) -> None:
        """Start a worker."""
        self._command(lambda worker: worker.start_worker())

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        """Start the script of the execution."""
        script = self._script_of(execution_id)
        self._command(lambda worker: worker.assign(execution_id, script))

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        """Interrupt the execution, unless its script is deaf."""
        self._command(lambda worker: worker.interrupt(execution_id))

    def kill_worker(self, slot: int = 0) -> None:
        """Kill the worker."""
        self._command(lambda worker: worker.kill_worker())

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        """Return (): there is no worker process."""
        return ()

    def close(self) -> None:
        """Kill the worker."""
        self._command(lambda worker: worker.kill_worker())
