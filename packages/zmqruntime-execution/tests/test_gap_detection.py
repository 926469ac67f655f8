"""Gap detection: lost events, and the larger gap of a restarted server."""

from __future__ import annotations

import pytest

from zmqruntime.execution.client.gap_detection import Sequences
from zmqruntime.messages import SEQUENCE_GAP, ProgressEvent


def progress(sequence: int) -> ProgressEvent:
    return ProgressEvent(execution_id="a", sequence=sequence, timestamp=1.0)


@pytest.mark.parametrize(
    ("lost", "missed", "restarted"),
    [
        (0, 0, False),
        (1, 1, False),
        (SEQUENCE_GAP // 2 - 1, SEQUENCE_GAP // 2 - 1, False),
        (SEQUENCE_GAP // 2, 0, True),
        (SEQUENCE_GAP, 0, True),
    ],
)
def test_gap_of_half_a_sequence_gap_is_a_restart(lost: int, missed: int, restarted: bool) -> None:
    sequences = Sequences()
    sequences.take(progress(7))

    step = sequences.take(progress(8 + lost))

    assert step is not None
    assert (step.missed, step.restarted) == (missed, restarted)
