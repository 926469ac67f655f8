"""Parts of the server and the worker, for hosts and test doubles. Unstable.

These names may change or disappear in any release. `zmqruntime.testing` builds its fakes from
them: a `Scheduler` and a `Dispatcher` with a `Transport` of its own make an execution server
without sockets; `run_task` with an `Interrupt` runs a task without a worker process.

Names are imported on first access.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqruntime.execution.core.scheduler import Scheduler as Scheduler
    from zmqruntime.execution.lifecycle.events import ExecutionEvent as ExecutionEvent
    from zmqruntime.execution.lifecycle.events import StateChange as StateChange
    from zmqruntime.execution.lifecycle.events import compose_event as compose_event
    from zmqruntime.execution.lifecycle.events import compose_messages as compose_messages
    from zmqruntime.execution.server.dispatcher import Dispatcher as Dispatcher
    from zmqruntime.execution.server.dispatcher import Transport as Transport
    from zmqruntime.execution.server.session import ExecutionSession as ExecutionSession
    from zmqruntime.execution.worker.child.interrupt import Interrupt as Interrupt
    from zmqruntime.execution.worker.child.reporter import ReportLink as ReportLink
    from zmqruntime.execution.worker.child.task import run_task as run_task
    from zmqruntime.execution.worker.parent.process_runner import (
        WorkerProcessRunner as WorkerProcessRunner,
    )

_NAMES = {
    "core.scheduler": ("Scheduler",),
    "lifecycle.events": ("ExecutionEvent", "StateChange", "compose_event", "compose_messages"),
    "server.dispatcher": ("Dispatcher", "Transport"),
    "server.session": ("ExecutionSession",),
    "worker.child.interrupt": ("Interrupt",),
    "worker.child.reporter": ("ReportLink",),
    "worker.child.task": ("run_task",),
    "worker.parent.process_runner": ("WorkerProcessRunner",),
}

_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)

if not TYPE_CHECKING:  # A type checker would accept any name.

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"zmqruntime.execution.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
