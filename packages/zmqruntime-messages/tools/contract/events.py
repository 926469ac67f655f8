"""Vectors of events."""

from __future__ import annotations

from contract.vectors import Json, Subject, Wrong

__all__ = ["ERROR", "EVENTS", "FULL_ERROR", "FULL_PROGRESS", "FULL_STATE", "UNKNOWN_ERROR"]

_EVENT: Json = {"execution_id": "stitch-0001", "sequence": 3, "timestamp": 1760000001.25}
_NEEDED = ("execution_id", "sequence", "timestamp")

ERROR: Json = {
    "kind": "timeout",
    "message": "It ran longer than its 600 s.",
    "type": None,
    "traceback": None,
    "exit_code": None,
    "signal": None,
    "result_repr": None,
}
FULL_ERROR: Json = {
    "kind": "exception",
    "message": "no such tile: 7",
    "type": "KeyError",
    "traceback": "Traceback (most recent call last):\n  ...\nKeyError: 7\n",
    "exit_code": -11,
    "signal": "SIGSEGV",
    "result_repr": "{7: <Tile>}",
}
UNKNOWN_ERROR: Json = {**ERROR, "kind": "a_kind_of_a_newer_server"}

_PROGRESS: Json = {
    "type": "progress",
    **_EVENT,
    "phase": None,
    "completed": None,
    "total": None,
    "percent": None,
    "message": None,
}
FULL_PROGRESS: Json = {
    "type": "progress",
    **_EVENT,
    "phase": "stitch",
    "completed": 3,
    "total": 4,
    "percent": 75.0,
    "message": "tile 3, größer",
    "data": {"seen": [1, {"a": None}]},
}

_WRONG_EVENTS = (
    Wrong("sequence 0", {"sequence": 0}, "sequence"),
    Wrong("a sequence with a fraction", {"sequence": 1.5}, "sequence"),
    Wrong("a sequence as text", {"sequence": "3"}, "sequence"),
    Wrong("a time before 1970", {"timestamp": -1}, "timestamp"),
    Wrong("a time as text", {"timestamp": "now"}, "timestamp"),
    Wrong("an execution_id with a slash", {"execution_id": "a/b"}, "execution_id"),
)

_PROGRESS_EVENT = Subject(
    "event",
    minimal=_PROGRESS,
    defaults={"data": None},
    full=FULL_PROGRESS,
    needed=_NEEDED,
    also=(
        ("counts with fractions", {"completed": 0.5, "total": 2.5, "percent": 20}, {}),
        ("more than was to be done", {"completed": 5, "percent": 100.0}, {}),
        ("null as data", {"data": None}, {}),
    ),
    wrong=(
        *_WRONG_EVENTS,
        Wrong("a count as text", {"completed": "3"}, "completed"),
        Wrong("true as count", {"total": True}, "total"),
        Wrong("a percentage as text", {"percent": "75 %"}, "percent"),
        Wrong("a number as phase", {"phase": 1}, "phase"),
        Wrong("a list as data", {"data": []}, "data"),
    ),
)

_STATE: Json = {
    "type": "state",
    **_EVENT,
    "status": "queued",
    "submitted_at": 1760000000.5,
    "started_at": None,
    "finished_at": None,
    "error": None,
}
FULL_STATE: Json = {
    **_STATE,
    "status": "failed",
    "started_at": 1760000000.75,
    "finished_at": 1760000001.25,
    "error": FULL_ERROR,
}

_STATE_EVENT = Subject(
    "event",
    minimal=_STATE,
    defaults={},
    full=FULL_STATE,
    needed=(*_NEEDED, "status", "submitted_at"),
    also=(
        ("running", {"status": "running", "finished_at": None, "error": None}, {}),
        ("complete", {"status": "complete", "error": None}, {}),
        ("cancelled", {"status": "cancelled", "error": None}, {}),
        ("an error of few words", {"error": ERROR}, {}),
        (
            "a kind of error of a newer server",
            {"error": UNKNOWN_ERROR},
            {"error": {**UNKNOWN_ERROR, "kind": "exception"}},
        ),
        (
            "a field of a newer server, inside",
            {"error": {**ERROR, "from_the_future": 1}},
            {"error": ERROR},
        ),
    ),
    wrong=(
        *_WRONG_EVENTS,
        Wrong("an unknown status", {"status": "paused"}, "status"),
        Wrong("null as status", {"status": None}, "status"),
        Wrong("null as submitted_at", {"submitted_at": None}, "submitted_at"),
        Wrong("text as started_at", {"started_at": "now"}, "started_at"),
        Wrong("text as error", {"error": "broken"}, "error"),
        Wrong("an error without a message", {"error": {"kind": "timeout"}}, "error.message"),
    ),
)

EVENTS = (_PROGRESS_EVENT, _STATE_EVENT)
