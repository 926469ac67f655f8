"""What a worker costs is a guess when there is no file left to look with."""

from __future__ import annotations

import errno

import psutil
import pytest

from zmqruntime.execution.worker.parent.worker_process import _look_at


@pytest.mark.parametrize(
    "failure", [OSError(errno.EMFILE, "Too many open files"), psutil.NoSuchProcess(1)]
)
def test_sample_of_a_worker_that_cannot_be_taken_is_none(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(_: psutil.Process) -> float:
        raise failure

    monkeypatch.setattr(psutil.Process, "cpu_percent", fail)
    assert _look_at(psutil.Process()) == (None, None)
