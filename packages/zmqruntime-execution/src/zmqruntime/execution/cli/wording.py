"""What a person reads: an error in one sentence, and a server in one table."""

from __future__ import annotations

import traceback
from pathlib import Path

from rich.table import Table
from rich.text import Text

from zmqruntime.messages import PongReply, RunningExecutionInfo, WorkerInfo, ZMQRuntimeError

__all__ = ["explain_error", "make_table"]

_OUR_FILES = Path(__file__).parents[1]


def explain_error(error: BaseException) -> str:
    """Return one sentence that says what went wrong; an application's own error says where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, ZMQRuntimeError):
        # What a worker leaves behind is a traceback, whose last line says it all.
        return lines[0] if len(lines) == 1 else f"{lines[0]}: {lines[-1]}"
    message = ": ".join([type(error).__name__, *lines[:1]])
    return message + _where(error)


def _where(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and _OUR_FILES not in Path(frame.filename).parents
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def make_table(pong: PongReply, address: str) -> Table:
    """Return what a pong tells, one line for each thing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "ready": "yes" if pong.ready else "no",
        "server": f"{pong.server} {pong.version} on {address}",
        "pid": str(pong.process.pid),
        "uptime": _duration(pong.uptime_seconds),
        "running": _count(pong.running_count, map(_running, pong.running_executions)),
        "queued": str(pong.queued_count),
        "workers": _count(len(pong.workers), map(_worker, pong.workers)),
        "subscribers": _count(len(pong.progress_subscribers), pong.progress_subscribers),
    }
    if pong.log_file_path is not None:
        rows["log"] = pong.log_file_path
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table
