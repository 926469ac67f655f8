"""Vectors of frames, byte by byte, for each kind of message; of arrays; of topics."""

from __future__ import annotations

import json

from contract.events import EVENTS
from contract.replies import REPLIES
from contract.requests import REQUESTS
from contract.vectors import Frames, Json, Kind, Subject, WrongFrame

__all__ = ["ARRAYS", "FRAMES", "TOPICS"]

_DEEPEST = 190  # Accepted by every JSON reader.
_TOO_DEEP = 1000

_DEFAULTS = {subject.type: subject.minimal | subject.defaults for subject in REQUESTS}


def _malformed(message: Json) -> tuple[WrongFrame, ...]:
    """Return frames that are not JSON objects, mostly small changes of a valid frame."""
    good = json.dumps(message)
    body = good[1:-1]
    return (
        WrongFrame("nothing", b""),
        WrongFrame("a space", b" "),
        WrongFrame("a bare word", b"ping"),
        WrongFrame("cut off", good[:-1].encode()),
        WrongFrame("two objects", f"{good} {{}}".encode()),
        WrongFrame("single quotes", good.replace('"', "'").encode()),
        WrongFrame("a comma too many", f"{{{body},}}".encode()),
        WrongFrame("a comment", f"{{{body} /* all */}}".encode()),
        WrongFrame("a leading zero", f'{{{body}, "more": 010}}'.encode()),
        WrongFrame("NaN", f'{{{body}, "more": NaN}}'.encode()),
        WrongFrame("Infinity", f'{{{body}, "more": [Infinity]}}'.encode()),
        WrongFrame("-Infinity", f'{{{body}, "more": {{"a": -Infinity}}}}'.encode()),
        WrongFrame("a byte that is not UTF-8", f'{{{body}, "more": "'.encode() + b'\xff"}'),
        WrongFrame("Latin-1", f'{{{body}, "more": "größe"}}'.encode("latin-1")),
        WrongFrame("UTF-16", good.encode("utf-16-le")),
        WrongFrame("half a surrogate pair as UTF-8", good[:-1].encode() + b', "\xed\xa0\x80": 1}'),
        WrongFrame("a line break in a text", f'{{{body}, "more": "a\nb"}}'.encode()),
        WrongFrame(f"{_TOO_DEEP} open brackets", b"[" * _TOO_DEEP),
        WrongFrame("a pickle", b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94."),
        WrongFrame("an array", f"[{good}]".encode()),
        WrongFrame("an empty array", b"[]"),
        WrongFrame("a text", b'"ping"'),
        WrongFrame("a number", b"1"),
        WrongFrame("true", b"true"),
        WrongFrame("null", b"null"),
    )


def _lenient_json(message: Json) -> tuple[WrongFrame, ...]:
    """Return frames that a server rejects and never sends, but some JSON readers accept."""
    good = json.dumps(message)
    body = good[1:-1]
    arrays = "[" * _TOO_DEEP + "]" * _TOO_DEEP
    return (
        WrongFrame("a byte order mark", b"\xef\xbb\xbf" + good.encode()),
        WrongFrame("half a surrogate pair", f'{{{body}, "more": "\\ud800"}}'.encode()),
        WrongFrame(f"{_TOO_DEEP} nested arrays", f'{{{body}, "more": {arrays}}}'.encode()),
    )


def _untyped(other: str) -> tuple[WrongFrame, ...]:
    """Return objects without a valid type; ``other`` is the type of another kind of message."""
    return (
        WrongFrame("an empty object", b"{}", "invalid_request", ("type",)),
        WrongFrame("null as type", b'{"type": null}', "invalid_request", ("type",)),
        WrongFrame("a number as type", b'{"type": 5}', "invalid_request", ("type",)),
        WrongFrame("a list as type", b'{"type": ["ping"]}', "invalid_request", ("type",)),
        WrongFrame("an unknown type", b'{"type": "hello"}', "unknown_type", ("type",)),
        WrongFrame("a type in capitals", b'{"type": "PING"}', "unknown_type", ("type",)),
        WrongFrame(
            "the type of another kind", f'{{"type": "{other}"}}'.encode(), "unknown_type", ("type",)
        ),
    )


def _valid(subject: Subject) -> tuple[tuple[str, bytes, Json | None], ...]:
    """Return one message in several encodings."""
    message, means = subject.full, subject.full
    backwards = dict(reversed(message.items()))
    return (
        ("as short as it can be", json.dumps(message, separators=(",", ":")).encode(), means),
        ("over several lines", b"\r\n\t" + json.dumps(message, indent=1).encode() + b" \n", means),
        ("plain UTF-8", json.dumps(message, ensure_ascii=False).encode(), means),
        ("in another order", json.dumps(backwards).encode(), means),
    )


def _ping(fields: str, **means: object) -> tuple[bytes, Json]:
    return f'{{"type": "ping", {fields}}}'.encode(), _DEFAULTS["ping"] | means


def _execute(task: str) -> bytes:
    return f'{{"type": "execute", "client_id": "lab-1", "task": {task}}}'.encode()


def _find(subjects: tuple[Subject, ...], word: str) -> Subject:
    return next(subject for subject in subjects if subject.type == word)


def _frames(kind: Kind, subject: Subject, other: str) -> Frames:
    wrong = (*_malformed(subject.minimal), *_untyped(other))
    return Frames(kind, _valid(subject), wrong)


def _requests() -> Frames:
    execute = _find(REQUESTS, "execute")
    common = _frames("request", execute, "pong")
    return Frames(
        "request",
        (
            *common.valid,
            ("a number with an exponent", *_ping('"wait_seconds": 6e1', wait_seconds=60)),
            ("an integer for a number", *_ping('"wait_seconds": 60', wait_seconds=60)),
            ("NaN in a text", *_ping('"request_id": "NaN, Infinity"', request_id="NaN, Infinity")),
            ("an escaped letter", *_ping('"request_id": "\\u00e9"', request_id="é")),
            ("a surrogate pair", *_ping('"request_id": "\\ud83d\\ude00"', request_id="😀")),
            ("an escaped NUL", *_ping('"request_id": "a\\u0000b"', request_id="a\0b")),
            (
                f"a task nested {_DEEPEST} levels deep",
                _execute('{"a":' * (_DEEPEST - 1) + "{}" + "}" * (_DEEPEST - 1)),
                None,
            ),
        ),
        (
            *common.wrong,
            *_lenient_json(execute.minimal),
            WrongFrame(
                "5.0 as an integer",
                b'{"type": "ping", "limit": 5.0}',
                "invalid_request",
                ("limit",),
            ),
            WrongFrame(
                "1.0 as protocol",
                b'{"type": "ping", "protocol": 1.0}',
                "invalid_request",
                ("protocol",),
            ),
            WrongFrame(
                "a number past the largest",
                b'{"type": "ping", "wait_seconds": 1e999}',
                "invalid_request",
                ("wait_seconds",),
            ),
            WrongFrame(
                "a number past the largest, in a task",
                _execute('{"a": [1e999]}'),
                "invalid_request",
                ("task.a[0]",),
            ),
        ),
    )


FRAMES = (
    _requests(),
    _frames("reply", _find(REPLIES, "error"), "ping"),
    _frames("event", _find(EVENTS, "progress"), "ok"),
)


def _make_arrays() -> Json:
    """Return valid and invalid arrays of events."""
    progress, state = _find(EVENTS, "progress"), _find(EVENTS, "state")
    first, second, third = ({**progress.full, "sequence": number} for number in (3, 4, 5))
    last = {**state.full, "sequence": 6}
    valid = {
        "two reports": [first, second],
        "a state behind reports": [first, second, third, last],
        "one event": [first],
    }
    invalid = {
        "nothing": [],
        "a number behind a report": [first, 4],
        "an array in an array": [first, [second]],
        "a report without sequence": [first, _without(second, "sequence")],
        "an unknown type": [{**first, "type": "hello"}, second],
        "a reply": [first, _find(REPLIES, "error").full],
    }
    return {
        "valid": [
            {"name": name, "text": json.dumps(events), "means": events}
            for name, events in valid.items()
        ],
        "invalid": [{"name": name, "text": json.dumps(values)} for name, values in invalid.items()],
    }


def _without(message: Json, field: str) -> Json:
    return {name: value for name, value in message.items() if name != field}


ARRAYS: Json = _make_arrays()

TOPICS: Json = {
    "topics": [
        {"client_id": client, "execution_id": execution, "topic": f"{client}/{execution}"}
        for client, execution in (("lab-1", "stitch-0001"), ("A.b_c-9", "."), ("c" * 64, "e" * 64))
    ],
    "prefixes": [
        {"scope": "own", "client_id": "lab-1", "prefix": "lab-1/"},
        {"scope": "all", "client_id": "lab-1", "prefix": ""},
    ],
    "matches": [
        {"prefix": "lab-1/", "topic": "lab-1/stitch-0001", "arrives": True},
        {"prefix": "lab-1/", "topic": "lab-10/stitch-0001", "arrives": False},
        {"prefix": "lab-1/", "topic": "lab-2/lab-1", "arrives": False},
        {"prefix": "", "topic": "lab-2/stitch-0001", "arrives": True},
    ],
}
