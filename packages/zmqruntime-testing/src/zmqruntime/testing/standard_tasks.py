"""The standard tasks, which the checks and contracts ask of a server in any language.

``zmqruntime serve zmqruntime.testing.standard_tasks:StandardServer`` runs a server of them.

==================================  ============================================================
``{"do": "echo", "value": V}``      returns V
``{"do": "fail", "message": M}``    fails with M
``{"do": "spin"}``                  runs until it is cancelled
``{"do": "count", "events": N}``    reports progress N times, as n of N, and returns N
==================================  ============================================================

Any other task fails, and is told why.
"""

from __future__ import annotations

import threading

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import DecodeError, ErrorKind, JsonObject, JsonValue
from zmqruntime.testing.fake.script import Script

__all__ = ["StandardServer", "StandardTasks", "standard_script"]


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
        raise ValueError(_explain(request.task))


class StandardServer(StandardTasks, ExecutionServer):
    """A server with the standard tasks and nothing else."""


def standard_script(request: ExecuteRequest) -> Script:
    """Return what becomes of a standard task, for a fake: ``fake.always(standard_script)``."""
    match request.task:
        case {"do": "echo", "value": value}:
            try:
                return Script().complete(value)
            except DecodeError as error:  # What could be asked may be too deep to be told.
                return Script().fail(str(error), kind=ErrorKind.UNSERIALIZABLE_RESULT)
        case {"do": "fail", "message": str(message)}:
            return Script().fail(message)
        case {"do": "spin"}:
            return Script().never_end()
        case {"do": "count", "events": int(events)}:
            # Not one after another, each a new script: events may be many.
            reports = (Script().progress(n, events) for n in range(1, events + 1))
            return Script(tuple(r.steps[0] for r in reports)).complete(events)
    return Script().fail(_explain(request.task), type="ValueError")


def _explain(task: JsonObject) -> str:
    return (
        f'no standard task looks like {task}: say {{"do": "echo", "value": ...}}, '
        '{"do": "fail", "message": ...}, {"do": "spin"} or {"do": "count", "events": ...}'
    )
