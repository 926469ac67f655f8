"""dask.distributed: a scheduler, and a worker with one thread, as its command line starts them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Future, get_worker

from bench.contender import Contender, OnReport
from bench.drivers.process_group import ProcessGroup
from bench.tasks import Task, run

__all__ = ["Dask"]

_TOPIC = "reports"
_PATIENCE = 60.0


class Dask(Contender):
    """Progress uses the events of the scheduler."""

    distributions = ("distributed", "dask")
    why_no_cancel = "a running task is not stopped: only its future is released"
    why_no_status = "the scheduler pushes states to its client: there is no request"
    why_no_records = "results without a future are released"

    def start(self) -> None:
        self._group = ProcessGroup(self.place)
        common = f"--no-dashboard --scheduler-file {self._file}"
        self._group.start_module(f"dask scheduler --host 127.0.0.1 --port 0 {common}")
        self._group.start_module(
            f"dask worker --nworkers 1 --nthreads 1 --local-directory {self.place} {common}"
        )
        self._client = Client(scheduler_file=str(self._file), timeout=_PATIENCE)
        self._client.wait_for_workers(1, timeout=_PATIENCE)

    def stop(self) -> None:
        self._client.close(timeout=_PATIENCE)
        self._group.end()

    def processes(self) -> list[int]:
        return self._group.pids

    def submit(self, task: Task) -> Future:
        return self._client.submit(run, task, _report, pure=False)

    def result(self, ticket: Future) -> object:
        return ticket.result(timeout=_PATIENCE)

    def execute_all(self, tasks: Any) -> list[object]:
        reporters = [_report] * len(tasks)
        return list(self._client.gather(self._client.map(run, tasks, reporters, pure=False)))

    def submit_all(self, tasks: Any) -> None:
        # Tasks without a future are released.
        self._kept = self._client.map(run, tasks, [_report] * len(tasks), pure=False)

    def stream(self, task: Task, on_report: OnReport) -> object:
        ended = threading.Event()

        def listen(event: Any) -> None:
            _, (number, total, sent) = event
            on_report(number, sent)
            if number == total:
                ended.set()

        self._client.subscribe_topic(_TOPIC, listen)
        try:
            result = self.result(self.submit(task))
            ended.wait(_PATIENCE)
        finally:
            self._client.unsubscribe_topic(_TOPIC)
        return result

    def ping(self) -> object:
        return self._client.sync(self._client.scheduler.identity)

    @contextmanager
    def observe(self, callbacks: Sequence[OnReport]) -> Iterator[None]:
        clients = [Client(scheduler_file=str(self._file), set_as_default=False) for _ in callbacks]
        for client, on_report in zip(clients, callbacks, strict=True):
            client.subscribe_topic(_TOPIC, _listener(on_report))
        yield
        for client in clients:
            client.close(timeout=_PATIENCE)

    @property
    def _file(self) -> Path:
        return self.place / "scheduler.json"


def _listener(on_report: OnReport) -> Callable[[Any], None]:
    def listen(event: Any) -> None:
        _, (number, _, sent) = event
        on_report(number, sent)

    return listen


def _report(number: int, total: int, sent: float | None) -> None:
    get_worker().log_event(_TOPIC, (number, total, sent))
