"""The real server with the standard tasks, done in its own loop: no worker process to wait for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

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
from zmqruntime.messages import DecodeError, ErrorKind, ExecutionErrorInfo, WorkerInfo, encode_json
from zmqruntime.testing.conformance import StandardServer

__all__ = ["InstantRunner", "InstantServer"]


class InstantRunner(TaskRunner):
    """Tells at once what becomes of a standard task; a `spin` ends when it is told to."""

    def open(self, host: RunnerHost) -> None:
        self._host = host

    def start_worker(self) -> None:
        self._tell(WorkerReady())

    def assign(self, execution_id: str, request: bytes) -> None:
        for event in self._do(execution_id, json.loads(request)["task"]):
            self._tell(event)

    def interrupt(self, execution_id: str) -> None:
        self._tell(TaskStopped(execution_id))

    def kill_worker(self) -> None:
        self._tell(WorkerExited(None))

    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(pid=1, execution_id=execution_id),)

    def close(self) -> None: ...

    def _tell(self, event: RunnerEvent) -> None:
        self._host.loop.post(lambda: self._host.emit(event))

    def _do(self, execution_id: str, task: dict[str, Any]) -> Iterator[RunnerEvent]:
        match task:
            case {"do": "echo", "value": value}:
                yield self._return(execution_id, value)
            case {"do": "fail", "message": message}:
                yield self._raised(execution_id, ErrorKind.EXCEPTION, message)
            case {"do": "count", "events": events}:
                for n in range(1, events + 1):
                    report = {"phase": None, "completed": n, "total": events}
                    report |= {"percent": 100 * n / events, "message": None}
                    yield ProgressReported(execution_id, json.dumps(report).encode())
                yield TaskReturned(execution_id, str(events).encode())

            case {"do": "spin"}:
                return
            case _:
                yield self._raised(execution_id, ErrorKind.EXCEPTION, "no standard task")

    def _return(self, execution_id: str, value: Any) -> RunnerEvent:
        try:
            result = encode_json(value)
        except DecodeError as error:
            return self._raised(execution_id, ErrorKind.UNSERIALIZABLE_RESULT, str(error))
        if len(result) > self._host.max_message_bytes - 64 * 1024:
            return self._raised(execution_id, ErrorKind.RESULT_TOO_LARGE, "it is too large")
        return TaskReturned(execution_id, result)

    def _raised(self, execution_id: str, kind: ErrorKind, message: str) -> RunnerEvent:
        return TaskRaised(execution_id, ExecutionErrorInfo(kind=kind, message=message))


class InstantServer(StandardServer):
    """Has no worker process."""

    def make_runner(self) -> TaskRunner:
        return InstantRunner()
