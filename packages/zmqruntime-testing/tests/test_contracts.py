"""The engines, runner and launcher of the project pass the public contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zmqruntime.execution import (
    ExecutionServer,
    ExecutionServerLauncher,
    InMemoryLifecycleEngine,
    JournalLifecycleEngine,
    LifecycleEngine,
    QueuePolicy,
    TaskRunner,
)
from zmqruntime.execution.lowlevel import WorkerProcessRunner
from zmqruntime.testing.contracts import (
    LifecycleEngineContract,
    ServerLauncherContract,
    StandardServer,
    TaskRunnerContract,
)
from zmqruntime.transport import ServerLauncher


class TestInMemoryLifecycleEngine(LifecycleEngineContract):
    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        return InMemoryLifecycleEngine(
            history_limit, queue_policy=queue_policy, history_seconds=history_seconds
        )


class TestJournalLifecycleEngine(LifecycleEngineContract):
    @pytest.fixture(autouse=True)
    def _close_engines(self, tmp_path: Path) -> Iterator[None]:
        self.directory = tmp_path
        self.engines: list[JournalLifecycleEngine] = []
        yield
        for engine in self.engines:
            engine.close()

    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        engine = JournalLifecycleEngine(
            self.directory / f"journal{len(self.engines)}",
            history_limit,
            queue_policy=queue_policy,
            history_seconds=history_seconds,
        )
        self.engines.append(engine)
        return engine


class TestWorkerProcessRunner(TaskRunnerContract):
    def make_runner(self, server: ExecutionServer) -> TaskRunner:
        return WorkerProcessRunner(server)


class TestExecutionServerLauncher(ServerLauncherContract):
    def make_launcher(self) -> ServerLauncher:
        return ExecutionServerLauncher(StandardServer)
