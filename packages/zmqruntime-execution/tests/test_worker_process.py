"""The resource usage of a worker is unknown when it cannot be sampled."""

from __future__ import annotations

import errno

import psutil
import pytest

from zmqruntime.execution.worker.parent.worker_process import _take_sample


@pytest.mark.parametrize(
    "failure", [OSError(errno.EMFILE, "Too many open files"), psutil.NoSuchProcess(1)]
)
def test_failed_sample_of_a_worker_has_no_values(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(_: psutil.Process) -> float:
        raise failure

    monkeypatch.setattr(psutil.Process, "cpu_percent", fail)
    assert _take_sample(psutil.Process()) == (None, None)
