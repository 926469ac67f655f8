"""Help for those who test an application built on zmqruntime.

Its fixtures are there as soon as the package is installed. pytest imports this package in every
run for their sake, so that a name is loaded when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING

from zmqruntime.testing._version import __version__

if TYPE_CHECKING:
    from zmqruntime.testing.clients import ClientFactory
    from zmqruntime.testing.endpoint import isolated_config
    from zmqruntime.testing.errors import LeftRunning
    from zmqruntime.testing.servers import ServerFactory
    from zmqruntime.testing.task_environment import TaskEnvironment

__all__ = [
    "ClientFactory",
    "LeftRunning",
    "ServerFactory",
    "TaskEnvironment",
    "__version__",
    "isolated_config",
]

_HOMES = {
    "ClientFactory": "clients",
    "LeftRunning": "errors",
    "ServerFactory": "servers",
    "TaskEnvironment": "task_environment",
    "isolated_config": "endpoint",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
