"""The states of executions: the table of moves, the interface of an engine, the one in memory."""

from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.transitions import TRANSITIONS, check_transition

__all__ = [
    "TRANSITIONS",
    "Execution",
    "InMemoryLifecycleEngine",
    "LifecycleEngine",
    "check_transition",
]
