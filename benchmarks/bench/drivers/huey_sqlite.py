"""Huey on SQLite: a consumer with one worker process.

The consumer imports ``bench.drivers.huey_sqlite.huey``, and finds the file in BENCH_HUEY.
"""

from __future__ import annotations

import os
from typing import Any

from huey import SqliteHuey

from bench.contender import Contender
from bench.drivers.process_group import ProcessGroup
from bench.tasks import Task, run

__all__ = ["Huey", "huey"]

_PATIENCE = 60.0


def _perform(task: Task) -> object:
    return run(task, _ignore_report)


def _ignore_report(number: int, total: int, sent: float | None) -> None:
    pass


def _make(file: str) -> tuple[SqliteHuey, Any]:
    made = SqliteHuey(filename=file)
    return made, made.task(name="perform")(_perform)


if "BENCH_HUEY" in os.environ:
    huey, perform = _make(os.environ["BENCH_HUEY"])


class Huey(Contender):
    """`huey_consumer`, which polls for work every 0.1 s."""

    distributions = ("huey",)
    why_no_progress = "has no progress"
    why_no_fan_out = why_no_progress
    why_no_cancel = "a running task cannot be revoked"
    why_no_records = "a result is removed when it is read"
    why_no_ping = why_no_status = "has no server: a consumer polls a file"

    def start(self) -> None:
        self._group = ProcessGroup(self.place)
        file = str(self.place / "huey.db")
        self._huey, self._perform = _make(file)
        self._group.start_module(
            "huey.bin.huey_consumer bench.drivers.huey_sqlite.huey -k process -w 1 --quiet",
            {"BENCH_HUEY": file},
        )

    def stop(self) -> None:
        self._group.end()
        self._huey.storage.close()

    def processes(self) -> list[int]:
        return self._group.pids

    def keepers(self) -> list[int]:
        return []  # A file.

    def submit(self, task: Task) -> Any:
        return self._perform(task)

    def result(self, ticket: Any) -> object:
        return ticket.get(blocking=True, timeout=_PATIENCE)

    def queued(self) -> int:
        return int(self._huey.pending_count())
