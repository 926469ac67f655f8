"""A server's records, told to whoever asks, as a test scripts them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zmqruntime.messages import ExecutionRecord, ExecutionStatus
from zmqruntime.transport import RequestTimeout

__all__ = ["SILENCE", "Script", "record"]

SILENCE = RequestTimeout("no answer in time")


def record(
    status: ExecutionStatus = ExecutionStatus.COMPLETE, execution_id: str = "a", **fields: Any
) -> ExecutionRecord:
    fields.setdefault("client_id", "lab")
    fields.setdefault("submitted_at", 1.0)
    if status.is_terminal:
        fields.setdefault("finished_at", 2.0)
    return ExecutionRecord(execution_id=execution_id, status=status, **fields)


class Script:
    """Answers one request after another, and remembers what was asked."""

    def __init__(self, answers: Iterable[ExecutionRecord | BaseException]) -> None:
        self._answers = iter(answers)
        self.asked: list[tuple[str, float]] = []

    def __call__(self, execution_id: str, hold: float, timeout: float | None) -> ExecutionRecord:
        self.asked.append((execution_id, hold))
        answer = next(self._answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer
