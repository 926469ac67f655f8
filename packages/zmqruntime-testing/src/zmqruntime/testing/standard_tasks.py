"""The standard tasks: `echo`, `fail`, `spin` and `count`.

The conformance checks and the contracts require them of a server in any language.

``zmqruntime serve zmqruntime.testing.standard_tasks:StandardServer`` runs a server with them.

==================================  ============================================================
``{"do": "echo", "value": V}``      returns V
``{"do": "fail", "message": M}``    fails with M
``{"do": "spin"}``                  runs until it is cancelled
``{"do": "count", "events": N}``    reports progress N times, as n of N, and returns N
==================================  ============================================================

Any other task fails with a message that lists these.
"""

from __future__ import annotations

import threading

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import DecodeError, ErrorKind, JsonObject, JsonValue
from zmqruntime.testing.fake.script import Script

__all__ = ["StandardServer", "StandardTasks", "standard_script"]


class StandardTasks:
    """Mixin for an `ExecutionServer`: ``echo``, ``fail``, ``spin`` and ``count``.

    The field ``do`` of a task names one of them; the other fields are its arguments.
    """

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        """Run the standard task that ``do`` names."""
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
        raise ValueError(_unknown_task(request.task))


class StandardServer(StandardTasks, ExecutionServer):
    """A server that runs the standard tasks only."""


def standard_script(request: ExecuteRequest) -> Script:
    """Return the script of a standard task, for a fake: ``fake.always(standard_script)``."""
    match request.task:
        case {"do": "echo", "value": value}:
            try:
                return Script().complete(value)
            except DecodeError as error:  # Tasks may nest deeper than results.
                return Script().fail(str(error), kind=ErrorKind.UNSERIALIZABLE_RESULT)
        case {"do": "fail", "message": str(message)}:
            return Script().fail(message)
        case {"do": "spin"}:
            return Script().never_end()
        case {"do": "count", "events": int(events)}:
            # Chained progress() calls would copy the steps each time: quadratic in events.
            reports = (Script().progress(n, events) for n in range(1, events + 1))
            return Script(tuple(r.steps[0] for r in reports)).complete(events)
    return Script().fail(_unknown_task(request.task), type="ValueError")


def _unknown_task(task: JsonObject) -> str:
    return (
        f'unknown standard task {task}: use {{"do": "echo", "value": ...}}, '
        '{"do": "fail", "message": ...}, {"do": "spin"} or {"do": "count", "events": ...}'
    )
