"""concurrent.futures.ProcessPoolExecutor: no server, and gone with the program that made it."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor

import psutil

from bench.contender import Contender
from bench.drivers.owned import end_processes
from bench.tasks import Task, run

__all__ = ["ProcessPool"]


class ProcessPool(Contender):
    """One worker process, spawned, so that it inherits nothing."""

    why_no_progress = "a future tells its end alone; a queue beside it would be the user's own"
    why_no_fan_out = why_no_progress
    why_no_records = "what has ended is the caller's"
    why_no_cancel = "a future that runs cannot be cancelled"

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        end_processes(self._workers())  # What runs is not cancelled, and may go on for long.

    def processes(self) -> list[int]:
        return [psutil.Process().pid, *(worker.pid for worker in self._workers())]

    def submit(self, task: Task) -> Future[object]:
        return self._pool.submit(run, task, _tell_nobody)

    def result(self, ticket: Future[object]) -> object:
        return ticket.result()

    def _workers(self) -> list[psutil.Process]:
        children = psutil.Process().children(recursive=True)
        return [child for child in children if any("spawn_main" in a for a in child.cmdline())]


def _tell_nobody(number: int, total: int, sent: float | None) -> None:
    raise NotImplementedError
