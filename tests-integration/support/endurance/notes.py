"""What a client of a storm has written down: it is killed now and then, and its notes are not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from zmqruntime.messages import ErrorKind, ExecutionRecord, ExecutionStatus, JsonValue

__all__ = ["Note", "Said", "read_notes"]


class Said(StrEnum):
    """What has become of an execution, as its client sees it."""

    SUBMITS = "submits"
    ACCEPTED = "accepted"
    CANCELS = "cancels"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of a client's notes."""

    number: int
    said: Said
    status: ExecutionStatus | None = None
    kind: ErrorKind | None = None
    result: JsonValue = None

    @classmethod
    def of(cls, number: int, said: Said, record: ExecutionRecord | None) -> Self:
        if record is None:
            return cls(number, said)
        kind = record.error.kind if record.error else None
        return cls(number, said, record.status, kind, record.result)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read_notes(path: Path) -> list[Note]:
    """Return the notes of a client; none when it has taken none."""
    if not path.exists():
        return []
    return [_read(line) for line in path.read_text().splitlines()]


def _read(line: str) -> Note:
    fields = json.loads(line)
    status, kind = fields.pop("status"), fields.pop("kind")
    return Note(
        number=fields["number"],
        said=Said(fields["said"]),
        status=None if status is None else ExecutionStatus(status),
        kind=None if kind is None else ErrorKind(kind),
        result=fields["result"],
    )
