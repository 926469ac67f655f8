"""The engine in memory, beyond the contract of every engine.

The contract is `zmqruntime.testing.contracts.LifecycleEngineContract`; the tests of
zmqruntime-testing check it, since packages below that one may not import it.
"""

from __future__ import annotations

from typing import Any

import pytest
from driving import request
from hypothesis import given
from hypothesis import strategies as st
from turns import Turns

from zmqruntime.execution import InMemoryLifecycleEngine, QueuePolicy
from zmqruntime.messages import ExecutionStatus


def test_negative_history_limit_is_rejected() -> None:
    with pytest.raises(ValueError, match="history_limit is -1: it has to be at least 0"):
        InMemoryLifecycleEngine(-1)


def test_negative_history_age_is_rejected() -> None:
    with pytest.raises(ValueError, match="history_seconds is -1: it has to be at least 0"):
        InMemoryLifecycleEngine(history_seconds=-1)


def test_engine_in_memory_has_nothing_to_commit() -> None:
    engine = InMemoryLifecycleEngine()
    engine.submit(request("a"), 1.0)
    assert not engine.uncommitted
    assert not engine.durable
    assert engine.rollback() == ()


def test_default_history_is_1000_read_records() -> None:
    engine = InMemoryLifecycleEngine()
    for n in range(1001):
        engine.submit(request(f"x{n}"), 1.0)
        engine.finish(f"x{n}", ExecutionStatus.CANCELLED, 2.0)
    assert engine.counts[ExecutionStatus.CANCELLED] == 1001
    for n in range(1001):
        engine.mark_read(f"x{n}")
    assert engine.get("x0") is None
    assert engine.get("x1") is not None


def test_ended_execution_keeps_no_long_request() -> None:
    engine = InMemoryLifecycleEngine()
    engine.submit(request("a", task={"image": "x" * 100_000}), 1.0)
    engine.start("a", 2.0)
    assert len(engine.finish("a", ExecutionStatus.COMPLETE, 3.0, result=b"1").request) < 100


@given(
    st.lists(
        st.tuples(st.sampled_from("sssrc"), st.sampled_from("abc"), st.integers(-1, 1)),
        max_size=40,
    )
)
def test_fair_queue_equals_a_model_of_turns(steps: list[tuple[str, str, int]]) -> None:
    engine = InMemoryLifecycleEngine(queue_policy=QueuePolicy.FAIR)
    turns = Turns(fair=True)
    for n, (step, client, priority) in enumerate(steps):
        name = f"x{n}"
        if step == "s":
            engine.submit(request(name, client_id=client, priority=priority), 1.0)
            turns.add(name, client, priority, n)
        elif turns.order and step == "r":
            engine.start(turns.take(), 2.0)
        elif turns.order and step == "c":
            name = turns.order[-1]
            engine.finish(name, ExecutionStatus.CANCELLED, 2.0)
            turns.drop(name)
        queued = [(place, e.execution_id) for place, e in engine.list_queued(100).entries]
        assert queued == list(enumerate(turns.order, start=1))
        assert [engine.position(name) for name in turns.order] == [place for place, _ in queued]


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (request("a", task={"x": 1, "y": 2}), request("a", task={"y": 2, "x": 1})),
        (request("a", request_id="1"), request("a", request_id="2")),
        (request("a", timeout_seconds=5), request("a", timeout_seconds=5.0)),
    ],
    ids=["order of keys", "request id", "kind of number"],
)
def test_same_work_is_detected_in_other_json(same: Any, other: Any) -> None:
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
        request("a", task={"x": 1}, priority=1),
        request("a", task={"x": 1}, max_attempts=2),
        request("a", task={"x": 1}, retry_on=()),
        request("a", task={"x": 1}, backoff_seconds=1.0),
    ],
    ids=[
        *("value", "type", "config", "labels", "time limit", "client"),
        *("priority", "attempts", "kinds of error", "delay"),
    ],
)
def test_other_work_under_the_same_id_is_detected(other: Any) -> None:
    execution = InMemoryLifecycleEngine().submit(request("a", task={"x": 1}), 1.0)
    assert not execution.is_same_work(other)
