"""The fields that the protocol's objects have: what is in them, and where they are met."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from zmqruntime.testing.conformance.journal import Event, Exchange, Journal, Message

__all__ = ["FIELDS", "OBJECTS", "Field", "Seen"]

Seen = tuple[Message, Exchange | Event]
"""An object, and with what it came."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATUSES = {"queued", "running", "complete", "failed", "cancelled"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object, and the sentence that says so."""

    number: str
    object: str
    name: str
    what: str
    """What its value has to be, in words."""
    holds: Callable[[Any], bool]
    may_be_absent: bool = False


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types  # A bool is no integer here.


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


FIELDS = (
    Field("C-029", "pong", "ready", "a boolean", _boolean),
    Field("C-030", "pong", "server", "a string", _string),
    Field("C-031", "pong", "version", "a string", _string),
    Field("C-032", "pong", "port", "an integer", _count),
    Field("C-032", "pong", "control_port", "an integer", _count),
    Field("C-033", "pong", "process", "an object of pid and create_time", _process),
    Field("C-034", "pong", "started_at", "a number", _time),
    Field("C-034", "pong", "uptime_seconds", "a number", _number),
    Field("C-035", "pong", "running_executions", "an array of objects", _each(_object)),
    Field("C-036", "pong", "queued_executions", "an array of objects", _each(_object)),
    Field("C-037", "pong", "running_count", "an integer", _count),
    Field("C-037", "pong", "queued_count", "an integer", _count),
    Field("C-038", "pong", "workers", "an array of workers", _each(_worker)),
    Field("C-260", "pong", "worker_error", "a string or null", _or_null(_string), True),
    Field("C-039", "pong", "progress_subscribers", "an array of names", _each(_name)),
    Field("C-221", "pong", "progress_subscriber_count", "an integer", _count, True),
    Field("C-040", "pong", "max_message_bytes", "an integer", _position),
    Field("C-186", "pong", "durable", "a boolean", _boolean),
    Field("C-041", "pong", "log_file_path", "a string or null", _or_null(_string)),
    Field("C-042", "pong", "details", "an object", _object),
    Field("C-241", "pong", "application", "an application or null", _or_null(_application), True),
    Field("C-051", "accepted", "execution_id", "a name", _name),
    Field("C-052", "accepted", "queue_position", "1 or more, or null", _or_null(_position)),
    Field("C-053", "accepted", "duplicate", "a boolean", _boolean),
    Field("C-164", "accepted", "execution", "an object or null", _or_null(_object), True),
    Field("C-066", "snapshot of one", "execution", "an object", _object),
    Field("C-067", "snapshot of all", "running_executions", "an array", _each(_object)),
    Field("C-068", "snapshot of all", "queued_executions", "an array", _each(_object)),
    Field("C-069", "snapshot of all", "counts", "an object of counts by status", _counts),
    Field("C-070", "snapshot of all", "cursor", "a string or null", _or_null(_string)),
    Field("C-284", "snapshot of one", "also", "an array of objects", _each(_object), True),
    Field("C-075", "ok to cancel", "execution_id", "a name", _name),
    Field("C-076", "ok to cancel", "execution_status", "cancelled or running", _cancelled),
    Field("C-078", "ok to register", "client_id", "a name", _name),
    Field("C-078", "ok to register", "progress_subscribers", "an array of names", _each(_name)),
    Field("C-078", "ok to register", "progress_subscriber_count", "an integer", _count, True),
    Field("C-093", "error", "code", "a string", _string),
    Field("C-094", "error", "message", "a sentence", lambda v: _string(v) and v.strip() != ""),
    Field("C-095", "error", "details", "an array of field and message", _each(_detail)),
    Field("C-110", "record", "execution_id", "a name", _name),
    Field("C-110", "record", "client_id", "a name", _name),
    Field("C-111", "record", "status", "a status", _status),
    Field("C-112", "record", "labels", "an object of strings", _labels),
    Field("C-113", "record", "attempt", "1 or more", _position),
    Field("C-114", "record", "submitted_at", "a time", _time),
    Field("C-115", "record", "started_at", "a time or null", _or_null(_time)),
    Field("C-115", "record", "finished_at", "a time or null", _or_null(_time)),
    Field("C-116", "record", "queue_position", "1 or more, or null", _or_null(_position)),
    Field("C-117", "record", "progress", "an event or null", _or_null(_object)),
    Field("C-118", "record", "result", "any value", lambda value: True),
    Field("C-119", "record", "error", "an object or null", _or_null(_object)),
    Field("C-181", "record", "attempts", "an array of objects", _each(_object)),
    Field("C-182", "record", "retry_at", "a time or null", _or_null(_time)),
    Field("C-183", "failed attempt", "attempt", "1 or more", _position),
    Field("C-184", "failed attempt", "started_at", "a time", _time),
    Field("C-184", "failed attempt", "finished_at", "a time", _time),
    Field("C-185", "failed attempt", "error", "an object", _object),
    Field("C-187", "record", "log_file_path", "a string or null", _or_null(_string)),
    Field("C-270", "record", "result_dropped", "a boolean", _boolean, True),
    Field("C-193", "kept events", "execution_id", "a name", _name),
    Field("C-194", "kept events", "events", "an array of objects", _each(_object)),
    Field("C-195", "kept events", "first_kept_sequence", "1 or more, or null", _or_null(_position)),
    Field("C-196", "kept events", "last_sequence", "an integer", _count),
    Field("C-202", "log", "execution_id", "a name", _name),
    Field("C-203", "log", "text", "a string", _string),
    Field("C-204", "log", "size_bytes", "an integer", _count),
    Field("C-120", "cause", "kind", "a string", _string),
    Field("C-121", "cause", "message", "a sentence", lambda v: _string(v) and v.strip() != ""),
    Field("C-122", "cause", "type", "a string or null", _or_null(_string)),
    Field("C-123", "cause", "traceback", "a string or null", _or_null(_string)),
    Field("C-124", "cause", "exit_code", "an integer or null", _or_null(_integer)),
    Field("C-125", "cause", "signal", "a string or null", _or_null(_string)),
    Field("C-240", "cause", "result_repr", "a string or null", _or_null(_string), True),
    *(
        Field("C-129", where, name, what, holds)
        for where in ("running", "queued")
        for name, what, holds in (
            ("execution_id", "a name", _name),
            ("client_id", "a name", _name),
            ("labels", "an object of strings", _labels),
            ("submitted_at", "a time", _time),
        )
    ),
    Field("C-130", "queued", "queue_position", "1 or more", _position),
    Field("C-131", "running", "started_at", "a time", _time),
    Field("C-131", "running", "attempt", "1 or more", _position),
    Field("C-131", "running", "progress", "an event or null", _or_null(_object)),
    Field("C-132", "running", "cancel_requested", "a boolean", _boolean),
    Field("C-137", "event", "type", "progress or state", lambda v: v in ("progress", "state")),
    Field("C-138", "event", "execution_id", "a name", _name),
    Field("C-139", "event", "sequence", "1 or more", _position),
    Field("C-140", "event", "timestamp", "a time", _time),
    Field("C-141", "progress", "phase", "a string or null", _or_null(_string)),
    Field("C-141", "progress", "message", "a string or null", _or_null(_string)),
    Field("C-142", "progress", "completed", "a number or null", _or_null(_number)),
    Field("C-142", "progress", "total", "a number or null", _or_null(_number)),
    Field("C-143", "progress", "percent", "0 to 100, or null", _or_null(_percent)),
    Field("C-144", "progress", "data", "an object or null", _or_null(_object), True),
    Field("C-145", "state", "status", "a status", _status),
    Field("C-146", "state", "submitted_at", "a time", _time),
    Field("C-147", "state", "started_at", "a time or null", _or_null(_time)),
    Field("C-147", "state", "finished_at", "a time or null", _or_null(_time)),
    Field("C-148", "state", "error", "an object or null", _or_null(_object)),
)
"""Every field of what a server sends."""


def _replies(journal: Journal, type: str) -> Iterator[Seen]:
    for exchange in journal.exchanges:
        if exchange.reply.get("type") == type:
            yield exchange.reply, exchange


def _snapshots(journal: Journal, of_one: bool) -> Iterator[Seen]:
    for exchange in journal.exchanges:
        named = b'"execution_id": "' in exchange.sent
        if exchange.reply.get("type") == "snapshot" and named == of_one:
            yield exchange.reply, exchange


def _oks(journal: Journal, *requests: bytes) -> Iterator[Seen]:
    for exchange in journal.exchanges:
        asked = any(b'"type": "%b"' % request in exchange.sent for request in requests)
        if exchange.reply.get("type") == "ok" and asked:
            yield exchange.reply, exchange


def _records(journal: Journal) -> Iterator[Seen]:
    yield from _inside(_snapshots(journal, of_one=True), "execution")


def _events(journal: Journal, *types: str) -> Iterator[Seen]:
    for event in journal.events:
        if not types or event.body.get("type") in types:
            yield event.body, event


def _progress(journal: Journal) -> Iterator[Seen]:
    yield from _events(journal, "progress")
    yield from _inside(_records(journal), "progress")


def _causes(journal: Journal) -> Iterator[Seen]:
    yield from _inside(_records(journal), "error")
    yield from _inside(_events(journal, "state"), "error")


def _attempts(journal: Journal) -> Iterator[Seen]:
    for record, seen in _records(journal):
        attempts = record.get("attempts")
        for attempt in attempts if isinstance(attempts, list) else []:
            if isinstance(attempt, Message):
                yield attempt, seen


def _listed(journal: Journal, name: str) -> Iterator[Seen]:
    for exchange in journal.exchanges:
        entries = exchange.reply.get(name)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, Message):
                yield entry, exchange


def _inside(outer: Iterator[Seen], name: str) -> Iterator[Seen]:
    for message, seen in outer:
        if isinstance(inner := message.get(name), Message):
            yield inner, seen


OBJECTS: dict[str, Callable[[Journal], Iterator[Seen]]] = {
    "pong": lambda journal: _replies(journal, "pong"),
    "accepted": lambda journal: _replies(journal, "accepted"),
    "error": lambda journal: _replies(journal, "error"),
    "kept events": lambda journal: _replies(journal, "kept_events"),
    "log": lambda journal: _replies(journal, "log"),
    "snapshot of one": lambda journal: _snapshots(journal, of_one=True),
    "snapshot of all": lambda journal: _snapshots(journal, of_one=False),
    "ok to cancel": lambda journal: _oks(journal, b"cancel"),
    "ok to register": lambda journal: _oks(journal, b"register_progress", b"unregister_progress"),
    "record": _records,
    "failed attempt": _attempts,
    "cause": _causes,
    "running": lambda journal: _listed(journal, "running_executions"),
    "queued": lambda journal: _listed(journal, "queued_executions"),
    "event": _events,
    "progress": _progress,
    "state": lambda journal: _events(journal, "state"),
}
"""Finds the objects of each kind in what was said."""
