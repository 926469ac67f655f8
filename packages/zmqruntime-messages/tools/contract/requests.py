"""Vectors of requests."""

from __future__ import annotations

from contract.vectors import Json, Subject, Wrong

__all__ = ["REQUESTS"]

_COMMON: Json = {"protocol": 1, "request_id": None}
_FULL: Json = {"protocol": 1, "request_id": "r-1"}


def _wrong_names(field: str) -> tuple[Wrong, ...]:
    return (
        Wrong(f"an empty {field}", {field: ""}, field),
        Wrong(f"a {field} of 65 characters", {field: "n" * 65}, field),
        Wrong(f"a {field} with a slash", {field: "a/b"}, field),
        Wrong(f"a {field} with a space", {field: "a b"}, field),
        Wrong(f"a {field} with a letter that is not ASCII", {field: "größe"}, field),
        # In some languages `$` matches before a final line break.
        Wrong(f"a {field} with a line break", {field: "a\n"}, field, schema_may_accept=True),
        Wrong(f"a number as {field}", {field: 5}, field),
    )


_WRONG_LIMITS = (
    Wrong("a limit below 0", {"limit": -1}, "limit"),
    Wrong("a limit above 1000", {"limit": 1001}, "limit"),
    Wrong("a limit with a fraction", {"limit": 5.5}, "limit"),
    Wrong("a limit as text", {"limit": "5"}, "limit"),
    Wrong("true as limit", {"limit": True}, "limit"),
    Wrong("null as limit", {"limit": None}, "limit"),
)
_WRONG_WAITS = (
    Wrong("a wait below 0", {"wait_seconds": -0.5}, "wait_seconds"),
    Wrong("a wait above 60", {"wait_seconds": 60.5}, "wait_seconds"),
    Wrong("a wait as text", {"wait_seconds": "1"}, "wait_seconds"),
    Wrong("true as wait", {"wait_seconds": True}, "wait_seconds"),
    Wrong("null as wait", {"wait_seconds": None}, "wait_seconds"),
)

_PING = Subject(
    "request",
    minimal={"type": "ping"},
    defaults={**_COMMON, "limit": 100, "wait_seconds": 0},
    full={"type": "ping", **_FULL, "limit": 20, "wait_seconds": 2.5},
    also=(
        ("the least that is allowed", {"limit": 0, "wait_seconds": 0}, {}),
        ("the most that is allowed", {"limit": 1000, "wait_seconds": 60}, {}),
        ("an empty request_id", {"request_id": ""}, {}),
        ("the longest request_id", {"request_id": "r" * 256}, {}),
        ("null as request_id", {"request_id": None}, {}),
    ),
    wrong=(*_WRONG_LIMITS, *_WRONG_WAITS),
)

_EXECUTE = Subject(
    "request",
    minimal={"type": "execute", "client_id": "lab-1", "task": {}},
    defaults={
        **_COMMON,
        "config": None,
        "execution_id": None,
        "labels": {},
        "timeout_seconds": None,
        "priority": 0,
        "max_attempts": None,
        "retry_on": None,
        "backoff_seconds": None,
        "wait_seconds": 0,
    },
    full={
        "type": "execute",
        **_FULL,
        "task": {"do": "stitch", "tiles": [1, 2.5, "c", None, True, {"größe": []}]},
        "config": {"overlap": 0.1},
        "client_id": "lab-1",
        "execution_id": "stitch-0001",
        "labels": {"user": "Zoë", "": "an empty name"},
        "timeout_seconds": 600.5,
        "priority": 5,
        "max_attempts": 3,
        "retry_on": ["worker_died", "timeout"],
        "backoff_seconds": 0.5,
        "wait_seconds": 2.5,
    },
    needed=("client_id", "task"),
    also=(
        ("the longest names", {"client_id": "c" * 64, "execution_id": "e" * 64}, {}),
        ("names of every character", {"client_id": "A-Za-z0-9._-", "execution_id": "."}, {}),
        (
            "the most and the longest labels",
            {"labels": {f"{n:ö>64}": "ü" * 1000 if n == 1 else "" for n in range(1, 33)}},
            {},
        ),
        (
            "null where it is allowed",
            {
                "config": None,
                "execution_id": None,
                "timeout_seconds": None,
                "max_attempts": None,
                "retry_on": None,
                "backoff_seconds": None,
            },
            {},
        ),
        (
            "the least that is allowed",
            {"priority": -1000, "max_attempts": 1, "retry_on": [], "backoff_seconds": 0},
            {},
        ),
        (
            "the most that is allowed",
            {"priority": 1000, "max_attempts": 20, "backoff_seconds": 3600},
            {},
        ),
    ),
    wrong=(
        *_wrong_names("client_id"),
        *_wrong_names("execution_id"),
        Wrong("null as client_id", {"client_id": None}, "client_id"),
        Wrong("a list as task", {"task": [1]}, "task"),
        Wrong("null as task", {"task": None}, "task"),
        Wrong("text as config", {"config": "{}"}, "config"),
        Wrong("a number as label", {"labels": {"a": 1}}, "labels.a"),
        Wrong("null as label", {"labels": {"a": None}}, "labels.a"),
        Wrong("a list as labels", {"labels": ["a"]}, "labels"),
        Wrong("null as labels", {"labels": None}, "labels"),
        Wrong("33 labels", {"labels": {f"{n}": "" for n in range(33)}}, "labels"),
        Wrong("a label's name of 65 characters", {"labels": {"n" * 65: ""}}, f"labels.{'n' * 65}"),
        Wrong("a label of 1001 characters", {"labels": {"a": "v" * 1001}}, "labels.a"),
        *_WRONG_WAITS,
        Wrong("no time at all", {"timeout_seconds": 0}, "timeout_seconds"),
        Wrong("time as text", {"timeout_seconds": "5"}, "timeout_seconds"),
        Wrong("a priority below -1000", {"priority": -1001}, "priority"),
        Wrong("a priority above 1000", {"priority": 1001}, "priority"),
        Wrong("a priority with a fraction", {"priority": 0.5}, "priority"),
        Wrong("null as priority", {"priority": None}, "priority"),
        Wrong("no attempt at all", {"max_attempts": 0}, "max_attempts"),
        Wrong("21 attempts", {"max_attempts": 21}, "max_attempts"),
        Wrong("attempts as text", {"max_attempts": "3"}, "max_attempts"),
        Wrong("an unknown kind of error", {"retry_on": ["bad_luck"]}, "retry_on[0]"),
        Wrong("33 kinds of errors", {"retry_on": ["timeout"] * 33}, "retry_on"),
        Wrong("a kind of error alone", {"retry_on": "timeout"}, "retry_on"),
        Wrong("a delay below 0", {"backoff_seconds": -1}, "backoff_seconds"),
        Wrong("a delay above an hour", {"backoff_seconds": 3601}, "backoff_seconds"),
        Wrong("a delay as text", {"backoff_seconds": "1"}, "backoff_seconds"),
        Wrong("two faults", {"task": 1, "labels": {"a": 1}}, ("task", "labels.a")),
    ),
)

_STATUS = Subject(
    "request",
    minimal={"type": "status"},
    defaults={
        **_COMMON,
        "execution_id": None,
        "wait_seconds": 0,
        "limit": 100,
        "cursor": None,
        "also": [],
    },
    full={
        "type": "status",
        **_FULL,
        "execution_id": "stitch-0001",
        "wait_seconds": 30,
        "limit": 10,
        "cursor": "what the last page said",
        "also": ["stitch-0002", "stitch-0003"],
    },
    also=(("null where it is allowed", {"execution_id": None, "cursor": None}, {}),),
    wrong=(
        *_wrong_names("execution_id"),
        *_WRONG_WAITS,
        *_WRONG_LIMITS,
        Wrong("a number as cursor", {"cursor": 1}, "cursor"),
        Wrong("a cursor of 257 characters", {"cursor": "c" * 257}, "cursor"),
        Wrong("one name as further executions", {"also": "stitch-0002"}, "also"),
        Wrong("65 further executions", {"also": [f"stitch-{n}" for n in range(65)]}, "also"),
        Wrong("a further execution with a wrong name", {"also": ["a", "a/b"]}, "also[1]"),
    ),
)

_CANCEL = Subject(
    "request",
    minimal={"type": "cancel", "execution_id": "stitch-0001"},
    defaults=_COMMON,
    full={"type": "cancel", **_FULL, "execution_id": "stitch-0001"},
    needed=("execution_id",),
    wrong=(
        *_wrong_names("execution_id"),
        Wrong("null as execution_id", {"execution_id": None}, "execution_id"),
    ),
)

_EVENTS = Subject(
    "request",
    minimal={"type": "events", "execution_id": "stitch-0001"},
    defaults={**_COMMON, "after_sequence": 0, "limit": 100},
    full={
        "type": "events",
        **_FULL,
        "execution_id": "stitch-0001",
        "after_sequence": 17,
        "limit": 1000,
    },
    needed=("execution_id",),
    wrong=(
        *_wrong_names("execution_id"),
        Wrong("null as execution_id", {"execution_id": None}, "execution_id"),
        Wrong("a sequence below 0", {"after_sequence": -1}, "after_sequence"),
        Wrong("a sequence with a fraction", {"after_sequence": 1.5}, "after_sequence"),
        Wrong("a sequence as text", {"after_sequence": "1"}, "after_sequence"),
        Wrong("null as sequence", {"after_sequence": None}, "after_sequence"),
        *_WRONG_LIMITS,
    ),
)

_LOG_TAIL = Subject(
    "request",
    minimal={"type": "log_tail", "execution_id": "stitch-0001"},
    defaults={**_COMMON, "max_bytes": 16384},
    full={"type": "log_tail", **_FULL, "execution_id": "stitch-0001", "max_bytes": 65536},
    needed=("execution_id",),
    also=(("nothing but its size", {"max_bytes": 0}, {}),),
    wrong=(
        *_wrong_names("execution_id"),
        Wrong("null as execution_id", {"execution_id": None}, "execution_id"),
        Wrong("a length below 0", {"max_bytes": -1}, "max_bytes"),
        Wrong("a length above 65536", {"max_bytes": 65537}, "max_bytes"),
        Wrong("a length as text", {"max_bytes": "5"}, "max_bytes"),
        Wrong("null as length", {"max_bytes": None}, "max_bytes"),
    ),
)

_REGISTER = Subject(
    "request",
    minimal={"type": "register_progress", "client_id": "lab-1"},
    defaults={**_COMMON, "scope": "own"},
    full={"type": "register_progress", **_FULL, "client_id": "lab-1", "scope": "all"},
    needed=("client_id",),
    also=(("its own events", {"scope": "own"}, {}),),
    wrong=(
        *_wrong_names("client_id"),
        Wrong("an unknown scope", {"scope": "some"}, "scope"),
        Wrong("a scope in capitals", {"scope": "OWN"}, "scope"),
        Wrong("null as scope", {"scope": None}, "scope"),
    ),
)

_UNREGISTER = Subject(
    "request",
    minimal={"type": "unregister_progress", "client_id": "lab-1"},
    defaults=_COMMON,
    full={"type": "unregister_progress", **_FULL, "client_id": "lab-1"},
    needed=("client_id",),
    wrong=_wrong_names("client_id"),
)

_SHUTDOWN = Subject(
    "request",
    minimal={"type": "shutdown"},
    defaults={**_COMMON, "mode": "drain"},
    full={"type": "shutdown", **_FULL, "mode": "now"},
    also=(("after the work it has accepted", {"mode": "drain"}, {}),),
    wrong=(
        Wrong("an unknown mode", {"mode": "later"}, "mode"),
        Wrong("null as mode", {"mode": None}, "mode"),
    ),
)

REQUESTS = (
    _PING,
    _EXECUTE,
    _STATUS,
    _CANCEL,
    _EVENTS,
    _LOG_TAIL,
    _REGISTER,
    _UNREGISTER,
    _SHUTDOWN,
)
