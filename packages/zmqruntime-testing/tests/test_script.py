"""`Script` and `ScriptedWorker`."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.messages import DecodeError, ErrorKind
from zmqruntime.testing import Script
from zmqruntime.testing.fake.script import Pause
from zmqruntime.testing.fake.scripted_worker import ScriptedWorker, ScriptState
from zmqruntime.transport import ZMQConfig


def emitted(worker: ScriptedWorker) -> list[str]:
    """Return the class names of the worker's events up to its next pause."""
    kinds = []
    while (event := worker.advance()) is not None:
        kinds.append(type(event).__name__)
    return kinds


def start_script(script: Script) -> ScriptedWorker:
    worker = ScriptedWorker(ZMQConfig().max_message_bytes)
    worker.assign("a", script)
    return worker


def test_scripts_are_immutable_values() -> None:
    start = Script().progress(1, 2)
    assert start.complete(1) == Script().progress(1, 2).complete(1)
    assert start.fail("no") != start.complete(1)
    assert len(start.steps) == 1


@pytest.mark.parametrize(
    "script",
    [
        Script().complete(),
        Script().fail("no"),
        Script().never_end(),
        Script().worker_dies(),
        Script().server_dies(),
    ],
)
def test_step_after_the_end_is_rejected(script: Script) -> None:
    assert script.has_end
    with pytest.raises(ValueError, match="write a script for each execution"):
        script.progress(1, 2)


def test_invalid_progress_and_results_are_rejected() -> None:
    nothing: Any = object()
    with pytest.raises(DecodeError, match="result"):
        Script().complete(nothing)
    with pytest.raises(TypeError, match="completed must be a number"):
        Script().progress(nothing)


def test_by_hand_adds_a_pause_before_each_step() -> None:
    steps = Script().progress(1, 2).complete().by_hand().steps
    assert [isinstance(step, Pause) for step in steps] == [True, False, True, False]


def test_script_runs_to_its_pause_and_continues() -> None:
    worker = start_script(Script().progress(1, 2).pause().progress(2, 2).complete(3))
    assert emitted(worker) == ["ProgressReported"]
    assert emitted(worker) == []
    worker.resume()
    assert emitted(worker) == ["ProgressReported", "TaskReturned"]
    assert worker.state is ScriptState.IDLE


def test_interrupt_ends_a_script_at_any_step() -> None:
    for script in (Script().pause().complete(), Script().never_end()):
        worker = start_script(script)
        assert emitted(worker) == []
        worker.interrupt("another")
        assert emitted(worker) == []
        worker.interrupt("a")
        assert emitted(worker) == ["TaskStopped"]


def test_deaf_script_ends_with_its_worker() -> None:
    worker = start_script(Script().never_end(deaf=True))
    worker.interrupt("a")
    assert emitted(worker) == []
    assert worker.state is ScriptState.ENDLESS
    worker.kill_worker()
    assert emitted(worker) == ["WorkerExited"]


def test_dead_worker_emits_no_further_events() -> None:
    worker = start_script(Script().progress(1, 2).worker_dies(-11))
    assert emitted(worker) == ["ProgressReported", "WorkerExited"]


def test_error_kind_can_be_a_string() -> None:
    for kind in ErrorKind:
        assert Script().fail("no", kind=str(kind)) == Script().fail("no", kind=kind)
    with pytest.raises(DecodeError, match="error: kind: "):
        Script().fail("no", kind="bad luck")
