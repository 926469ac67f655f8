"""dask.distributed: a scheduler, and a worker with one thread, as its command line starts them."""

from __future__ import annotations

import threading
from typing import Any

from distributed import Client, Future, get_worker

from bench.contender import Contender, Hear
from bench.drivers.owned import OwnedProcesses
from bench.tasks import Task, run

__all__ = ["Dask"]

_TOPIC = "reports"
_PATIENCE = 60.0
_STATES = {"pending": "running", "finished": "complete"}


class Dask(Contender):
    """Progress goes through the events of its scheduler."""

    distributions = ("distributed", "dask")
    why_no_cancel = "a task that runs is not stopped: its future is forgotten, and it goes on"
    why_no_fan_out = "not driven: its events are for clients of the scheduler, which are heavy"

    def start(self) -> None:
        self._owned = OwnedProcesses(self.place)
        file = str(self.place / "scheduler.json")
        common = f"--no-dashboard --scheduler-file {file}"
        self._owned.start_module(f"dask scheduler --host 127.0.0.1 --port 0 {common}")
        self._owned.start_module(
            f"dask worker --nworkers 1 --nthreads 1 --local-directory {self.place} {common}"
        )
        self._client = Client(scheduler_file=file, timeout=_PATIENCE)
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
        return list(self._client.gather([self.submit(task) for task in tasks]))

    def submit_all(self, tasks: Any) -> None:
        self._kept = [self.submit(task) for task in tasks]  # It forgets what nobody keeps.

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

    def status(self, ticket: Future) -> str:
        state = str(ticket.status)
        return _STATES.get(state, state)


def _tell(number: int, total: int, sent: float | None) -> None:
    get_worker().log_event(_TOPIC, (number, total, sent))
