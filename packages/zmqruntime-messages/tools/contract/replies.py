"""Vectors of replies."""

from __future__ import annotations

from contract.events import ERROR, FULL_ERROR, FULL_PROGRESS, FULL_STATE, UNKNOWN_ERROR
from contract.vectors import Json, Subject, Wrong

__all__ = ["REPLIES"]


def _head(word: str, status: str = "ok", request_id: str | None = None) -> Json:
    return {"type": word, "status": status, "protocol": 1, "request_id": request_id}


_RECORD: Json = {
    "execution_id": "stitch-0001",
    "client_id": "lab-1",
    "status": "queued",
    "labels": {},
    "attempt": 1,
    "submitted_at": 1760000000.5,
    "started_at": None,
    "finished_at": None,
    "queue_position": 1,
    "progress": None,
    "result": None,
    "error": None,
    "attempts": [],
    "retry_at": None,
    "log_file_path": None,
    "result_dropped": False,
}
_ATTEMPT: Json = {
    "attempt": 1,
    "started_at": 1760000000.75,
    "finished_at": 1760000001.5,
    "error": FULL_ERROR,
}
_ENDED: Json = {
    **_RECORD,
    "status": "complete",
    "labels": {"user": "Zoë"},
    "attempt": 2,
    "started_at": 1760000000.75,
    "finished_at": 1760000009.25,
    "queue_position": None,
    "progress": FULL_PROGRESS,
    "result": {"stitched": 4, "rest": [None, "größe", 0.5]},
    "attempts": [_ATTEMPT],
    "log_file_path": "stitch-0001.log",
}
_RUNNING: Json = {
    "execution_id": "stitch-0001",
    "client_id": "lab-1",
    "submitted_at": 1760000000.5,
    "started_at": 1760000000.75,
    "attempt": 1,
    "cancel_requested": True,
    "labels": {"user": "Zoë"},
    "progress": FULL_PROGRESS,
}
_QUEUED: Json = {
    "execution_id": "stitch-0002",
    "client_id": "lab-2",
    "queue_position": 1,
    "submitted_at": 1760000001.5,
    "labels": {"user": "Zoë"},
}
_WORKER: Json = {
    "pid": 4243,
    "cpu_percent": 98.5,
    "memory_bytes": 104857600,
    "execution_id": "stitch-0001",
}
_PROCESS: Json = {"pid": 4242, "create_time": 1759999990.5}

_PONG: Json = {
    **_head("pong"),
    "ready": False,
    "server": "Stitcher",
    "version": "0.1.0",
    "port": 7777,
    "control_port": 8777,
    "process": _PROCESS,
    "started_at": 1759999991.5,
    "uptime_seconds": 8.25,
    "running_executions": [],
    "queued_executions": [],
    "running_count": 0,
    "queued_count": 0,
    "workers": [],
    "worker_error": None,
    "progress_subscribers": [],
    "progress_subscriber_count": 0,
    "max_message_bytes": 67108864,
    "durable": False,
    "log_file_path": None,
    "details": {},
    "application": None,
}
_PONG_REPLY = Subject(
    "reply",
    minimal=_PONG,
    defaults={},
    full={
        **_PONG,
        "request_id": "r-1",
        "ready": True,
        "running_executions": [_RUNNING],
        "queued_executions": [_QUEUED],
        "running_count": 1,
        "queued_count": 7,
        "workers": [_WORKER],
        "worker_error": "the worker did not get ready: it ended with exit code 1",
        "progress_subscribers": ["lab-1", "lab-2"],
        "progress_subscriber_count": 2,
        "durable": True,
        "log_file_path": "stitcher.log",
        "details": {"stage": {"x": 1.5, "y": None}},
        "application": {
            "class_path": "lab.stitching:Stitcher",
            "version": "2.1",
            "code_digest": "0f343b0931126a20f133d67c2b018a3b",
            "arguments_digest": None,
            "origin_digest": "9c1185a5c5e9fc54612808977ee8f548",
        },
    },
    needed=(
        *("ready", "server", "version", "port", "control_port", "process", "started_at"),
        *("uptime_seconds", "max_message_bytes"),
    ),
    also=(
        (
            "a worker of which little is known",
            {
                "workers": [
                    {"pid": 1, "cpu_percent": None, "memory_bytes": None, "execution_id": None}
                ]
            },
            {},
        ),
        (
            "a running execution without progress",
            {"running_executions": [{**_RUNNING, "progress": None, "cancel_requested": False}]},
            {},
        ),
        (
            "a field of a newer server, inside",
            {"process": {**_PROCESS, "from_the_future": 1}},
            {"process": _PROCESS},
        ),
    ),
    wrong=(
        Wrong("1 as ready", {"ready": 1}, "ready"),
        Wrong("text as ready", {"ready": "yes"}, "ready"),
        Wrong("a port as text", {"port": "7777"}, "port"),
        Wrong("pid 0", {"process": {**_PROCESS, "pid": 0}}, "process.pid"),
        Wrong("a process without its time", {"process": {"pid": 1}}, "process.create_time"),
        Wrong("true as time", {"started_at": True}, "started_at"),
        Wrong("a time before 1970", {"started_at": -1}, "started_at"),
        Wrong("text as workers", {"workers": "none"}, "workers"),
        Wrong(
            "a wrong pid in a list",
            {"workers": [_WORKER, {**_WORKER, "pid": "1"}]},
            "workers[1].pid",
        ),
        Wrong(
            "a subscriber with a slash",
            {"progress_subscribers": ["a", "b/"]},
            "progress_subscribers[1]",
        ),
        Wrong("null as details", {"details": None}, "details"),
        Wrong("text as durable", {"durable": "yes"}, "durable"),
        Wrong("the status of an error", {"status": "error"}, "status"),
    ),
)

_ACCEPTED_REPLY = Subject(
    "reply",
    minimal={
        **_head("accepted", "accepted"),
        "execution_id": "stitch-0001",
        "queue_position": None,
        "duplicate": True,
    },
    defaults={"execution": None},
    full={
        **_head("accepted", "accepted", "r-1"),
        "execution_id": "stitch-0001",
        "queue_position": 1,
        "duplicate": False,
        "execution": _RECORD,
    },
    needed=("execution_id",),
    also=(
        ("at once", {"execution": None}, {}),
        ("held until the end", {"queue_position": None, "execution": _ENDED}, {}),
    ),
    wrong=(
        Wrong("queue position 0", {"queue_position": 0}, "queue_position"),
        Wrong("a position as text", {"queue_position": "1"}, "queue_position"),
        Wrong("text as duplicate", {"duplicate": "no"}, "duplicate"),
        Wrong("an execution_id with a slash", {"execution_id": "a/b"}, "execution_id"),
        Wrong("the status of another reply", {"status": "ok"}, "status"),
    ),
)

_SNAPSHOT: Json = {**_head("snapshot"), "execution": None}
_DROPPED: Json = {
    **_ENDED,
    **{"labels": {}, "progress": None, "result": None, "attempts": [], "log_file_path": None},
    "result_dropped": True,
}
_FAILED: Json = {**_ENDED, "status": "failed", "result": None}
_SNAPSHOT_REPLY = Subject(
    "reply",
    minimal=_SNAPSHOT,
    defaults={
        "running_executions": [],
        "queued_executions": [],
        "counts": {},
        "cursor": None,
        "also": [],
    },
    full={
        **_SNAPSHOT,
        "request_id": "r-1",
        "execution": _ENDED,
        "running_executions": [_RUNNING],
        "queued_executions": [_QUEUED],
        "counts": {"queued": 1, "running": 1, "complete": 5, "failed": 0, "cancelled": 2},
        "cursor": "ask for the next page with this",
        "also": [_ENDED],
    },
    also=(
        ("a queued execution", {"execution": _RECORD}, {}),
        (
            "one that waits to be tried again",
            {
                "execution": {
                    **_RECORD,
                    "attempt": 2,
                    "attempts": [_ATTEMPT],
                    "retry_at": 1760000010.5,
                }
            },
            {},
        ),
        ("a result that was dropped", {"execution": _DROPPED}, {}),
        ("a result that is null", {"execution": {**_ENDED, "result": None}}, {}),
        ("a result that is false", {"execution": {**_ENDED, "result": False}}, {}),
        ("a result that is a list", {"execution": {**_ENDED, "result": [[], 1e300]}}, {}),
        ("a failed execution", {"execution": {**_FAILED, "error": FULL_ERROR}}, {}),
        (
            "a cancelled execution, and why",
            {"execution": {**_FAILED, "status": "cancelled", "error": ERROR}},
            {},
        ),
        (
            "a kind of error of a newer server",
            {"execution": {**_FAILED, "error": UNKNOWN_ERROR}},
            {"execution": {**_FAILED, "error": {**UNKNOWN_ERROR, "kind": "exception"}}},
        ),
        (
            "a field of a newer server, inside",
            {"execution": {**_ENDED, "from_the_future": 1}},
            {"execution": _ENDED},
        ),
    ),
    wrong=(
        Wrong("attempt 0", {"execution": {**_RECORD, "attempt": 0}}, "execution.attempt"),
        Wrong(
            "an attempt without an error",
            {"execution": {**_ENDED, "attempts": [{**_ATTEMPT, "error": None}]}},
            "execution.attempts[0].error",
        ),
        Wrong(
            "null as attempts", {"execution": {**_RECORD, "attempts": None}}, "execution.attempts"
        ),
        Wrong(
            "an unknown status", {"execution": {**_RECORD, "status": "lost"}}, "execution.status"
        ),
        Wrong(
            "a wrong event in a record",
            {"execution": {**_RECORD, "progress": {**FULL_PROGRESS, "sequence": 0}}},
            "execution.progress.sequence",
        ),
        Wrong("a count of an unknown status", {"counts": {"lost": 1}}, "counts.lost"),
        Wrong("a count below 0", {"counts": {"queued": -1}}, "counts.queued"),
        Wrong("text as queue", {"queued_executions": "none"}, "queued_executions"),
        Wrong("a number as cursor", {"cursor": 1}, "cursor"),
        Wrong(
            "a wrong record of a further execution",
            {"also": [{**_ENDED, "attempt": 0}]},
            "also[0].attempt",
        ),
    ),
)

_OK: Json = {
    **_head("ok"),
    "client_id": None,
    "progress_subscribers": None,
    "progress_subscriber_count": None,
    "execution_id": None,
    "execution_status": None,
}
_OK_REPLY = Subject(
    "reply",
    minimal=_OK,
    defaults={},
    full={
        **_OK,
        "request_id": "r-1",
        "client_id": "lab-1",
        "progress_subscribers": ["lab-1"],
        "progress_subscriber_count": 1,
        "execution_id": "stitch-0001",
        "execution_status": "running",
    },
    also=(
        (
            "to register_progress",
            {"execution_id": None, "execution_status": None},
            {},
        ),
        (
            "to cancel",
            {
                "client_id": None,
                "progress_subscribers": None,
                "progress_subscriber_count": None,
                "execution_status": "cancelled",
            },
            {},
        ),
    ),
    wrong=(
        Wrong("an unknown status", {"execution_status": "lost"}, "execution_status"),
        Wrong("text as subscribers", {"progress_subscribers": "me"}, "progress_subscribers"),
        Wrong("the status of an error", {"status": "error"}, "status"),
    ),
)

_EVENTS: Json = {
    **_head("kept_events"),
    "execution_id": "stitch-0001",
    "events": [],
    "first_kept_sequence": None,
    "last_sequence": 0,
}
_EVENTS_REPLY = Subject(
    "reply",
    minimal=_EVENTS,
    defaults={},
    full={
        **_EVENTS,
        "request_id": "r-1",
        "events": [FULL_PROGRESS, {**FULL_STATE, "sequence": 4}],
        "first_kept_sequence": 2,
        "last_sequence": 7,
    },
    needed=("execution_id", "last_sequence"),
    also=(("none that is kept", {"events": [], "first_kept_sequence": None}, {}),),
    wrong=(
        Wrong("an event of an unknown type", {"events": [{"type": "hello"}]}, "events[0]"),
        Wrong("null as events", {"events": None}, "events"),
        Wrong("a first sequence of 0", {"first_kept_sequence": 0}, "first_kept_sequence"),
        Wrong("a last sequence below 0", {"last_sequence": -1}, "last_sequence"),
        Wrong("the status of an error", {"status": "error"}, "status"),
    ),
)

_LOG_TAIL: Json = {
    **_head("log"),
    "execution_id": "stitch-0001",
    "text": "",
    "size_bytes": 0,
}
_LOG_TAIL_REPLY = Subject(
    "reply",
    minimal=_LOG_TAIL,
    defaults={},
    full={**_LOG_TAIL, "request_id": "r-1", "text": "tile 7\ngrößer \ufffd\n", "size_bytes": 4096},
    needed=("execution_id", "text", "size_bytes"),
    wrong=(
        Wrong("null as text", {"text": None}, "text"),
        Wrong("a size below 0", {"size_bytes": -1}, "size_bytes"),
        Wrong("a size as text", {"size_bytes": "5"}, "size_bytes"),
        Wrong("the status of an error", {"status": "error"}, "status"),
    ),
)

_SHUTDOWN_ACK_REPLY = Subject(
    "reply",
    minimal={**_head("shutdown_ack"), "mode": "drain"},
    defaults={},
    full={**_head("shutdown_ack", request_id="r-1"), "mode": "now"},
    needed=("mode",),
    wrong=(
        Wrong("an unknown mode", {"mode": "later"}, "mode"),
        Wrong("null as mode", {"mode": None}, "mode"),
    ),
)

_ERROR: Json = {
    **_head("error", "error"),
    "code": "conflict",
    "message": "stitch-0001 has ended already; nothing is left to cancel",
    "details": [],
}
_CODES = (
    *("malformed", "invalid_request", "unknown_type", "unsupported_protocol"),
    *("unknown_execution", "conflict", "queue_full", "not_subscribed", "shutting_down"),
    *("too_large", "busy", "journal_unavailable", "internal"),
)
_ERROR_REPLY = Subject(
    "reply",
    minimal=_ERROR,
    defaults={},
    full={
        **_ERROR,
        "request_id": "r-1",
        "code": "invalid_request",
        "message": "invalid execute request: task: Input should be an object",
        "details": [{"field": "task", "message": "Input should be an object"}],
    },
    needed=("code", "message"),
    also=(
        *((f"the code {code}", {"code": code}, {}) for code in _CODES),
        ("a code of a newer server", {"code": "too_late_at_night"}, {"code": "internal"}),
    ),
    wrong=(
        Wrong("a number as code", {"code": 404}, "code"),
        Wrong("null as message", {"message": None}, "message"),
        Wrong("text as details", {"details": "task"}, "details"),
        Wrong("a detail without a field", {"details": [{"message": "m"}]}, "details[0].field"),
        Wrong("the status of another reply", {"status": "ok"}, "status"),
    ),
)

REPLIES = (
    _PONG_REPLY,
    _ACCEPTED_REPLY,
    _SNAPSHOT_REPLY,
    _OK_REPLY,
    _EVENTS_REPLY,
    _LOG_TAIL_REPLY,
    _SHUTDOWN_ACK_REPLY,
    _ERROR_REPLY,
)
