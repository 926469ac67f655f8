"""Long-running tasks in a server process: submit, watch, cancel, come back, read the result.

A name is loaded when it is first asked for: a server's and a worker's start are waited for, and
neither needs all of them.
"""

import importlib

from zmqruntime.execution._version import __version__

TYPE_CHECKING = False  # To load `typing` would put off a worker's beginning.

if TYPE_CHECKING:
    from zmqruntime.execution.client.batch import (
        BatchHooks,
        BatchResult,
        BatchSubmitWaitEngine,
    )
    from zmqruntime.execution.client.client import (
        ExecutionClient,
    )
    from zmqruntime.execution.client.handle import (
        ExecutionHandle,
    )
    from zmqruntime.execution.client.launch import (
        ExecutionServerLauncher,
    )
    from zmqruntime.execution.client.poller import (
        ExecutionStatusPoller,
    )
    from zmqruntime.execution.client.record_client import RecordClient
    from zmqruntime.execution.client.subscriber import (
        ProgressCallback,
        ProgressStreamSubscriber,
    )
    from zmqruntime.execution.client.wait import (
        ExecutionWaiter,
        WaitPolicy,
    )
    from zmqruntime.execution.core.events import (
        ProgressReported,
        RunnerEvent,
        TaskRaised,
        TaskReturned,
        TaskStopped,
        WorkerExited,
        WorkerReady,
    )
    from zmqruntime.execution.core.scheduler import Scheduler
    from zmqruntime.execution.errors import (
        CommitFailed,
        Conflict,
        ExecutionCancelled,
        ExecutionError,
        ExecutionFailed,
        IllegalTransition,
        JournalError,
        JournalInUse,
        JournalUnavailable,
        JournalUnusable,
        QueueFull,
        RequestRejected,
        ResultDropped,
        ShuttingDown,
        TaskCancelled,
        UnknownExecution,
        UnpicklableServer,
        WaitTimeout,
        WorkerFailed,
    )
    from zmqruntime.execution.journal.durable_engine import JournalLifecycleEngine
    from zmqruntime.execution.lifecycle.engine import LifecycleEngine, QueuePage
    from zmqruntime.execution.lifecycle.events import (
        ExecutionEvent,
        ProgressReport,
        StateChange,
        compose_event,
        compose_messages,
    )
    from zmqruntime.execution.lifecycle.execution import Execution
    from zmqruntime.execution.lifecycle.history import HistoryLimits
    from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
    from zmqruntime.execution.lifecycle.queue import QueuePolicy
    from zmqruntime.execution.lifecycle.retry import RestartPolicy, RetryPolicy
    from zmqruntime.execution.runner import (
        RunnerHost,
        TaskRunner,
    )
    from zmqruntime.execution.server.dispatcher import (
        Dispatcher,
        Transport,
    )
    from zmqruntime.execution.server.server import (
        ExecutionServer,
    )
    from zmqruntime.execution.server.session import (
        ExecutionSession,
    )
    from zmqruntime.execution.worker.child.context import ExecutionContext
    from zmqruntime.execution.worker.child.interrupt import Interrupt
    from zmqruntime.execution.worker.child.reporter import ProgressReporter, ReportLink
    from zmqruntime.execution.worker.child.serialization import to_json_value
    from zmqruntime.execution.worker.child.task import run_task
    from zmqruntime.execution.worker.parent.process_runner import WorkerProcessRunner
    from zmqruntime.messages import ExecuteRequest

__all__ = [
    "BatchHooks",
    "BatchResult",
    "BatchSubmitWaitEngine",
    "CommitFailed",
    "Conflict",
    "Dispatcher",
    "ExecuteRequest",
    "Execution",
    "ExecutionCancelled",
    "ExecutionClient",
    "ExecutionContext",
    "ExecutionError",
    "ExecutionEvent",
    "ExecutionFailed",
    "ExecutionHandle",
    "ExecutionServer",
    "ExecutionServerLauncher",
    "ExecutionSession",
    "ExecutionStatusPoller",
    "ExecutionWaiter",
    "HistoryLimits",
    "IllegalTransition",
    "InMemoryLifecycleEngine",
    "Interrupt",
    "JournalError",
    "JournalInUse",
    "JournalLifecycleEngine",
    "JournalUnavailable",
    "JournalUnusable",
    "LifecycleEngine",
    "ProgressCallback",
    "ProgressReport",
    "ProgressReported",
    "ProgressReporter",
    "ProgressStreamSubscriber",
    "QueueFull",
    "QueuePage",
    "QueuePolicy",
    "RecordClient",
    "ReportLink",
    "RequestRejected",
    "RestartPolicy",
    "ResultDropped",
    "RetryPolicy",
    "RunnerEvent",
    "RunnerHost",
    "Scheduler",
    "ShuttingDown",
    "StateChange",
    "TaskCancelled",
    "TaskRaised",
    "TaskReturned",
    "TaskRunner",
    "TaskStopped",
    "Transport",
    "UnknownExecution",
    "UnpicklableServer",
    "WaitPolicy",
    "WaitTimeout",
    "WorkerExited",
    "WorkerFailed",
    "WorkerProcessRunner",
    "WorkerReady",
    "__version__",
    "compose_event",
    "compose_messages",
    "run_task",
    "to_json_value",
]

_HOMES = {
    "BatchHooks": "client.batch",
    "BatchResult": "client.batch",
    "BatchSubmitWaitEngine": "client.batch",
    "CommitFailed": "errors",
    "Conflict": "errors",
    "Dispatcher": "server.dispatcher",
    "ExecuteRequest": "worker.child.context",
    "Execution": "lifecycle.execution",
    "ExecutionCancelled": "errors",
    "ExecutionClient": "client.client",
    "ExecutionContext": "worker.child.context",
    "ExecutionError": "errors",
    "ExecutionEvent": "lifecycle.events",
    "ExecutionFailed": "errors",
    "ExecutionHandle": "client.handle",
    "ExecutionServer": "server.server",
    "ExecutionServerLauncher": "client.launch",
    "ExecutionSession": "server.session",
    "ExecutionStatusPoller": "client.poller",
    "ExecutionWaiter": "client.wait",
    "IllegalTransition": "errors",
    "HistoryLimits": "lifecycle.history",
    "InMemoryLifecycleEngine": "lifecycle.memory",
    "Interrupt": "worker.child.interrupt",
    "JournalError": "errors",
    "JournalInUse": "errors",
    "JournalLifecycleEngine": "journal.durable_engine",
    "JournalUnavailable": "errors",
    "JournalUnusable": "errors",
    "LifecycleEngine": "lifecycle.engine",
    "Transport": "server.dispatcher",
    "ProgressCallback": "client.subscriber",
    "ProgressReport": "lifecycle.events",
    "ProgressReported": "core.events",
    "ProgressReporter": "worker.child.reporter",
    "ProgressStreamSubscriber": "client.subscriber",
    "QueueFull": "errors",
    "QueuePage": "lifecycle.engine",
    "RecordClient": "client.record_client",
    "QueuePolicy": "lifecycle.queue",
    "ReportLink": "worker.child.reporter",
    "RequestRejected": "errors",
    "ResultDropped": "errors",
    "RestartPolicy": "lifecycle.retry",
    "RetryPolicy": "lifecycle.retry",
    "RunnerEvent": "core.events",
    "RunnerHost": "runner",
    "Scheduler": "core.scheduler",
    "ShuttingDown": "errors",
    "StateChange": "lifecycle.events",
    "TaskCancelled": "errors",
    "TaskRaised": "core.events",
    "TaskReturned": "core.events",
    "TaskRunner": "runner",
    "TaskStopped": "core.events",
    "UnknownExecution": "errors",
    "UnpicklableServer": "errors",
    "WaitPolicy": "client.wait",
    "WaitTimeout": "errors",
    "WorkerExited": "core.events",
    "WorkerFailed": "errors",
    "WorkerProcessRunner": "worker.parent.process_runner",
    "WorkerReady": "core.events",
    "compose_event": "lifecycle.events",
    "compose_messages": "lifecycle.events",
    "run_task": "worker.child.task",
    "to_json_value": "worker.child.serialization",
}

if not TYPE_CHECKING:  # To a type checker, any name would do.

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
