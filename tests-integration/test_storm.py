"""A small run of `nox -s storm`, and the checks of its outcome."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter

import pytest
from endurance.observations import Observation, Step
from endurance.storm import Storm
from endurance.storm_checks import History, find_violations
from endurance.storm_plan import plan_disruptions, plan_execution

from zmqruntime.messages import ErrorKind, ExecutionErrorInfo, ExecutionRecord, ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and SIGSTOP")

PLANNED = plan_execution(seed=1, client=0, number=3)
NAME = PLANNED.execution_id
RECORD = ExecutionRecord(
    execution_id=NAME,
    client_id="client-0",
    status=COMPLETE,
    labels={},
    attempt=1,
    submitted_at=1.0,
    started_at=2.0,
    finished_at=3.0,
    queue_position=None,
    progress=None,
    result=PLANNED.result,
    error=None,
)
OBSERVATIONS = [
    Observation(3, Step.SUBMITS),
    Observation(3, Step.ACCEPTED),
    Observation.of(3, Step.ENDED, RECORD),
]
VALID = History(PLANNED, OBSERVATIONS, RECORD, starts=1)
UNFORCED = ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="an error of the task")


@posix_only
def test_no_execution_is_lost_in_a_storm() -> None:
    outcome = Storm(seed=8, kills=20).run()
    assert outcome.violations == []
    assert outcome.kills == 20
    assert outcome.ends["complete"] > 0


def test_disruptions_depend_on_the_seed_only() -> None:
    disruptions = list(plan_disruptions(7, 30))
    assert disruptions == list(plan_disruptions(7, 30))
    assert disruptions != list(plan_disruptions(8, 30))
    assert sum(disruption.kind.is_kill for disruption in disruptions) == 30


def test_consistent_history_has_no_violation() -> None:
    assert find_violations({NAME: VALID}, Counter({NAME: 1})) == []


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"starts": 2}, "started 2 times"),
        ({"starts": 0}, "never started"),
        ({"record": None}, "was accepted, but is unknown to the server"),
        ({"record": RECORD.model_copy(update={"result": {"square": 8}})}, "returned"),
        ({"record": RECORD.model_copy(update={"status": RUNNING})}, "is still running"),
        ({"record": RECORD.model_copy(update={"status": CANCELLED})}, "no client requested that"),
        (
            {"record": RECORD.model_copy(update={"status": FAILED, "error": UNFORCED})},
            "failed without a disruption",
        ),
        ({"observations": [*OBSERVATIONS, Observation(3, Step.ENDED, FAILED)]}, "was observed as"),
    ],
)
def test_inconsistent_history_is_a_violation(changes: dict[str, object], violation: str) -> None:
    history = dataclasses.replace(VALID, **changes)  # type: ignore[arg-type]
    assert violation in " / ".join(history.violations())


def test_execution_without_a_submission_is_a_violation() -> None:
    assert find_violations({}, Counter({"x": 1})) == ["execution x ran, but no client submitted it"]
