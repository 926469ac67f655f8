"""The published distribution named zmqruntime, which is another project.

An application derives its server and client from the classes of that project. Tasks return no
values, so results are transferred as names of partitions.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from importlib import import_module
from typing import Any

from bench.contender import Contender, OnReport
from bench.drivers.process_group import ProcessGroup, wait_until
from bench.tasks import Task, run

__all__ = ["OtherZMQRuntime", "serve"]

# By name, since a type checker would resolve imports to the packages of this repository.
_execution: Any = import_module("zmqruntime.execution")
_messages: Any = import_module("zmqruntime.messages")
_TCP: Any = import_module("zmqruntime.transport").TransportMode.TCP

_HOST = "127.0.0.1"
_PATIENCE = 60.0
_OFFSET = 1000


class _Server(_execution.ExecutionServer):  # type: ignore[misc] # of type Any
    """Runs tasks in its single task thread."""

    def execute_task(self, execution_id: str, request: Any) -> Any:
        def send_report(number: int, total: int, sent: float | None) -> None:
            self.send_progress_update(
                {
                    "execution_id": execution_id,
                    "phase": "report",
                    "status": "running",
                    "percent": 100 * number / total,
                    "timestamp": time.time(),
                    "completed": number,
                    "total": total,
                    "sent": sent,
                }
            )

        return {str(run(json.loads(request.pipeline_code), send_report)): None}


class _Client(_execution.ExecutionClient):  # type: ignore[misc] # as above
    def serialize_task(self, task: Task, config: object) -> Any:
        code = json.dumps(task)
        return _messages.ExecuteRequest(subject_id="bench", pipeline_code=code, config_params={})

    def _spawn_server_process(self) -> None:
        raise NotImplementedError

    def send_data(self, data: object) -> None:
        raise NotImplementedError


class OtherZMQRuntime(Contender):
    """An application that follows the documentation of that project."""

    distributions = ("zmqruntime", "pyzmq")
    why_no_cancel = "a task runs in a thread of its server, which cannot be stopped"
    why_no_fan_out = "not driven: each client would receive and record all events"

    def start(self) -> None:
        self._group = ProcessGroup(self.place)
        self._port = _free_port()
        program = f"from bench.drivers.other_zmqruntime import serve; serve({self._port})"
        self._group.start([sys.executable, "-c", program])
        self._on_report: OnReport = lambda number, sent: None
        self._client = _Client(
            self._port, _HOST, transport_mode=_TCP, progress_callback=self._listen
        )
        wait_until(self._client.connect_existing, "the server answers")

    def stop(self) -> None:
        self._group.end()
        self._client.disconnect()

    def processes(self) -> list[int]:
        return self._group.pids

    def submit(self, task: Task) -> str:
        return str(self._client.submit_execution(task)["execution_id"])

    def result(self, ticket: str) -> object:
        output = self._client.wait_for_completion(ticket)
        (value,) = output["execution"]["results_summary"]["partition_values"]
        return json.loads(value)

    def stream(self, task: Task, on_report: OnReport) -> object:
        self._on_report = on_report
        return self.execute(task)

    def ping(self) -> object:
        return self._client.get_server_info_snapshot()

    def status(self, ticket: str) -> str:
        return str(self._client.poll_status(ticket)["execution"]["status"])

    def queued(self) -> int:
        return len(self._client.get_server_info_snapshot().queued_executions)

    def _listen(self, event: dict[str, Any]) -> None:
        self._on_report(event["completed"], event["sent"])


def _free_port() -> int:
    """Return a port that is free, as is its control port."""
    while True:
        with socket.socket() as data, socket.socket() as control:
            data.bind((_HOST, 0))
            port = int(data.getsockname()[1])
            try:
                control.bind((_HOST, port + _OFFSET))
            except (OSError, OverflowError):
                continue
            return port


def serve(port: int) -> None:
    """Run the server."""
    import_module("zmqruntime.runner").serve_forever(_Server(port, _HOST, transport_mode=_TCP))
