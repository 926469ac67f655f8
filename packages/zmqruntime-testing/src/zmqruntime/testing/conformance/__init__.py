"""Conformance checks of the wire protocol, for servers in any language.

`run` checks a server, as the command ``zmqruntime-conformance`` does. `StandardServer` is a Python
server with the standard tasks that the checks need.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqruntime.testing.conformance.report import Finding, Verdict
    from zmqruntime.testing.conformance.suite import run
    from zmqruntime.testing.conformance.target import Target, TargetError
    from zmqruntime.testing.standard_tasks import StandardServer, StandardTasks

__all__ = [
    "Finding",
    "StandardServer",
    "StandardTasks",
    "Target",
    "TargetError",
    "Verdict",
    "run",
]

# Lazy, so that a worker process that imports the standard tasks does not load pytest.
_LAZY_MODULES = {
    "Finding": ".report",
    "StandardServer": "..standard_tasks",
    "StandardTasks": "..standard_tasks",
    "Target": ".target",
    "TargetError": ".target",
    "Verdict": ".report",
    "run": ".suite",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
