"""The project's own engine, runners and launcher keep the promises that others inherit."""

from __future__ import annotations

from zmqruntime.execution import (
    ExecutionServer,
    ExecutionServerLauncher,
    InMemoryLifecycleEngine,
    LifecycleEngine,
    TaskRunner,
    WorkerProcessRunner,
)
from zmqruntime.testing.contracts import (
    LifecycleEngineContract,
    ServerLauncherContract,
    StandardServer,
    TaskRunnerContract,
)
from zmqruntime.transport import ServerLauncher


class TestInMemoryLifecycleEngine(LifecycleEngineContract):
    def make_engine(self, history_limit: int) -> LifecycleEngine:
        return InMemoryLifecycleEngine(history_limit)


class TestWorkerProcessRunner(TaskRunnerContract):
    def make_runner(self, server: ExecutionServer) -> TaskRunner:
        return WorkerProcessRunner(server)


class TestExecutionServerLauncher(ServerLauncherContract):
    def make_launcher(self) -> ServerLauncher:
        return ExecutionServerLauncher(StandardServer)
