"""Damaged journals: acknowledged states are intact, or an error or a log line reports the damage.

`nox -s journal-fuzz` runs 5,000 trials.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("file size limits and modes of POSIX", allow_module_level=True)

from endurance.journal_fuzz import make_other, run_trial

SEED = 20_260


@pytest.mark.parametrize("part", range(3))
def test_loss_of_acknowledged_states_is_reported(tmp_path: Path, part: int) -> None:
    other = tmp_path / "other"
    make_other(other)
    for trial in range(part * 100, part * 100 + 100):
        place = tmp_path / str(trial)
        place.mkdir()
        outcome = run_trial(SEED, trial, place, other)
        assert outcome.is_success, f"trial {trial} of seed {SEED}: {outcome}"
