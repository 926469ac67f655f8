"""Test support for applications built on zmqruntime.

Installing the package registers its pytest fixtures. pytest imports this package in every run,
so names are loaded on first access.
"""

import importlib
from typing import TYPE_CHECKING

from zmqruntime.testing._version import __version__

if TYPE_CHECKING:
    from zmqruntime.testing.clients import ClientFactory
    from zmqruntime.testing.clock import MovableClock
    from zmqruntime.testing.endpoint import isolated_config
    from zmqruntime.testing.errors import (
        LeftRunning,
        ProxyFailed,
        RuleNeverFired,
        ScriptMismatch,
        UsedAfterTest,
    )
    from zmqruntime.testing.fake import (
        FakeExecutionServer,
        InMemoryExecutionServer,
        Script,
        connect_in_memory,
    )
    from zmqruntime.testing.fake.fake_factory import FakeServerFactory
    from zmqruntime.testing.faults import Fault, FaultProxy, Lane, Rule
    from zmqruntime.testing.faults.proxy_factory import FaultProxyFactory
    from zmqruntime.testing.recorded_progress import RecordedProgress
    from zmqruntime.testing.servers import ServerFactory
    from zmqruntime.testing.task_environment import TaskEnvironment

__all__ = [
    "ClientFactory",
    "FakeExecutionServer",
    "FakeServerFactory",
    "Fault",
    "FaultProxy",
    "FaultProxyFactory",
    "InMemoryExecutionServer",
    "Lane",
    "LeftRunning",
    "MovableClock",
    "ProxyFailed",
    "RecordedProgress",
    "Rule",
    "RuleNeverFired",
    "Script",
    "ScriptMismatch",
    "ServerFactory",
    "TaskEnvironment",
    "UsedAfterTest",
    "__version__",
    "connect_in_memory",
    "isolated_config",
]

_LAZY_MODULES = {
    "ClientFactory": "clients",
    "FakeExecutionServer": "fake",
    "FakeServerFactory": "fake.fake_factory",
    "Fault": "faults",
    "FaultProxy": "faults",
    "FaultProxyFactory": "faults.proxy_factory",
    "InMemoryExecutionServer": "fake",
    "Lane": "faults",
    "LeftRunning": "errors",
    "MovableClock": "clock",
    "ProxyFailed": "errors",
    "RecordedProgress": "recorded_progress",
    "Rule": "faults",
    "RuleNeverFired": "errors",
    "Script": "fake",
    "ScriptMismatch": "errors",
    "ServerFactory": "servers",
    "TaskEnvironment": "task_environment",
    "UsedAfterTest": "errors",
    "connect_in_memory": "fake",
    "isolated_config": "endpoint",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
