"""Golden vectors: what a peer may send, what it means, and what must be refused and how."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Frames", "Json", "Kind", "Subject", "Wrong", "WrongFrame"]

Json = dict[str, Any]
Kind = Literal["request", "reply", "event"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A change to the minimal message that has to be refused, and the fields to be named."""

    name: str
    changes: Json
    fields: str | tuple[str, ...]
    code: str = "invalid_request"
    schema_may_accept: bool = False
    """A JSON Schema validator lets it pass, or some do."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One type of message: what is the least of it, all of it, and what is none of it."""

    kind: Kind
    minimal: Json
    defaults: Json
    """What the fields mean that the minimal message leaves out."""
    full: Json
    needed: tuple[str, ...] = ()
    """The fields without which it must be refused, but for `type`."""
    also: tuple[tuple[str, Json, Json], ...] = ()
    """Further valid ones: a name, changes to the full message, changes to what it means."""
    wrong: tuple[Wrong, ...] = ()

    @property
    def type(self) -> str:
        """The word that tells this type from others."""
        word: str = self.minimal["type"]
        return word

    def to_json(self) -> Json:
        """Return the content of this type's file."""
        return {
            "kind": self.kind,
            "type": self.type,
            "valid": [
                {"name": name, "message": message, "means": means}
                for name, message, means in self._valid()
            ],
            "invalid": [self._refuse(wrong) for wrong in (*self._common_faults(), *self.wrong)],
        }

    def _valid(self) -> list[tuple[str, Json, Json]]:
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

    def _refuse(self, wrong: Wrong) -> Json:
        message = {k: v for k, v in (self.minimal | wrong.changes).items() if v is not ...}
        request_id = message.get("request_id")
        entry: Json = {"name": wrong.name, "message": message}
        entry |= _refusal(
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
    """A frame that has to be refused."""

    name: str
    frame: bytes
    code: str = "malformed"
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frames:
    """What a frame may hold, byte by byte, where a JSON value could not show it."""

    kind: Kind
    valid: tuple[tuple[str, bytes, Json | None], ...]
    """A name, a frame, and what it means; None: only that it is accepted."""
    wrong: tuple[WrongFrame, ...]

    def to_json(self) -> Json:
        """Return the content of the file of this kind's frames."""
        return {
            "kind": self.kind,
            "valid": [
                {"name": name, **_show(frame)} | ({} if means is None else {"means": means})
                for name, frame, means in self.valid
            ],
            "invalid": [
                {"name": wrong.name, **_show(wrong.frame)}
                | _refusal(self.kind, wrong.code, wrong.fields, None)
                for wrong in self.wrong
            ],
        }


def _refusal(kind: Kind, code: str, fields: tuple[str, ...], request_id: str | None) -> Json:
    if kind == "request":
        return {"error": {"code": code, "request_id": request_id, "fields": list(fields)}}
    return {"fields": list(fields)}  # who gets a bad reply or event answers nobody


def _show(frame: bytes) -> Json:
    if frame.isascii() and frame.decode().isprintable():
        return {"text": frame.decode()}
    return {"base64": b64encode(frame).decode()}
