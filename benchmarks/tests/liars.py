"""Contenders with wrong work, none of which may get a figure, and an honest one."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contender import Contender, Hear
from bench.tasks import Task, reports

__all__ = ["Forgets", "Honest", "Loses", "Repeats", "Wrongs"]


class Honest(Contender):
    """Executes each task immediately, in this process."""

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

    def stream(self, task: Task, hear: Hear) -> object:
        for number, _, sent in reports(task):
            hear(number, sent)
        return task["events"]

    def ping(self) -> object:
        return None

    def status(self, ticket: Task) -> str:
        return "running"

    def queued(self) -> int:
        return self._waiting

    def cancel(self, ticket: Task) -> None:
        pass


class Wrongs(Honest):
    """Returns the result of another task once."""

    def result(self, ticket: Task) -> object:
        return 6 if ticket.get("number") == 7 else super().result(ticket)


class Loses(Honest):
    """Loses one report."""

    def stream(self, task: Task, hear: Hear) -> object:
        def sometimes(number: int, sent: float | None) -> None:
            if number != 7:
                hear(number, sent)

        return super().stream(task, sometimes)


class Repeats(Honest):
    """Delivers one report twice."""

    def stream(self, task: Task, hear: Hear) -> object:
        def twice(number: int, sent: float | None) -> None:
            for _ in range(1 + (number == 7)):
                hear(number, sent)

        return super().stream(task, twice)


class Forgets(Honest):
    """Reports one queued task too few."""

    def queued(self) -> int:
        return super().queued() - 1
