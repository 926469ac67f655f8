"""The standard tasks, which the conformance suite asks of a server in any language."""

from __future__ import annotations

from zmqruntime.messages import DecodeError, ErrorKind, ExecuteRequest
from zmqruntime.testing.fake.script import Script

__all__ = ["standard_script"]


def standard_script(request: ExecuteRequest) -> Script:
    """Return what a standard task does.

    ``{"do": "echo", "value": V}`` completes with V, ``{"do": "fail", "message": M}`` fails with
    it, ``{"do": "spin"}`` runs until it is cancelled, and ``{"do": "count", "events": N}``
    reports progress N times and completes with N. Any other task fails, and is told why.
    """
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
            reports = (Script().progress(n, events, phase="count") for n in range(1, events + 1))
            return Script(tuple(r.steps[0] for r in reports)).complete(events)
        case task:
            return Script().fail(
                f'no standard task looks like {task}: say {{"do": "echo", "value": ...}}, '
                '{"do": "fail", "message": ...}, {"do": "spin"} or {"do": "count", "events": ...}',
                type="ValueError",
            )
