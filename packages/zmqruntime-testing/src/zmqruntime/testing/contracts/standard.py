"""A real server of the standard tasks, for those whose runner or launcher needs one."""

from __future__ import annotations

import threading
from typing import Any

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import JsonValue

__all__ = ["StandardServer"]


class StandardServer(ExecutionServer):
    """Runs what a task's ``do`` says: ``echo``, ``fail``, ``spin`` or ``count``."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        """Do one of the standard tasks; see `standard_script` for what each is."""
        task: dict[str, Any] = dict(request.task)
        match task:
            case {"do": "echo", "value": value}:
                result: JsonValue = value
                return result
            case {"do": "fail", "message": str(message)}:
                raise RuntimeError(message)
            case {"do": "spin"}:
                context.report_progress(phase="spin")
                while True:
                    threading.Event().wait(3600.0)
            case {"do": "count", "events": int(events)}:
                for n in range(1, events + 1):
                    context.report_progress(n, events, phase="count")
                return events
        raise ValueError(f"no standard task looks like {task}")
