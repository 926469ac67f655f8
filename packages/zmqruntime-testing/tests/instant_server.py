"""The real server with the standard tasks, done in its own loop: no worker process to wait for."""

from __future__ import annotations

from zmqruntime.execution import ExecuteRequest, RunnerEvent, RunnerHost, TaskRunner
from zmqruntime.messages import WorkerInfo, decode_request
from zmqruntime.testing import Script
from zmqruntime.testing.fake.script import ServerDies
from zmqruntime.testing.fake.scripted_worker import ScriptedWorker
from zmqruntime.testing.standard_tasks import StandardServer, standard_script

__all__ = ["InstantRunner", "InstantServer"]


class InstantRunner(TaskRunner):
    """Tells at once what becomes of a standard task; a `spin` ends when it is event to."""

    def open(self, host: RunnerHost) -> None:
        self._host = host
        self._worker = ScriptedWorker(host.max_message_bytes)

    def write(self, request: ExecuteRequest) -> Script:
        return standard_script(request)

    def start_worker(self) -> None:
        self._worker.start_worker()
        self._play()

    def assign(self, execution_id: str, request: bytes) -> None:
        decoded = decode_request(request)
        assert isinstance(decoded, ExecuteRequest)
        self._worker.assign(execution_id, self.write(decoded))
        self._play()

    def interrupt(self, execution_id: str) -> None:
        self._worker.interrupt(execution_id)
        self._play()

    def kill_worker(self) -> None:
        self._worker.kill_worker()
        self._play()

    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(pid=1, execution_id=execution_id),)

    def close(self) -> None: ...

    def _play(self) -> None:
        while (event := self._worker.advance()) is not None:
            assert not isinstance(event, ServerDies)
            self._post(event)

    def _post(self, event: RunnerEvent) -> None:
        self._host.loop.post(lambda: self._host.emit(event))


class InstantServer(StandardServer):
    """Has no worker process."""

    def make_runner(self) -> TaskRunner:
        return InstantRunner()
