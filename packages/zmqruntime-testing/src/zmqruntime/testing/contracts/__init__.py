"""Contract tests to inherit, for implementations of an engine, a runner or a launcher.

``class TestMyRunner(TaskRunnerContract)`` with its one abstract method is a complete test module.
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
