"""dask.distributed: a scheduler, and a worker with one thread, as its command line starts them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Future, get_worker

from bench.contender import Contender, Hear
from bench.drivers.owned import OwnedProcesses
from bench.tasks import Task, run

__all__ = ["Dask"]

_TOPIC = "reports"
_PATIENCE = 60.0


class Dask(Contender):
    """Progress goes through the events of its scheduler."""

    distributions = ("distributed", "dask")
    why_no_cancel = "cancel drops the future of a running task; the task continues"
    why_no_status = "no status request: the scheduler pushes states to the client"
    why_no_records = "results without a future are dropped"

    def start(self) -> None:
        self._owned = OwnedProcesses(self.place)
        common = f"--no-dashboard --scheduler-file {self._file}"
        self._owned.start_module(f"dask scheduler --host 127.0.0.1 --port 0 {common}")
        self._owned.start_module(
            f"dask worker --nworkers 1 --nthreads 1 --local-directory {self.place} {common}"
        )
        self._client = Client(scheduler_file=str(self._file), timeout=_PATIENCE)
        self._client.wait_for_workers(1, timeout=_PATIENCE)

    def stop(self) -> None:
        self._client.close(timeout=_PATIENCE)
        self._owned.end()

    def processes(self) -> list[int]:
        return self._owned.pids

    def submit(self, task: Task) -> Future:
        return self._client.submit(run, task, _tell, pure=False)

    def result(self, ticket: Future) -> object:
        return ticket.result(timeout=_PATIENCE)

    def execute_all(self, tasks: Any) -> list[object]:
        tellers = [_tell] * len(tasks)
        return list(self._client.gather(self._client.map(run, tasks, tellers, pure=False)))

    def submit_all(self, tasks: Any) -> None:
        # Dask drops results without a future.
        self._kept = self._client.map(run, tasks, [_tell] * len(tasks), pure=False)

    def stream(self, task: Task, hear: Hear) -> object:
        ended = threading.Event()

        def listen(event: Any) -> None:
            _, (number, total, sent) = event
            hear(number, sent)
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
    def observe(self, hears: Sequence[Hear]) -> Iterator[None]:
        clients = [Client(scheduler_file=str(self._file), set_as_default=False) for _ in hears]
        for client, hear in zip(clients, hears, strict=True):
            client.subscribe_topic(_TOPIC, _listener(hear))
        yield
        for client in clients:
            client.close(timeout=_PATIENCE)

    @property
    def _file(self) -> Path:
        return self.place / "scheduler.json"


def _listener(hear: Hear) -> Callable[[Any], None]:
    def listen(event: Any) -> None:
        _, (number, _, sent) = event
        hear(number, sent)

    return listen


def _tell(number: int, total: int, sent: float | None) -> None:
    get_worker().log_event(_TOPIC, (number, total, sent))
