"""A small storm, as it blows in `nox -s storm`: nothing accepted is lost, nothing runs twice."""

from __future__ import annotations

import os

import pytest
from endurance.storm import Storm

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and SIGSTOP")


@posix_only
def test_nothing_is_lost_in_a_storm() -> None:
    outcome = Storm(seed=8, kills=20).run()
    assert outcome.faults == []
    assert outcome.kills == 20
    assert outcome.ends["complete"] > 0
