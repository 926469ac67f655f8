"""A small storm, as it blows in `nox -s storm`; and a judge of storms who overlooks nothing."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter

import pytest
from endurance.notes import Note, Said
from endurance.schedule import plan_blows, plan_wish
from endurance.storm import Storm
from endurance.verdict import History, find_faults

from zmqruntime.messages import ErrorKind, ExecutionErrorInfo, ExecutionRecord, ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and SIGSTOP")

WISH = plan_wish(seed=1, client=0, number=3)
NAME = WISH.execution_id
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
    result=WISH.result,
    error=None,
)
NOTES = [
    Note(3, Said.SUBMITS),
    Note(3, Said.ACCEPTED),
    Note.of(3, Said.ENDED, RECORD),
]
SOUND = History(WISH, NOTES, RECORD, begun=1)
UNFORCED = ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="by itself")


@posix_only
def test_nothing_is_lost_in_a_storm() -> None:
    outcome = Storm(seed=8, kills=20).run()
    assert outcome.faults == []
    assert outcome.kills == 20
    assert outcome.ends["complete"] > 0


def test_a_storm_can_be_had_again() -> None:
    blows = list(plan_blows(7, 30))
    assert blows == list(plan_blows(7, 30))
    assert blows != list(plan_blows(8, 30))
    assert sum(blow.deed.is_kill for blow in blows) == 30


def test_what_was_survived_has_no_fault() -> None:
    assert find_faults({NAME: SOUND}, Counter({NAME: 1})) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"begun": 2}, "begun 2 times"),
        ({"begun": 0}, "never began"),
        ({"record": None}, "was accepted, and the server does not know it"),
        ({"record": RECORD.model_copy(update={"result": {"square": 8}})}, "came to"),
        ({"record": RECORD.model_copy(update={"status": RUNNING})}, "is still running"),
        ({"record": RECORD.model_copy(update={"status": CANCELLED})}, "nobody wanted that"),
        (
            {"record": RECORD.model_copy(update={"status": FAILED, "error": UNFORCED})},
            "nobody made it do",
        ),
        ({"notes": [*NOTES, Note(3, Said.ENDED, FAILED)]}, "was told to be"),
    ],
)
def test_what_must_not_be_is_a_fault(changes: dict[str, object], fault: str) -> None:
    history = dataclasses.replace(SOUND, **changes)  # type: ignore[arg-type]
    assert fault in " / ".join(history.faults())


def test_what_ran_unasked_is_a_fault() -> None:
    assert find_faults({}, Counter({"x": 1})) == ["execution x ran, and nobody submitted it"]
