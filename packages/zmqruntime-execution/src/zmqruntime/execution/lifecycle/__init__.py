"""The states of executions: the table of moves, the interface of an engine, the one in memory."""

from zmqruntime.execution.lifecycle.engine import LifecycleEngine, QueuePage
from zmqruntime.execution.lifecycle.events import (
    ExecutionEvent,
    ProgressReport,
    StateChange,
    compose_event,
)
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.queue import QueuePolicy
from zmqruntime.execution.lifecycle.retry import RetryPolicy, make_attempt
from zmqruntime.execution.lifecycle.transitions import TRANSITIONS, check_transition

__all__ = [
    "TRANSITIONS",
    "Execution",
    "ExecutionEvent",
    "InMemoryLifecycleEngine",
    "LifecycleEngine",
    "ProgressReport",
    "QueuePage",
    "QueuePolicy",
    "RetryPolicy",
    "StateChange",
    "check_transition",
    "compose_event",
    "make_attempt",
]
