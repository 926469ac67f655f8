"""The transitions between the states of an execution.

A transition that is not in the table is a defect, and raises. Terminal states have none.

    queued ----> running ----> complete
       |            |--------> failed
       |            `--------> cancelled
       |---------------------> cancelled
       `---------------------> failed

A running execution that is retried, or that its worker had not begun, goes back to queued. A queued
one fails when no worker can be started.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from zmqruntime.execution.errors import IllegalTransition
from zmqruntime.messages import ExecutionStatus

__all__ = ["TRANSITIONS", "check_transition"]

_S = ExecutionStatus

TRANSITIONS: Final[Mapping[ExecutionStatus, frozenset[ExecutionStatus]]] = MappingProxyType(
    {
        _S.QUEUED: frozenset({_S.RUNNING, _S.CANCELLED, _S.FAILED}),
        _S.RUNNING: frozenset({_S.COMPLETE, _S.FAILED, _S.CANCELLED, _S.QUEUED}),
        _S.COMPLETE: frozenset(),
        _S.FAILED: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)


def check_transition(execution_id: str, before: ExecutionStatus, after: ExecutionStatus) -> None:
    """Raise `IllegalTransition` unless there is a transition from ``before`` to ``after``."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"execution {execution_id} cannot go from {before} to {after}")
