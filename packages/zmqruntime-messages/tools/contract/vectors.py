"""Golden vectors: valid messages with their meaning, invalid messages with their error."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Frames", "Json", "Kind", "Subject", "Wrong", "WrongFrame"]

Json = dict[str, Any]
Kind = Literal["request", "reply", "event"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """An invalid change of the minimal message, and the fields in its error."""

    name: str
    changes: Json
    fields: str | tuple[str, ...]
    code: str = "invalid_request"
    schema_may_accept: bool = False
    """Whether some JSON Schema validators accept it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The vectors of one type of message."""

    kind: Kind
    minimal: Json
    defaults: Json
    """The meaning of the fields that are absent in the minimal message."""
    full: Json
    needed: tuple[str, ...] = ()
    """The required fields other than `type`."""
    also: tuple[tuple[str, Json, Json], ...] = ()
    """Further valid messages: a name, changes of the full message, changes of its meaning."""
    wrong: tuple[Wrong, ...] = ()

    @property
    def type(self) -> str:
        """The ``type`` of the message."""
        word: str = self.minimal["type"]
        return word

    def to_json(self) -> Json:
        """Return the content of this type's file."""
        return {
            "kind": self.kind,
            "type": self.type,
            "valid": [
                {"name": name, "message": message, "means": means}
                for name, message, means in self._make_valid()
            ],
            "invalid": [
                self._make_invalid(wrong) for wrong in (*self._common_faults(), *self.wrong)
            ],
        }

    def _make_valid(self) -> list[tuple[str, Json, Json]]:
        valid = [
            ("minimal", self.minimal, self.minimal | self.defaults),
            ("full", self.full, self.full),
        ]
        if self.kind != "request":
            newer = {"from_the_future": {"any": ["thing", None]}}
            valid.append(("a field of a newer server", self.full | newer, self.full))
        for name, changes, meant in self.also:
            valid.append((name, self.full | changes, self.full | changes | meant))
        return valid

    def _common_faults(self) -> list[Wrong]:
        absent = [Wrong(f"without {field}", {field: ...}, field) for field in self.needed]
        if self.kind == "event":
            return absent
        protocol = [
            Wrong("another protocol", {"protocol": 2}, "protocol", "unsupported_protocol"),
            Wrong("protocol 0", {"protocol": 0}, "protocol", "unsupported_protocol"),
            Wrong("protocol as text", {"protocol": "1"}, "protocol"),
            Wrong("protocol true", {"protocol": True}, "protocol"),
            Wrong("a number as request_id", {"request_id": 5}, "request_id"),
        ]
        if self.kind == "reply":
            return [*absent, *protocol]
        named = {"request_id": "r-1", "from_the_future": 1}
        unknown = [
            Wrong("an unknown field", {"from_the_future": 1}, "from_the_future"),
            Wrong("an unknown field, with a request_id", named, "from_the_future"),
        ]
        return [*absent, *protocol, *unknown]

    def _make_invalid(self, wrong: Wrong) -> Json:
        message = {k: v for k, v in (self.minimal | wrong.changes).items() if v is not ...}
        request_id = message.get("request_id")
        entry: Json = {"name": wrong.name, "message": message}
        entry |= _make_error(
            self.kind,
            wrong.code,
            (wrong.fields,) if isinstance(wrong.fields, str) else wrong.fields,
            request_id if isinstance(request_id, str) else None,
        )
        if wrong.schema_may_accept:
            entry["schema_may_accept"] = True
        return entry


@dataclass(frozen=True, slots=True)
class WrongFrame:
    """An invalid frame."""

    name: str
    frame: bytes
    code: str = "malformed"
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frames:
    """The vectors of frames that are not representable as a JSON value."""

    kind: Kind
    valid: tuple[tuple[str, bytes, Json | None], ...]
    """A name, a frame, and its meaning; None: unspecified."""
    wrong: tuple[WrongFrame, ...]

    def to_json(self) -> Json:
        """Return the content of the file of this kind's frames."""
        return {
            "kind": self.kind,
            "valid": [
                {"name": name, **_encode_frame(frame)} | ({} if means is None else {"means": means})
                for name, frame, means in self.valid
            ],
            "invalid": [
                {"name": wrong.name, **_encode_frame(wrong.frame)}
                | _make_error(self.kind, wrong.code, wrong.fields, None)
                for wrong in self.wrong
            ],
        }


def _make_error(kind: Kind, code: str, fields: tuple[str, ...], request_id: str | None) -> Json:
    if kind == "request":
        return {"error": {"code": code, "request_id": request_id, "fields": list(fields)}}
    return {"fields": list(fields)}  # Replies and events are not answered.


def _encode_frame(frame: bytes) -> Json:
    if frame.isascii() and frame.decode().isprintable():
        return {"text": frame.decode()}
    return {"base64": b64encode(frame).decode()}
