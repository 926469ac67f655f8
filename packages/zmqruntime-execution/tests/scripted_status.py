"""A scripted status request: its replies are records or errors that the test sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zmqruntime.messages import ExecutionRecord, ExecutionStatus
from zmqruntime.transport import RequestTimeout

__all__ = ["SILENCE", "Script", "record"]

SILENCE = RequestTimeout("no reply in time")


def record(
    status: ExecutionStatus = ExecutionStatus.COMPLETE, execution_id: str = "a", **fields: Any
) -> ExecutionRecord:
    fields.setdefault("client_id", "lab")
    fields.setdefault("submitted_at", 1.0)
    if status.is_terminal:
        fields.setdefault("finished_at", 2.0)
    return ExecutionRecord(execution_id=execution_id, status=status, **fields)


class Script:
    """Returns or raises the next reply, and records the requests."""

    def __init__(self, replies: Iterable[ExecutionRecord | BaseException]) -> None:
        self._replies = iter(replies)
        self.requests: list[tuple[str, float]] = []

    def __call__(self, execution_id: str, hold: float, timeout: float | None) -> ExecutionRecord:
        self.requests.append((execution_id, hold))
        reply = next(self._replies)
        if isinstance(reply, BaseException):
            raise reply
        return reply
