"""The transition table of executions."""

from __future__ import annotations

from itertools import product

import pytest

from zmqruntime.execution import ExecutionError, IllegalTransition
from zmqruntime.execution.lifecycle.transitions import TRANSITIONS, check_transition
from zmqruntime.messages import ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

LEGAL = {
    (QUEUED, RUNNING),
    (QUEUED, CANCELLED),
    (QUEUED, FAILED),  # no worker can be started
    (RUNNING, COMPLETE),
    (RUNNING, FAILED),
    (RUNNING, CANCELLED),
    (RUNNING, QUEUED),  # retried, or not begun
}


@pytest.mark.parametrize(("before", "after"), list(product(ExecutionStatus, repeat=2)))
def test_transitions_are_limited_to_the_table(
    before: ExecutionStatus, after: ExecutionStatus
) -> None:
    if (before, after) in LEGAL:
        check_transition("x-1", before, after)
        return
    with pytest.raises(IllegalTransition, match=f"x-1 cannot go from {before} to {after}"):
        check_transition("x-1", before, after)


def test_every_status_has_a_row() -> None:
    assert set(TRANSITIONS) == set(ExecutionStatus)


def test_terminal_states_have_no_transitions_and_others_have() -> None:
    for status, following in TRANSITIONS.items():
        assert status.is_terminal is (not following)


def test_transition_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[COMPLETE] = frozenset({RUNNING})  # type: ignore[index]


def test_illegal_transition_is_an_execution_error() -> None:
    assert issubclass(IllegalTransition, ExecutionError)
