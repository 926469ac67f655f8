"""concurrent.futures.ProcessPoolExecutor, which has no server and ends with its program."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess

from bench.contender import Contender
from bench.tasks import Task, run

__all__ = ["ProcessPool"]


class ProcessPool(Contender):
    """One spawned worker process."""

    why_no_progress = "a future has no progress"
    why_no_fan_out = why_no_progress
    why_no_records = "the caller keeps results"
    why_no_cancel = "a running future cannot be cancelled"

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context)

    def stop(self) -> None:
        # Running tasks cannot be cancelled; the pool detects the end of its workers.
        for worker in self._workers():
            worker.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def processes(self) -> list[int]:
        workers = (worker.pid for worker in self._workers() if worker.pid is not None)
        return [os.getpid(), *workers]

    def submit(self, task: Task) -> Future[object]:
        return self._pool.submit(run, task, _ignore_report)

    def result(self, ticket: Future[object]) -> object:
        return ticket.result()

    def _workers(self) -> list[BaseProcess]:
        return list((self._pool._processes or {}).values())


def _ignore_report(number: int, total: int, sent: float | None) -> None:
    raise NotImplementedError
