"""Renders a pong: a table for a terminal, plain lines for a pipe, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from zmqruntime.messages import (
    PongReply,
    RunningExecutionInfo,
    WorkerInfo,
    encode,
    printable,
)

__all__ = ["make_json", "make_lines", "make_table"]


def make_json(pong: PongReply) -> str:
    """Return a pong as one line of JSON, with control characters escaped."""
    text = encode(pong).decode()
    # A character that is not printable is within a JSON string, where an escape is equivalent.
    return "".join([c if c.isprintable() else json.dumps(c)[1:-1] for c in text])


def make_table(pong: PongReply, address: str) -> Table:
    """Return the table of a pong, its text escaped by `printable`."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, lines in _make_rows(pong, address).items():
        table.add_row(name, Text("\n".join(lines)))  # As a `Text`: without markup and emoji.
    return table


def make_lines(pong: PongReply, address: str) -> list[str]:
    """Return the lines of the table, not wrapped."""
    rows = _make_rows(pong, address)
    width = max(map(len, rows)) + 2
    return [
        f"{name if number == 0 else '':{width}}{line}"
        for name, lines in rows.items()
        for number, line in enumerate(lines)
    ]


def _make_rows(pong: PongReply, address: str) -> dict[str, list[str]]:
    """Return the lines of each field, escaped."""
    rows: dict[str, str | list[str]] = {
        "ready": "yes" if pong.ready else "no",
        "server": f"{pong.server} {pong.version} on {address}",
        "pid": str(pong.process.pid),
        "uptime": _duration(pong.uptime_seconds),
        "running": _list(pong.running_count, map(_running, pong.running_executions)),
        "queued": str(pong.queued_count),
        "workers": [
            *_list(len(pong.workers), map(_worker, pong.workers)),
            *(pong.worker_error or "").splitlines(),
        ],
        "subscribers": _list(
            # An older server lists all subscribers and sends no count.
            max(pong.progress_subscriber_count, len(pong.progress_subscribers)),
            pong.progress_subscribers,
        ),
        "log": pong.log_file_path or "none",
    }
    return {
        name: [printable(line) for line in ([value] if isinstance(value, str) else value)]
        for name, value in rows.items()
    }


def _list(count: int, items: Iterable[str]) -> list[str]:
    shown = list(items)
    more = [f"and {count - len(shown)} more"] if len(shown) < count else []
    return [str(count), *shown, *more]


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
