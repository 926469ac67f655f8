"""Tests to inherit, for those who write an engine, a runner or a launcher of their own.

``class TestMyRunner(TaskRunnerContract)`` with its one abstract method is a whole test module.
"""

from zmqruntime.testing.contracts.engine import LifecycleEngineContract
from zmqruntime.testing.contracts.launcher import ServerLauncherContract
from zmqruntime.testing.contracts.runner import RunnerBench, TaskRunnerContract
from zmqruntime.testing.standard_tasks import StandardServer

__all__ = [
    "LifecycleEngineContract",
    "RunnerBench",
    "ServerLauncherContract",
    "StandardServer",
    "TaskRunnerContract",
]
