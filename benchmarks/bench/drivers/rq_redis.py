"""RQ on Redis: one worker, which forks a process for each job."""

from __future__ import annotations

import sys
from typing import Any

from rq import Queue
from rq.command import send_stop_job_command
from rq.job import Job

from bench.contender import Cancelled, Contender
from bench.drivers.process_group import ProcessGroup
from bench.drivers.redis_server import start_redis, url_of
from bench.tasks import Task, run

__all__ = ["RQ", "perform"]

_PATIENCE = 60.0
_STATES = {"started": "running", "finished": "complete", "stopped": "cancelled"}


def perform(task: Task) -> object:
    """The function that the worker runs."""
    return run(task, _ignore_report)


class RQ(Contender):
    """The worker of `rq worker`."""

    distributions = ("rq", "redis")
    why_no_progress = "the metadata of a job in Redis have to be polled"
    why_no_fan_out = why_no_progress

    def start(self) -> None:
        self._group = ProcessGroup(self.place)
        self._redis = start_redis(self._group, self.place)
        self._queue = Queue(connection=self._redis, default_timeout=3600)
        command = "from rq.cli import main; main()"
        self._group.start([sys.executable, "-c", command, "worker", "-u", url_of(self._redis)])

    def stop(self) -> None:
        self._redis.close()
        self._group.end()

    def processes(self) -> list[int]:
        return self._group.pids

    def submit(self, task: Task) -> Job:
        return self._queue.enqueue(perform, task)

    def result(self, ticket: Job) -> object:
        found: Any = ticket.latest_result(timeout=int(_PATIENCE))
        if found is not None and found.type == found.Type.SUCCESSFUL:
            return found.return_value
        if ticket.get_status(refresh=True) == "stopped":
            raise Cancelled
        return found

    def ping(self) -> object:
        return self._redis.ping()

    def status(self, ticket: Job) -> str:
        state = str(ticket.get_status(refresh=True).value)
        return _STATES.get(state, state)

    def queued(self) -> int:
        return len(self._queue)

    def cancel(self, ticket: Job) -> None:
        send_stop_job_command(self._redis, ticket.id)


def _ignore_report(number: int, total: int, sent: float | None) -> None:
    pass
