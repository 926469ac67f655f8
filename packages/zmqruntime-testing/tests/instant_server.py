"""The real server with the standard tasks, run in its own loop without a worker process."""

from __future__ import annotations

from zmqruntime.execution import ExecuteRequest, RunnerEvent, RunnerHost, TaskRunner
from zmqruntime.messages import WorkerInfo, decode_request
from zmqruntime.testing import Script
from zmqruntime.testing.fake.script import ServerDies
from zmqruntime.testing.fake.scripted_worker import ScriptedWorker
from zmqruntime.testing.standard_tasks import StandardServer, standard_script

__all__ = ["InstantRunner", "InstantServer"]


class InstantRunner(TaskRunner):
    """Runs standard tasks immediately; a `spin` ends when it is interrupted."""

    def open(self, host: RunnerHost) -> None:
        self._host = host
        self._worker = ScriptedWorker(host.max_message_bytes)

    def write(self, request: ExecuteRequest) -> Script:
        return standard_script(request)

    def start_worker(self, slot: int = 0) -> None:
        self._worker.start_worker()
        self._emit_events()

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        decoded = decode_request(request)
        assert isinstance(decoded, ExecuteRequest)
        self._worker.assign(execution_id, self.write(decoded))
        self._emit_events()

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        self._worker.interrupt(execution_id)
        self._emit_events()

    def kill_worker(self, slot: int = 0) -> None:
        self._worker.kill_worker()
        self._emit_events()

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(pid=1, execution_id=execution_id),)

    def close(self) -> None: ...

    def _emit_events(self) -> None:
        while (event := self._worker.advance()) is not None:
            assert not isinstance(event, ServerDies)
            self._post(event)

    def _post(self, event: RunnerEvent) -> None:
        self._host.loop.post(lambda: self._host.emit(event))


class InstantServer(StandardServer):
    """A `StandardServer` without a worker process."""

    def make_runner(self) -> TaskRunner:
        return InstantRunner()
