"""What the engine in memory does beyond the promises of every engine.

Those are `zmqruntime.testing.contracts.LifecycleEngineContract`, which the tests of
zmqruntime-testing hold it to: nothing below that package may import it.
"""

from __future__ import annotations

from typing import Any

import pytest
from driving import request

from zmqruntime.execution import InMemoryLifecycleEngine
from zmqruntime.messages import ExecutionStatus


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="history_limit must be 0 or more, not -1"):
        InMemoryLifecycleEngine(-1)


def test_the_usual_history_is_a_thousand() -> None:
    engine = InMemoryLifecycleEngine()
    for n in range(1001):
        engine.submit(request(f"x{n}"), 1.0)
        engine.finish(f"x{n}", ExecutionStatus.CANCELLED, 2.0)
    assert engine.get("x0") is None
    assert engine.get("x1") is not None


def test_an_ended_one_keeps_no_request() -> None:
    engine = InMemoryLifecycleEngine()
    engine.submit(request("a", task={"image": "x" * 100_000}), 1.0)
    engine.start("a", 2.0)
    assert len(engine.finish("a", ExecutionStatus.COMPLETE, 3.0, result=b"1").request) < 100


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (request("a", task={"x": 1, "y": 2}), request("a", task={"y": 2, "x": 1})),
        (request("a", request_id="1"), request("a", request_id="2")),
        (request("a", timeout_seconds=5), request("a", timeout_seconds=5.0)),
    ],
    ids=["order of keys", "request id", "kind of number"],
)
def test_the_same_work_however_it_is_written(same: Any, other: Any) -> None:
    assert InMemoryLifecycleEngine().submit(same, 1.0).is_same_work(other)


@pytest.mark.parametrize(
    "other",
    [
        request("a", task={"x": 2}),
        request("a", task={"x": "1"}),
        request("a", task={"x": 1}, config={}),
        request("a", task={"x": 1}, labels={"l": "1"}),
        request("a", task={"x": 1}, timeout_seconds=1.0),
        request("a", task={"x": 1}, client_id="another"),
    ],
    ids=["value", "type", "config", "labels", "time limit", "client"],
)
def test_other_work_under_the_same_name(other: Any) -> None:
    execution = InMemoryLifecycleEngine().submit(request("a", task={"x": 1}), 1.0)
    assert not execution.is_same_work(other)
