"""Long-running tasks in a server process: submit, watch, cancel, come back, read the result."""

from zmqruntime.execution._version import __version__
from zmqruntime.execution.batch import (
    BatchHooks,
    BatchResult,
    BatchSubmitWaitEngine,
)
from zmqruntime.execution.client import (
    ExecutionClient,
)
from zmqruntime.execution.core import (
    RestartPolicy,
    Scheduler,
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
from zmqruntime.execution.dispatcher import (
    Dispatcher,
    Outlet,
)
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
    ShuttingDown,
    TaskCancelled,
    UnknownExecution,
    UnpicklableServer,
    WaitTimeout,
    WorkerFailed,
)
from zmqruntime.execution.handle import (
    ExecutionHandle,
)
from zmqruntime.execution.launch import (
    ExecutionServerLauncher,
)
from zmqruntime.execution.lifecycle import (
    Execution,
    ExecutionEvent,
    InMemoryLifecycleEngine,
    JournalLifecycleEngine,
    LifecycleEngine,
    ProgressReport,
    QueuePage,
    QueuePolicy,
    RetryPolicy,
    StateChange,
    compose_event,
)
from zmqruntime.execution.poller import (
    ExecutionStatusPoller,
)
from zmqruntime.execution.progress import (
    ProgressCallback,
    ProgressStreamSubscriber,
)
from zmqruntime.execution.runner import (
    RunnerHost,
    TaskRunner,
)
from zmqruntime.execution.server import (
    ExecutionServer,
)
from zmqruntime.execution.session import (
    ExecutionSession,
)
from zmqruntime.execution.wait import (
    ExecutionWaiter,
    WaitPolicy,
)
from zmqruntime.execution.worker import (
    ExecutionContext,
    Interrupt,
    ProgressReporter,
    ReportLink,
    WorkerProcessRunner,
    run_task,
)
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
    "IllegalTransition",
    "InMemoryLifecycleEngine",
    "Interrupt",
    "JournalError",
    "JournalInUse",
    "JournalLifecycleEngine",
    "JournalUnavailable",
    "JournalUnusable",
    "LifecycleEngine",
    "Outlet",
    "ProgressCallback",
    "ProgressReport",
    "ProgressReported",
    "ProgressReporter",
    "ProgressStreamSubscriber",
    "QueueFull",
    "QueuePage",
    "QueuePolicy",
    "ReportLink",
    "RequestRejected",
    "RestartPolicy",
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
    "run_task",
]
