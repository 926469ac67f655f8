"""Long-running tasks in a server process: submit, watch, cancel, come back, read the result.

Names are imported on first access, because a server's and a worker's start need few of them.
"""

import importlib

from zmqruntime.execution._version import __version__

TYPE_CHECKING = False  # Importing `typing` would delay a worker's start.

if TYPE_CHECKING:
    from zmqruntime.execution.client.batch import BatchHooks as BatchHooks
    from zmqruntime.execution.client.batch import BatchResult as BatchResult
    from zmqruntime.execution.client.batch import BatchSubmitWaitEngine as BatchSubmitWaitEngine
    from zmqruntime.execution.client.client import ExecutionClient as ExecutionClient
    from zmqruntime.execution.client.handle import ExecutionHandle as ExecutionHandle
    from zmqruntime.execution.client.launch import (
        ExecutionServerLauncher as ExecutionServerLauncher,
    )
    from zmqruntime.execution.client.poller import ExecutionStatusPoller as ExecutionStatusPoller
    from zmqruntime.execution.client.record_client import RecordClient as RecordClient
    from zmqruntime.execution.client.subscriber import ProgressCallback as ProgressCallback
    from zmqruntime.execution.client.subscriber import (
        ProgressStreamSubscriber as ProgressStreamSubscriber,
    )
    from zmqruntime.execution.client.wait import ExecutionWaiter as ExecutionWaiter
    from zmqruntime.execution.client.wait import WaitPolicy as WaitPolicy
    from zmqruntime.execution.core.events import ProgressReported as ProgressReported
    from zmqruntime.execution.core.events import RunnerEvent as RunnerEvent
    from zmqruntime.execution.core.events import TaskRaised as TaskRaised
    from zmqruntime.execution.core.events import TaskReturned as TaskReturned
    from zmqruntime.execution.core.events import TaskStopped as TaskStopped
    from zmqruntime.execution.core.events import WorkerExited as WorkerExited
    from zmqruntime.execution.core.events import WorkerReady as WorkerReady
    from zmqruntime.execution.errors import CommitFailed as CommitFailed
    from zmqruntime.execution.errors import Conflict as Conflict
    from zmqruntime.execution.errors import ExecutionCancelled as ExecutionCancelled
    from zmqruntime.execution.errors import ExecutionError as ExecutionError
    from zmqruntime.execution.errors import ExecutionFailed as ExecutionFailed
    from zmqruntime.execution.errors import IllegalTransition as IllegalTransition
    from zmqruntime.execution.errors import JournalError as JournalError
    from zmqruntime.execution.errors import JournalInUse as JournalInUse
    from zmqruntime.execution.errors import JournalUnavailable as JournalUnavailable
    from zmqruntime.execution.errors import JournalUnusable as JournalUnusable
    from zmqruntime.execution.errors import QueueFull as QueueFull
    from zmqruntime.execution.errors import RequestRejected as RequestRejected
    from zmqruntime.execution.errors import ResultDropped as ResultDropped
    from zmqruntime.execution.errors import ShuttingDown as ShuttingDown
    from zmqruntime.execution.errors import TaskCancelled as TaskCancelled
    from zmqruntime.execution.errors import UnknownExecution as UnknownExecution
    from zmqruntime.execution.errors import UnpicklableServer as UnpicklableServer
    from zmqruntime.execution.errors import WaitTimeout as WaitTimeout
    from zmqruntime.execution.errors import WorkerFailed as WorkerFailed
    from zmqruntime.execution.journal.durable_engine import (
        JournalLifecycleEngine as JournalLifecycleEngine,
    )
    from zmqruntime.execution.lifecycle.engine import LifecycleEngine as LifecycleEngine
    from zmqruntime.execution.lifecycle.engine import QueuePage as QueuePage
    from zmqruntime.execution.lifecycle.events import ProgressReport as ProgressReport
    from zmqruntime.execution.lifecycle.execution import Execution as Execution
    from zmqruntime.execution.lifecycle.history import HistoryLimits as HistoryLimits
    from zmqruntime.execution.lifecycle.memory import (
        InMemoryLifecycleEngine as InMemoryLifecycleEngine,
    )
    from zmqruntime.execution.lifecycle.queue import QueuePolicy as QueuePolicy
    from zmqruntime.execution.lifecycle.retry import RestartPolicy as RestartPolicy
    from zmqruntime.execution.lifecycle.retry import RetryPolicy as RetryPolicy
    from zmqruntime.execution.runner import RunnerHost as RunnerHost
    from zmqruntime.execution.runner import TaskRunner as TaskRunner
    from zmqruntime.execution.server.server import ExecutionServer as ExecutionServer
    from zmqruntime.execution.worker.child.context import ExecutionContext as ExecutionContext
    from zmqruntime.execution.worker.child.reporter import ProgressReporter as ProgressReporter
    from zmqruntime.execution.worker.child.serialization import to_json_value as to_json_value
    from zmqruntime.messages import ExecuteRequest as ExecuteRequest

_NAMES = {
    # Clients.
    "client.client": ("ExecutionClient",),
    "client.record_client": ("RecordClient",),
    "client.handle": ("ExecutionHandle",),
    "client.wait": ("ExecutionWaiter", "WaitPolicy"),
    "client.poller": ("ExecutionStatusPoller",),
    "client.batch": ("BatchHooks", "BatchResult", "BatchSubmitWaitEngine"),
    "client.launch": ("ExecutionServerLauncher",),
    "client.subscriber": ("ProgressCallback", "ProgressStreamSubscriber"),
    # Servers and their tasks.
    "server.server": ("ExecutionServer",),
    "worker.child.context": ("ExecuteRequest", "ExecutionContext"),
    "worker.child.reporter": ("ProgressReporter",),
    "worker.child.serialization": ("to_json_value",),
    "lifecycle.queue": ("QueuePolicy",),
    "lifecycle.retry": ("RestartPolicy", "RetryPolicy"),
    "lifecycle.history": ("HistoryLimits",),
    # Errors.
    "errors": (
        "CommitFailed",
        "Conflict",
        "ExecutionCancelled",
        "ExecutionError",
        "ExecutionFailed",
        "IllegalTransition",
        "JournalError",
        "JournalInUse",
        "JournalUnavailable",
        "JournalUnusable",
        "QueueFull",
        "RequestRejected",
        "ResultDropped",
        "ShuttingDown",
        "TaskCancelled",
        "UnknownExecution",
        "UnpicklableServer",
        "WaitTimeout",
        "WorkerFailed",
    ),
    # For implementations of `LifecycleEngine`.
    "lifecycle.engine": ("LifecycleEngine", "QueuePage"),
    "lifecycle.memory": ("InMemoryLifecycleEngine",),
    "journal.durable_engine": ("JournalLifecycleEngine",),
    "lifecycle.execution": ("Execution",),
    "lifecycle.events": ("ProgressReport",),
    # For implementations of `TaskRunner`.
    "runner": ("RunnerHost", "TaskRunner"),
    "core.events": (
        "ProgressReported",
        "RunnerEvent",
        "TaskRaised",
        "TaskReturned",
        "TaskStopped",
        "WorkerExited",
        "WorkerReady",
    ),
}

_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOMES)]

if not TYPE_CHECKING:  # A type checker would accept any name.

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"zmqruntime.execution.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
