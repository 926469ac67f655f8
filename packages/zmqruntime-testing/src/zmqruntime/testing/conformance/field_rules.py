"""The fields of the objects that a server sends, each with the requirement it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zmqruntime.testing.conformance.transcript import Message

__all__ = ["FIELD_RULES", "FieldRule"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATUSES = {"queued", "running", "complete", "failed", "cancelled"}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """A rule for one field of one kind of object."""

    number: str
    object: str
    name: str
    expected: str
    """The valid values, for the report."""
    accepts: Callable[[Any], bool]
    may_be_absent: bool = False


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types  # bool is not an integer.


def _or_null(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


def _each(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(holds(part) for part in value)


_string, _boolean, _integer, _object = _is(str), _is(bool), _is(int), _is(Message)
_number = _is(int, float)


def _name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _time(value: Any) -> bool:
    return _number(value) and value > 0


def _count(value: Any) -> bool:
    return _integer(value) and value >= 0


def _position(value: Any) -> bool:
    return _integer(value) and value >= 1


def _status(value: Any) -> bool:
    return isinstance(value, str) and value in _STATUSES


def _cancelled(value: Any) -> bool:
    return value in ("cancelled", "running")


def _percent(value: Any) -> bool:
    return _number(value) and 0 <= value <= 100


def _labels(value: Any) -> bool:
    return _object(value) and all(map(_string, value.values()))


def _process(value: Any) -> bool:
    return _object(value) and _position(value["pid"]) and _time(value["create_time"])


def _worker(value: Any) -> bool:
    return (
        _object(value)
        and _position(value["pid"])
        and _or_null(_number)(value["cpu_percent"])
        and _or_null(_count)(value["memory_bytes"])
        and _or_null(_name)(value["execution_id"])
    )


def _counts(value: Any) -> bool:
    return _object(value) and set(value) <= _STATUSES and all(map(_count, value.values()))


def _application(value: Any) -> bool:
    return (
        _object(value)
        and _string(value["class_path"])
        and _string(value["version"])
        and all(map(_or_null(_string), (value["code_digest"], value["arguments_digest"])))
        and _or_null(_string)(value.get("origin_digest"))
    )


def _detail(value: Any) -> bool:
    return _object(value) and _string(value["field"]) and _string(value["message"])


FIELD_RULES = (
    FieldRule("C-029", "pong", "ready", "a boolean", _boolean),
    FieldRule("C-030", "pong", "server", "a string", _string),
    FieldRule("C-031", "pong", "version", "a string", _string),
    FieldRule("C-032", "pong", "port", "an integer", _count),
    FieldRule("C-032", "pong", "control_port", "an integer", _count),
    FieldRule("C-033", "pong", "process", "an object of pid and create_time", _process),
    FieldRule("C-034", "pong", "started_at", "a number", _time),
    FieldRule("C-034", "pong", "uptime_seconds", "a number", _number),
    FieldRule("C-035", "pong", "running_executions", "an array of objects", _each(_object)),
    FieldRule("C-036", "pong", "queued_executions", "an array of objects", _each(_object)),
    FieldRule("C-037", "pong", "running_count", "an integer", _count),
    FieldRule("C-037", "pong", "queued_count", "an integer", _count),
    FieldRule("C-038", "pong", "workers", "an array of workers", _each(_worker)),
    FieldRule("C-260", "pong", "worker_error", "a string or null", _or_null(_string), True),
    FieldRule("C-039", "pong", "progress_subscribers", "an array of names", _each(_name)),
    FieldRule("C-221", "pong", "progress_subscriber_count", "an integer", _count, True),
    FieldRule("C-040", "pong", "max_message_bytes", "an integer", _position),
    FieldRule("C-186", "pong", "durable", "a boolean", _boolean),
    FieldRule("C-041", "pong", "log_file_path", "a string or null", _or_null(_string)),
    FieldRule("C-042", "pong", "details", "an object", _object),
    FieldRule(
        "C-241", "pong", "application", "an application or null", _or_null(_application), True
    ),
    FieldRule("C-051", "accepted", "execution_id", "a name", _name),
    FieldRule("C-052", "accepted", "queue_position", "1 or more, or null", _or_null(_position)),
    FieldRule("C-053", "accepted", "duplicate", "a boolean", _boolean),
    FieldRule("C-164", "accepted", "execution", "an object or null", _or_null(_object), True),
    FieldRule("C-066", "snapshot of one", "execution", "an object", _object),
    FieldRule("C-067", "snapshot of all", "running_executions", "an array", _each(_object)),
    FieldRule("C-068", "snapshot of all", "queued_executions", "an array", _each(_object)),
    FieldRule("C-069", "snapshot of all", "counts", "an object of counts by status", _counts),
    FieldRule("C-070", "snapshot of all", "cursor", "a string or null", _or_null(_string)),
    FieldRule("C-284", "snapshot of one", "also", "an array of objects", _each(_object), True),
    FieldRule("C-075", "ok to cancel", "execution_id", "a name", _name),
    FieldRule("C-076", "ok to cancel", "execution_status", "cancelled or running", _cancelled),
    FieldRule("C-078", "ok to register", "client_id", "a name", _name),
    FieldRule("C-078", "ok to register", "progress_subscribers", "an array of names", _each(_name)),
    FieldRule("C-078", "ok to register", "progress_subscriber_count", "an integer", _count, True),
    FieldRule("C-093", "error", "code", "a string", _string),
    FieldRule("C-094", "error", "message", "a sentence", lambda v: _string(v) and v.strip() != ""),
    FieldRule("C-095", "error", "details", "an array of field and message", _each(_detail)),
    FieldRule("C-110", "record", "execution_id", "a name", _name),
    FieldRule("C-110", "record", "client_id", "a name", _name),
    FieldRule("C-111", "record", "status", "a status", _status),
    FieldRule("C-112", "record", "labels", "an object of strings", _labels),
    FieldRule("C-113", "record", "attempt", "1 or more", _position),
    FieldRule("C-114", "record", "submitted_at", "a time", _time),
    FieldRule("C-115", "record", "started_at", "a time or null", _or_null(_time)),
    FieldRule("C-115", "record", "finished_at", "a time or null", _or_null(_time)),
    FieldRule("C-116", "record", "queue_position", "1 or more, or null", _or_null(_position)),
    FieldRule("C-117", "record", "progress", "an event or null", _or_null(_object)),
    FieldRule("C-118", "record", "result", "any value", lambda value: True),
    FieldRule("C-119", "record", "error", "an object or null", _or_null(_object)),
    FieldRule("C-181", "record", "attempts", "an array of objects", _each(_object)),
    FieldRule("C-182", "record", "retry_at", "a time or null", _or_null(_time)),
    FieldRule("C-183", "failed attempt", "attempt", "1 or more", _position),
    FieldRule("C-184", "failed attempt", "started_at", "a time", _time),
    FieldRule("C-184", "failed attempt", "finished_at", "a time", _time),
    FieldRule("C-185", "failed attempt", "error", "an object", _object),
    FieldRule("C-187", "record", "log_file_path", "a string or null", _or_null(_string)),
    FieldRule("C-270", "record", "result_dropped", "a boolean", _boolean, True),
    FieldRule("C-193", "kept events", "execution_id", "a name", _name),
    FieldRule("C-194", "kept events", "events", "an array of objects", _each(_object)),
    FieldRule(
        "C-195", "kept events", "first_kept_sequence", "1 or more, or null", _or_null(_position)
    ),
    FieldRule("C-196", "kept events", "last_sequence", "an integer", _count),
    FieldRule("C-202", "log", "execution_id", "a name", _name),
    FieldRule("C-203", "log", "text", "a string", _string),
    FieldRule("C-204", "log", "size_bytes", "an integer", _count),
    FieldRule("C-120", "cause", "kind", "a string", _string),
    FieldRule("C-121", "cause", "message", "a sentence", lambda v: _string(v) and v.strip() != ""),
    FieldRule("C-122", "cause", "type", "a string or null", _or_null(_string)),
    FieldRule("C-123", "cause", "traceback", "a string or null", _or_null(_string)),
    FieldRule("C-124", "cause", "exit_code", "an integer or null", _or_null(_integer)),
    FieldRule("C-125", "cause", "signal", "a string or null", _or_null(_string)),
    FieldRule("C-240", "cause", "result_repr", "a string or null", _or_null(_string), True),
    *(
        FieldRule("C-129", where, name, expected, holds)
        for where in ("running", "queued")
        for name, expected, holds in (
            ("execution_id", "a name", _name),
            ("client_id", "a name", _name),
            ("labels", "an object of strings", _labels),
            ("submitted_at", "a time", _time),
        )
    ),
    FieldRule("C-130", "queued", "queue_position", "1 or more", _position),
    FieldRule("C-131", "running", "started_at", "a time", _time),
    FieldRule("C-131", "running", "attempt", "1 or more", _position),
    FieldRule("C-131", "running", "progress", "an event or null", _or_null(_object)),
    FieldRule("C-132", "running", "cancel_requested", "a boolean", _boolean),
    FieldRule("C-137", "event", "type", "progress or state", lambda v: v in ("progress", "state")),
    FieldRule("C-138", "event", "execution_id", "a name", _name),
    FieldRule("C-139", "event", "sequence", "1 or more", _position),
    FieldRule("C-140", "event", "timestamp", "a time", _time),
    FieldRule("C-141", "progress", "phase", "a string or null", _or_null(_string)),
    FieldRule("C-141", "progress", "message", "a string or null", _or_null(_string)),
    FieldRule("C-142", "progress", "completed", "a number or null", _or_null(_number)),
    FieldRule("C-142", "progress", "total", "a number or null", _or_null(_number)),
    FieldRule("C-143", "progress", "percent", "0 to 100, or null", _or_null(_percent)),
    FieldRule("C-144", "progress", "data", "an object or null", _or_null(_object), True),
    FieldRule("C-145", "state", "status", "a status", _status),
    FieldRule("C-146", "state", "submitted_at", "a time", _time),
    FieldRule("C-147", "state", "started_at", "a time or null", _or_null(_time)),
    FieldRule("C-147", "state", "finished_at", "a time or null", _or_null(_time)),
    FieldRule("C-148", "state", "error", "an object or null", _or_null(_object)),
)
"""The rules for every field that a server sends."""
