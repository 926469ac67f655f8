"""The project's server, in a module that does not import the client."""

from __future__ import annotations

from bench.tasks import Report, run
from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import JsonObject, JsonValue

__all__ = ["BenchServer"]

_KEPT = 200_000


class BenchServer(ExecutionServer):
    """Runs the tasks, and keeps all their records."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, history_limit=_KEPT, **kwargs)  # type: ignore[arg-type]

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        return run(request.task, _reporter(context))  # type: ignore[return-value]


def _reporter(context: ExecutionContext) -> Report:
    def send_report(number: int, total: int, sent: float | None) -> None:
        data: JsonObject | None = None if sent is None else {"sent": sent}
        context.report_progress(number, total, phase="report", data=data)

    return send_report
