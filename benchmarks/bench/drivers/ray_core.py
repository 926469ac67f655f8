"""Ray on this machine, with one CPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import psutil
import ray

from bench.contender import Cancelled, Contender, OnReport
from bench.tasks import Task, reports, run

__all__ = ["Ray"]

_PATIENCE = 60.0


class Ray(Contender):
    """Progress is a stream of the objects that a task yields."""

    distributions = ("ray",)
    single = True
    why_no_status = "its state API needs its dashboard"
    why_no_records = "results without a reference are released"
    why_no_fan_out = "only the submitting client receives the yielded objects"

    def start(self) -> None:
        # Otherwise it writes a token into the home directory and sends usage statistics.
        os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        with contextlib.redirect_stdout(None):
            ray.init(
                num_cpus=1,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                _temp_dir=str(self.place),
            )
        self._run = ray.remote(num_cpus=1, max_retries=0)(_run)
        self._stream = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_stream)

    def stop(self) -> None:
        family = psutil.Process().children(recursive=True)
        ray.shutdown()
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive)

    def processes(self) -> list[int]:
        return [child.pid for child in psutil.Process().children(recursive=True)]

    def keepers(self) -> list[int]:
        return [psutil.Process().pid]  # The submitting process holds the queue.

    def submit(self, task: Task) -> Any:
        return self._run.remote(task)

    def result(self, ticket: Any) -> object:
        try:
            return ray.get(ticket, timeout=_PATIENCE)
        except ray.exceptions.TaskCancelledError:
            raise Cancelled from None

    def execute_all(self, tasks: Any) -> list[object]:
        return list(ray.get([self.submit(task) for task in tasks]))

    def submit_all(self, tasks: Any) -> None:
        self._kept = [self.submit(task) for task in tasks]

    def stream(self, task: Task, on_report: OnReport) -> object:
        for reference in self._stream.remote(task):
            number, total, sent = ray.get(reference)
            on_report(number, sent)
        return total

    def ping(self) -> object:
        return ray.nodes()

    def cancel(self, ticket: Any) -> None:
        ray.cancel(ticket)


def _run(task: Task) -> object:
    return run(task, _ignore_report)


def _stream(task: Task) -> Iterator[tuple[int, int, float | None]]:
    yield from reports(task)


def _ignore_report(number: int, total: int, sent: float | None) -> None:
    pass
