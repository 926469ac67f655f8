"""What a person reads: an error in one sentence, and a server in one table."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from zmqruntime.messages import PongReply, RunningExecutionInfo, WorkerInfo, ZMQRuntimeError

__all__ = ["explain_error", "make_table"]

_OUR_FILES = Path(__file__).parents[1]


def explain_error(error: BaseException) -> str:
    """Return one sentence that says what went wrong; for an application's own error, where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__ + _where(error)
    if not isinstance(error, ZMQRuntimeError):
        return f"{type(error).__name__}: {lines[0]}{_where(error)}"
    # What a worker leaves behind is a traceback, the last line of which says it.
    return lines[0] if len(lines) == 1 else f"{lines[0]}: {lines[-1]}"


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
        "running": _list(pong.running_count, map(_running, pong.running_executions)),
        "queued": str(pong.queued_count),
        "workers": _list(len(pong.workers), map(_worker, pong.workers)),
        "subscribers": _list(len(pong.progress_subscribers), pong.progress_subscribers),
        "log": pong.log_file_path or "none",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _where(error: BaseException) -> str:
    """Return where in an application's file it was raised, if it was."""
    theirs: list[traceback.FrameSummary] = []
    for frame in traceback.extract_tb(error.__traceback__):
        if _OUR_FILES in Path(frame.filename).parents:
            theirs.clear()
        elif not frame.filename.startswith("<"):  # Not importlib's own.
            theirs.append(frame)
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""


def _list(count: int, items: Iterable[str]) -> str:
    shown = list(items)
    more = [f"and {count - len(shown)} more"] if len(shown) < count else []
    return "\n".join([str(count), *shown, *more])


def _running(info: RunningExecutionInfo) -> str:
    parts = [info.execution_id, f"of {info.client_id}"]
    if info.progress is not None:
        if info.progress.phase:
            parts.append(info.progress.phase)
        if info.progress.percent is not None:
            parts.append(f"{info.progress.percent:.0f} %")
    if info.cancel_requested:
        parts.append("(is being cancelled)")
    return " ".join(parts)


def _worker(info: WorkerInfo) -> str:
    parts = [f"pid {info.pid}"]
    if info.memory_bytes is not None:
        parts.append(f"{info.memory_bytes / 2**20:.0f} MiB")
    if info.cpu_percent is not None:
        parts.append(f"{info.cpu_percent:.0f} % of a core")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
