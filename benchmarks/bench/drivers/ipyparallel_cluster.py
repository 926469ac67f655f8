"""ipyparallel: a controller and one engine, behind a load-balanced view."""

from __future__ import annotations

import logging
import signal
from typing import Any

import ipyparallel

from bench.contender import Cancelled, Contender
from bench.tasks import Task, run

__all__ = ["IPyParallel"]

_PATIENCE = 60.0


class IPyParallel(Contender):
    """A cluster, started as in its documentation."""

    distributions = ("ipyparallel", "ipykernel", "pyzmq")
    why_no_progress = "only the latest published value of a task can be polled"
    why_no_records = "the hub keeps records only with a database"
    why_no_fan_out = why_no_progress
    why_no_status = "the hub does not distinguish queued and running tasks"

    def start(self) -> None:
        self._cluster = ipyparallel.Cluster(
            n=1, ipython_dir=str(self.place), log_level=logging.CRITICAL
        )
        self._client = self._cluster.start_and_connect_sync(activate=False)
        self._view = self._client.load_balanced_view()

    def stop(self) -> None:
        self._client.close()
        self._cluster.stop_cluster_sync()

    def processes(self) -> list[int]:
        import psutil

        return [child.pid for child in psutil.Process().children(recursive=True)]

    def keepers(self) -> list[int]:
        return self.processes()

    def submit(self, task: Task) -> Any:
        return self._view.apply_async(run, task, _ignore_report)

    def result(self, ticket: Any) -> object:
        try:
            return ticket.get(timeout=_PATIENCE)
        except ipyparallel.error.RemoteError as error:
            if error.ename == "KeyboardInterrupt":
                raise Cancelled from None
            raise

    def ping(self) -> object:
        return self._client.queue_status()

    def cancel(self, ticket: Any) -> None:
        self._client.send_signal(signal.SIGINT, block=True)


def _ignore_report(number: int, total: int, sent: float | None) -> None:
    pass
