"""Tasks in a process of their own: the parent's side, the child's side, what a task is given."""

from zmqruntime.execution.worker.context import ExecutionContext
from zmqruntime.execution.worker.interrupt import Interrupt
from zmqruntime.execution.worker.process_runner import WorkerProcessRunner
from zmqruntime.execution.worker.reporter import ProgressReporter, ReportLink
from zmqruntime.execution.worker.task import run_task

__all__ = [
    "ExecutionContext",
    "Interrupt",
    "ProgressReporter",
    "ReportLink",
    "WorkerProcessRunner",
    "run_task",
]
