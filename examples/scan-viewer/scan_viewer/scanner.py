"""The scanner's tasks, which run in the server's worker process."""

from __future__ import annotations

import math
import time

from pydantic import BaseModel, Field, NonNegativeFloat, PositiveInt

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import JsonValue

__all__ = ["Line", "ScanLine", "ScanResult", "ScanServer", "ScanTask"]

Line = tuple[int, ...]
"""The brightness of each pixel, 0 to 255."""


class ScanTask(BaseModel):
    """The task that a client submits."""

    lines: PositiveInt
    columns: PositiveInt
    seconds_per_line: NonNegativeFloat = 0.0


class ScanLine(BaseModel):
    """The data of a progress report."""

    number: int = Field(ge=0)
    pixels: Line


class ScanResult(BaseModel):
    """The whole picture."""

    lines: tuple[Line, ...]


class ScanServer(ExecutionServer):
    """Scans a simulated specimen."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        task = ScanTask.model_validate(request.task)
        lines: list[Line] = []
        for number in range(task.lines):
            time.sleep(task.seconds_per_line)  # The stage moves.
            lines.append(expose(number / task.lines, task.columns))
            scanned = ScanLine(number=number, pixels=lines[-1])
            context.report_progress(
                number + 1, task.lines, phase="scan", data=scanned.model_dump(mode="json")
            )
        return ScanResult(lines=tuple(lines)).model_dump(mode="json")


def expose(y: float, columns: int) -> Line:
    """Return one line of the specimen: rings."""
    centred = ((n / columns - 0.5, y - 0.5) for n in range(columns))
    return tuple(round(127.5 * (1 + math.cos(30 * math.hypot(*at)))) for at in centred)
