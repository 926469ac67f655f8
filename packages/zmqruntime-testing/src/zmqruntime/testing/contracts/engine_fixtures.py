"""What the tests of an engine stand on: how to make one, fill it and read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest

from zmqruntime.execution import LifecycleEngine, QueuePolicy
from zmqruntime.messages import ExecuteRequest, ExecutionStatus

__all__ = ["EngineFixtures", "make_request"]


class EngineFixtures(ABC):
    """Some tests of lifecycle engines."""

    @abstractmethod
    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        """Return a new, empty engine that keeps so many records that were read, for so long.

        And any number that was not read, but nothing that has ended for a limit of 0.
        """

    @pytest.fixture
    def engine(self) -> LifecycleEngine:
        """A new engine with room for history."""
        return self.make_engine(1000)

    @staticmethod
    def submit(engine: LifecycleEngine, *execution_ids: str, **fields: Any) -> None:
        """Submit executions at the time 1.0."""
        for execution_id in execution_ids:
            engine.submit(make_request(execution_id, **fields), 1.0)

    def run_to_end(self, engine: LifecycleEngine, *execution_ids: str) -> None:
        """Submit, start and complete executions, one after the other."""
        for execution_id in execution_ids:
            self.submit(engine, execution_id)
            engine.start(execution_id, 2.0)
            engine.finish(execution_id, ExecutionStatus.COMPLETE, 3.0, result=b"1")

    def run_and_read(self, engine: LifecycleEngine, *execution_ids: str) -> None:
        """Submit, start and complete executions, each of which is read when it has ended."""
        for execution_id in execution_ids:
            self.run_to_end(engine, execution_id)
            engine.mark_read(execution_id)

    @staticmethod
    def read_queue(engine: LifecycleEngine, limit: int = 100) -> list[str]:
        """Return the names in the queue, read in pages of ``limit``."""
        found: list[str] = []
        cursor = None
        while True:
            page, cursor = engine.list_queued(limit, cursor)
            assert len(page) <= limit
            for place, execution in page:
                found.append(execution.execution_id)
                assert place == len(found)
            if cursor is None:
                return found


def make_request(execution_id: str, **fields: Any) -> ExecuteRequest:
    """Return a request for a task, in which little is said."""
    return ExecuteRequest(execution_id=execution_id, **{"client_id": "lab", "task": {}} | fields)
