"""The server that is measured: tasks that do as little as can be done."""

from __future__ import annotations

from typing import Any

from zmqruntime.execution import ExecutionContext, ExecutionServer
from zmqruntime.messages import ExecuteRequest, JsonValue

__all__ = ["BenchServer"]


class BenchServer(ExecutionServer):
    """Does nothing, spins, or reports progress as fast as it can."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Enough to read every result of the longest series after it has ended.
        super().__init__(*args, history_limit=10_000, **kwargs)

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        match request.task:
            case {"do": "nothing"}:
                return None
            case {"do": "report", "events": int(events)}:
                for n in range(1, events + 1):
                    context.report_progress(n, events, phase="report")
                return events
            case _:
                while True:
                    pass
