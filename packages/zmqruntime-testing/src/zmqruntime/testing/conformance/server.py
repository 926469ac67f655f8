"""The tasks that the checks need of a server, in Python.

``zmqruntime serve zmqruntime.testing.conformance.server:StandardServer`` runs a server of them.
"""

from __future__ import annotations

import threading

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import JsonValue

__all__ = ["StandardServer", "StandardTasks"]


class StandardTasks:
    """``echo``, ``fail``, ``spin`` and ``count``, to be mixed into an `ExecutionServer`.

    A task is an object with the name of one of them as ``do``, and its arguments as the other
    fields; any other task fails.
    """

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        """Do what the task's ``do`` names."""
        match request.task:
            case {"do": "echo", "value": value}:
                return value
            case {"do": "fail", "message": str(message)}:
                raise RuntimeError(message)
            case {"do": "spin"}:
                while True:
                    threading.Event().wait(3600.0)
            case {"do": "count", "events": int(events)}:
                for n in range(1, events + 1):
                    context.report_progress(n, events)
                return events
        raise ValueError(f"no standard task: {request.task}")


class StandardServer(StandardTasks, ExecutionServer):
    """A server with the standard tasks and nothing else."""
