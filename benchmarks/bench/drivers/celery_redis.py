"""Celery on Redis: one worker with one process, which prefetches one message.

``celery -A bench.drivers.celery_redis worker`` is the worker; it finds Redis in BENCH_REDIS.
"""

from __future__ import annotations

import os
from typing import Any

import celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

from bench.contender import Cancelled, Contender, OnReport
from bench.drivers.process_group import ProcessGroup
from bench.drivers.redis_server import start_redis, url_of
from bench.tasks import Task, run

__all__ = ["Celery", "app"]

_PATIENCE = 60.0
_STATES = {"STARTED": "running", "PROGRESS": "running", "PENDING": "queued", "SUCCESS": "complete"}


def _make_app(url: str) -> Any:
    made = celery.Celery("bench", broker=url, backend=url)
    made.conf.worker_prefetch_multiplier = 1
    made.conf.broker_connection_retry_on_startup = True
    return made


def _run(self: Any, task: Task) -> object:
    def send_report(number: int, total: int, sent: float | None) -> None:
        self.update_state(state="PROGRESS", meta=(number, total, sent))

    return run(task, send_report)


app = _make_app(os.environ.get("BENCH_REDIS", ""))
app.task(_run, bind=True, name="run")
# Tracking of the start is optional, since it takes time.
app.task(_run, bind=True, name="run_and_report", track_started=True)


class Celery(Contender):
    """Progress is a state of the result, which the backend publishes."""

    distributions = ("celery", "redis")
    why_no_fan_out = "not driven: results are watched by id"

    def start(self) -> None:
        self._group = ProcessGroup(self.place)
        self._redis = start_redis(self._group, self.place)
        url = url_of(self._redis)
        self._app = _make_app(url)
        self._group.start_module(
            "celery -A bench.drivers.celery_redis worker --concurrency 1 --loglevel ERROR",
            {"BENCH_REDIS": url, "C_FORCE_ROOT": "1"},
        )

    def stop(self) -> None:
        self._app.close()
        self._redis.close()
        self._group.end()

    def processes(self) -> list[int]:
        return self._group.pids

    def submit(self, task: Task) -> Any:
        name = "run" if task["do"] == "nothing" else "run_and_report"
        return self._app.send_task(name, (task,))

    def result(self, ticket: Any) -> object:
        try:
            return ticket.get(timeout=_PATIENCE)
        except TaskRevokedError:
            raise Cancelled from None

    def submit_all(self, tasks: Any) -> None:
        for task in tasks:
            self._app.send_task("run", (task,), ignore_result=True)

    def stream(self, task: Task, on_report: OnReport) -> object:
        def listen(message: dict[str, Any]) -> None:
            if message["status"] == "PROGRESS":
                number, _, sent = message["result"]
                on_report(number, sent)

        return self.submit(task).get(timeout=_PATIENCE, on_message=listen)

    def ping(self) -> object:
        return self._app.control.ping(timeout=_PATIENCE, limit=1)

    def status(self, ticket: Any) -> str:
        state = str(AsyncResult(ticket.id, app=self._app).state)
        return _STATES.get(state, state)

    def queued(self) -> int:
        ahead = self._app.control.inspect(timeout=_PATIENCE, limit=1).reserved()
        return int(self._redis.llen("celery")) + sum(map(len, ahead.values()))

    def cancel(self, ticket: Any) -> None:
        ticket.revoke(terminate=True)
