"""Fixtures and helpers of the engine contracts: create an engine, fill it, read its queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest

from zmqruntime.execution import LifecycleEngine, QueuePolicy
from zmqruntime.messages import ExecuteRequest, ExecutionStatus

__all__ = ["EngineFixtures", "make_request"]


class EngineFixtures(ABC):
    """Base of the engine contracts."""

    @abstractmethod
    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        """Return a new, empty engine.

        Args:
            history_limit: the number of read records to keep. Unread records are not counted;
                with 0, no record of an ended execution is kept.
            queue_policy: the policy of the queue.
            history_seconds: the age at which records are evicted; None for no limit.
        """

    @pytest.fixture
    def engine(self) -> LifecycleEngine:
        """A new engine with room for history."""
        return self.make_engine(1000)

    @staticmethod
    def submit(engine: LifecycleEngine, *execution_ids: str, **fields: Any) -> None:
        """Submit executions at time 1.0."""
        for execution_id in execution_ids:
            engine.submit(make_request(execution_id, **fields), 1.0)

    def run_to_end(self, engine: LifecycleEngine, *execution_ids: str) -> None:
        """Submit, start and complete executions, one by one."""
        for execution_id in execution_ids:
            self.submit(engine, execution_id)
            engine.start(execution_id, 2.0)
            engine.finish(execution_id, ExecutionStatus.COMPLETE, 3.0, result=b"1")

    def run_and_read(self, engine: LifecycleEngine, *execution_ids: str) -> None:
        """Submit, start and complete executions, and mark each as read."""
        for execution_id in execution_ids:
            self.run_to_end(engine, execution_id)
            engine.mark_read(execution_id)

    @staticmethod
    def read_queue(engine: LifecycleEngine, limit: int = 100) -> list[str]:
        """Return the ids in the queue, read in pages of ``limit``."""
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
    """Return a request with default fields."""
    return ExecuteRequest(execution_id=execution_id, **{"client_id": "lab", "task": {}} | fields)
