"""Invalid arguments are rejected in the call that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zmqruntime.execution import ExecutionServer
from zmqruntime.messages import DecodeError
from zmqruntime.testing import FakeServerFactory, Script, ServerFactory, TaskEnvironment
from zmqruntime.testing.faults.rules import Fault, Lane, Misbehaviour, Rule


class Shop(ExecutionServer):
    def execute_task(self, request: Any, context: Any) -> None:
        """Do nothing."""


Call = Callable[[Any], object]

CALLS: dict[str, tuple[type[Exception], str, Call]] = {
    "no script": (TypeError, "a script has to be of type Script, not 'x'", lambda f: f.plan("x")),
    "no writer": (TypeError, r"always\(\) takes a Script, .*not 5", lambda f: f.always(5)),
    "no code": (DecodeError, "invalid error reply: code: ", lambda f: f.reject("nope")),
    "no request": (ValueError, "unknown request type 'x'", lambda f: f.ignore("x")),
    "too few": (ValueError, "times is -1: it has to be at least 1", lambda f: f.ignore(times=-1)),
    "no kind": (TypeError, "kind has to be of type type, not 'x'", lambda f: f.asked("x")),
    "none awaited": (
        ValueError,
        "count is 0: it has to be at least 1",
        lambda f: f.await_request(object, count=0),
    ),
}


@pytest.mark.parametrize(("error", "words", "call"), CALLS.values(), ids=CALLS)
def test_invalid_arguments_of_a_fake_are_rejected(
    fake_execution_server: FakeServerFactory, error: type[Exception], words: str, call: Call
) -> None:
    fake = fake_execution_server(in_memory=True)
    with pytest.raises(error, match=words):
        call(fake)
    fake.check()


def test_rejected_plan_adds_no_script(fake_execution_server: FakeServerFactory) -> None:
    fake = fake_execution_server(in_memory=True)
    with pytest.raises(TypeError):
        fake.plan(Script().complete(), "x")  # type: ignore[arg-type]
    fake.check()


def test_class_and_instance_are_not_interchangeable(
    execution_server: ServerFactory, task_environment: type[TaskEnvironment]
) -> None:
    with pytest.raises(TypeError, match=r"takes a class, .*call execution_server\(MyServer\)"):
        execution_server(Shop())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"server has to be of type ExecutionServer, not <class"):
        task_environment(Shop)  # type: ignore[arg-type]


def test_cancel_at_is_at_least_one(
    task_environment: type[TaskEnvironment],
) -> None:
    with pytest.raises(ValueError, match="cancel_at is 0: it has to be at least 1"):
        task_environment(Shop()).run({}, cancel_at=0)


def test_misbehaviour_parameters_are_validated() -> None:
    faults, lanes = (Fault.DROP,), (Lane.EVENTS,)
    for rate in (-0.1, 5, float("nan")):
        with pytest.raises(ValueError, match=r"rate is .*at least 0 and at most 1"):
            Misbehaviour(1, rate, faults, lanes, 0.1)
    with pytest.raises(ValueError, match="max_delay is -1"):
        Misbehaviour(1, 0.5, faults, lanes, -1)
    with pytest.raises(ValueError, match="seconds is -1"):
        Rule(Fault.DELAY, Lane.EVENTS, seconds=-1)
