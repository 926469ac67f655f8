"""Restart: which execution the leftover log of the last worker belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import request
from journals import abandon, quick_engine

from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.server.dispatcher import Dispatcher


class Outside:
    """Runner and outlet of a dispatcher, of which only the interrupted execution is recorded."""

    def __init__(self) -> None:
        self.interrupted: list[str | None] = []

    def sweep_logs(self, is_kept: object, interrupted: str | None = None) -> None:
        self.interrupted.append(interrupted)

    def __getattr__(self, name: str) -> object:
        return lambda *args, **options: None


@pytest.mark.parametrize("started", [(), ("a",), ("a", "b"), ("b", "a")])
def test_execution_that_started_last_owns_the_log_of_the_interrupted_task(
    tmp_path: Path, started: tuple[str, ...]
) -> None:
    engine = quick_engine(tmp_path / "journal")
    for name in "ab":
        engine.submit(request(name), 1.0)
    for time, name in enumerate(started, start=2):
        engine.start(name, float(time))
    engine.commit()
    abandon(engine)
    engine = quick_engine(tmp_path / "journal")
    outside = Outside()

    Dispatcher(Scheduler(engine), outside, outside).start()  # type: ignore[arg-type]

    assert outside.interrupted == [started[-1] if started else None]
    abandon(engine)
