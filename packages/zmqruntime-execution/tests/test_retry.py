"""Attempts: what an execution keeps of a failed run."""

from __future__ import annotations

from driving import error, request

from zmqruntime.execution import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.retry import make_attempt


def test_stored_attempt_keeps_the_start_of_the_message_and_the_end_of_the_traceback() -> None:
    engine = InMemoryLifecycleEngine()
    engine.submit(request("a"), 1.0)
    execution = engine.start("a", 2.0)
    failure = error().model_copy(
        update={"message": "first" + "m" * 2000, "traceback": "t" * 2000 + "last"}
    )

    attempt = make_attempt(execution, failure, 3.0)

    kept = attempt.error
    assert (attempt.attempt, attempt.started_at, attempt.finished_at) == (1, 2.0, 3.0)
    assert kept.message.startswith("first")
    assert kept.traceback is not None
    assert kept.traceback.endswith("last")
    assert (len(kept.message), len(kept.traceback)) == (500, 500)
