"""The life of an execution is a table."""

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
    (RUNNING, QUEUED),  # to be tried again, or not begun
}


@pytest.mark.parametrize(("before", "after"), list(product(ExecutionStatus, repeat=2)))
def test_only_these_moves_exist(before: ExecutionStatus, after: ExecutionStatus) -> None:
    if (before, after) in LEGAL:
        check_transition("x-1", before, after)
        return
    with pytest.raises(IllegalTransition, match=f"x-1 cannot go from {before} to {after}"):
        check_transition("x-1", before, after)


def test_every_status_has_its_row() -> None:
    assert set(TRANSITIONS) == set(ExecutionStatus)


def test_nothing_leads_out_of_a_terminal_state_and_nothing_stays_in_another() -> None:
    for status, following in TRANSITIONS.items():
        assert status.is_terminal is (not following)


def test_the_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[COMPLETE] = frozenset({RUNNING})  # type: ignore[index]


def test_an_illegal_move_is_one_of_our_errors() -> None:
    assert issubclass(IllegalTransition, ExecutionError)
