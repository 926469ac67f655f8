"""Contenders with faults that the checks have to detect, and one without."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contender import Contender, OnReport
from bench.tasks import Task, reports

__all__ = ["Correct", "ForgetsTask", "LosesReport", "RepeatsReport", "WrongResults"]


class Correct(Contender):
    """Runs tasks in this process, without a fault."""

    def start(self) -> None:
        self._waiting = 0

    def stop(self) -> None:
        pass

    def processes(self) -> list[int]:
        return []

    def submit(self, task: Task) -> Task:
        self._waiting += task["do"] == "nothing"
        return task

    def result(self, ticket: Task) -> object:
        return ticket["number"] if ticket["do"] == "nothing" else ticket["events"]

    def execute_all(self, tasks: Sequence[Task]) -> list[object]:
        return [self.result(task) for task in tasks]

    def stream(self, task: Task, on_report: OnReport) -> object:
        for number, _, sent in reports(task):
            on_report(number, sent)
        return task["events"]

    def ping(self) -> object:
        return None

    def status(self, ticket: Task) -> str:
        return "running"

    def queued(self) -> int:
        return self._waiting

    def cancel(self, ticket: Task) -> None:
        pass


class WrongResults(Correct):
    """Returns one wrong result."""

    def result(self, ticket: Task) -> object:
        return 6 if ticket.get("number") == 7 else super().result(ticket)


class LosesReport(Correct):
    """Loses one report."""

    def stream(self, task: Task, on_report: OnReport) -> object:
        def sometimes(number: int, sent: float | None) -> None:
            if number != 7:
                on_report(number, sent)

        return super().stream(task, sometimes)


class RepeatsReport(Correct):
    """Delivers one report twice."""

    def stream(self, task: Task, on_report: OnReport) -> object:
        def twice(number: int, sent: float | None) -> None:
            for _ in range(1 + (number == 7)):
                on_report(number, sent)

        return super().stream(task, twice)


class ForgetsTask(Correct):
    """Drops one queued task."""

    def queued(self) -> int:
        return super().queued() - 1
