"""The observations of a storm client, in a file that outlives the client's process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from zmqruntime.messages import ErrorKind, ExecutionRecord, ExecutionStatus, JsonValue

__all__ = ["Observation", "Step", "read_observations"]


class Step(StrEnum):
    """A step in the life of an execution, as its client observes it."""

    SUBMITS = "submits"
    ACCEPTED = "accepted"
    CANCELS = "cancels"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Observation:
    """One line of a client's file."""

    number: int
    step: Step
    status: ExecutionStatus | None = None
    kind: ErrorKind | None = None
    result: JsonValue = None

    @classmethod
    def of(cls, number: int, step: Step, record: ExecutionRecord | None) -> Self:
        if record is None:
            return cls(number, step)
        kind = record.error.kind if record.error else None
        return cls(number, step, record.status, kind, record.result)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read_observations(path: Path) -> list[Observation]:
    """Return the observations of a client; an empty list without a file."""
    if not path.exists():
        return []
    return [_read(line) for line in path.read_text().splitlines()]


def _read(line: str) -> Observation:
    fields = json.loads(line)
    status, kind = fields.pop("status"), fields.pop("kind")
    return Observation(
        number=fields["number"],
        step=Step(fields["step"]),
        status=None if status is None else ExecutionStatus(status),
        kind=None if kind is None else ErrorKind(kind),
        result=fields["result"],
    )
