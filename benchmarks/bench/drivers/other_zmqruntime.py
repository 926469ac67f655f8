"""The published distribution named zmqruntime, which is another project, with a server of ours.

It brings no server that can be started, and none of its tasks returns a value: an application
derives from its classes. Results are passed as the names of their parts.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from importlib import import_module
from typing import Any

from bench.contender import Contender, Hear
from bench.drivers.owned import OwnedProcesses, wait_until
from bench.tasks import Task, run

__all__ = ["OtherZMQRuntime", "serve"]

# Not by import statements: where this repository is installed, they would be of its own packages.
_execution: Any = import_module("zmqruntime.execution")
_messages: Any = import_module("zmqruntime.messages")
_TCP: Any = import_module("zmqruntime.transport").TransportMode.TCP

_HOST = "127.0.0.1"
_PATIENCE = 60.0
_OFFSET = 1000


class _Server(_execution.ExecutionServer):  # type: ignore[misc] # it is not known here
    """Runs tasks in the one thread that it has for that."""

    def execute_task(self, execution_id: str, request: Any) -> Any:
        def report(number: int, total: int, sent: float | None) -> None:
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

        return {str(run(json.loads(request.pipeline_code), report)): None}


class _Client(_execution.ExecutionClient):  # type: ignore[misc] # as above
    def serialize_task(self, task: Task, config: object) -> Any:
        code = json.dumps(task)
        return _messages.ExecuteRequest(subject_id="bench", pipeline_code=code, config_params={})

    def _spawn_server_process(self) -> None:
        raise NotImplementedError

    def send_data(self, data: object) -> None:
        raise NotImplementedError


class OtherZMQRuntime(Contender):
    """As near to its documentation as an application has to be."""

    distributions = ("zmqruntime", "pyzmq")
    why_no_cancel = "tasks run in a thread of the server, which cannot be interrupted"
    why_no_fan_out = "each client would have to receive all events; not implemented here"

    def start(self) -> None:
        self._owned = OwnedProcesses(self.place)
        self._port = _free_port()
        program = f"from bench.drivers.other_zmqruntime import serve; serve({self._port})"
        self._owned.start([sys.executable, "-c", program])
        self._hear: Hear = lambda number, sent: None
        self._client = _Client(
            self._port, _HOST, transport_mode=_TCP, progress_callback=self._listen
        )
        wait_until(self._client.connect_existing, "the server answers")

    def stop(self) -> None:
        self._owned.end()
        self._client.disconnect()

    def processes(self) -> list[int]:
        return self._owned.pids

    def submit(self, task: Task) -> str:
        return str(self._client.submit_execution(task)["execution_id"])

    def result(self, ticket: str) -> object:
        reply = self._client.wait_for_completion(ticket)
        (value,) = reply["execution"]["results_summary"]["partition_values"]
        return json.loads(value)

    def stream(self, task: Task, hear: Hear) -> object:
        self._hear = hear
        return self.execute(task)

    def ping(self) -> object:
        return self._client.get_server_info_snapshot()

    def status(self, ticket: str) -> str:
        return str(self._client.poll_status(ticket)["execution"]["status"])

    def queued(self) -> int:
        return len(self._client.get_server_info_snapshot().queued_executions)

    def _listen(self, event: dict[str, Any]) -> None:
        self._hear(event["completed"], event["sent"])


def _free_port() -> int:
    """Return a port that is free, and free with the offset added."""
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
    """Be the server, in a process of its own."""
    import_module("zmqruntime.runner").serve_forever(_Server(port, _HOST, transport_mode=_TCP))
