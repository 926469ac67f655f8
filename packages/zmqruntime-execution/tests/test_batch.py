"""Many tasks through one client."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, cast
from unittest.mock import Mock

import pytest
from asking import record
from driving import error

from zmqruntime.execution import (
    BatchHooks,
    BatchResult,
    BatchSubmitWaitEngine,
    Conflict,
    ExecutionCancelled,
    ExecutionClient,
    ExecutionFailed,
    ExecutionHandle,
    QueueFull,
    UnknownExecution,
    WaitPolicy,
)
from zmqruntime.messages import ErrorCode, ErrorReply, ExecutionRecord, ExecutionStatus
from zmqruntime.transport import ServerLost

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class Client:
    """A client of a server that runs a task whenever somebody waits for one.

    Args:
        ahead: how many further ones it then runs.
        is_quick: whether a task ends while the reply to its submission is held.
        is_far: whether the server knows of a task only when it has replied.
    """

    def __init__(self, ahead: int = 0, *, is_quick: bool = False, is_far: bool = False) -> None:
        self.ahead = ahead
        self.is_quick = is_quick
        self.is_far = is_far
        self.submitted: list[Any] = []
        self.configs: list[Any] = []
        self.records: dict[str, ExecutionRecord] = {}
        self.cancelled: list[str] = []
        self.policies: list[WaitPolicy | None] = []
        self.most_outstanding = 0
        self.refuse: BaseException | None = None

    def follow_many(
        self,
        tasks: Iterable[Any],
        config: Any,
        *,
        hold: float,
        window: int,
        on_sent: Callable[[ExecutionHandle], None],
    ) -> Iterator[tuple[ExecutionHandle, ExecutionRecord]]:
        source = iter(tasks)
        sent: deque[ExecutionHandle] = deque()
        try:
            while True:
                for task in islice(source, window - len(sent)):
                    name = f"x{len(self.submitted)}"
                    self.submitted.append(task)
                    self.configs.append(config)
                    sent.append(ExecutionHandle(cast("ExecutionClient", self), name))
                    if task != "refused" and not self.is_far:
                        self.records[name] = record(QUEUED, name)
                    on_sent(sent[-1])
                if not sent:
                    return
                handle = sent.popleft()
                number = int(handle.execution_id[1:])
                if self.submitted[number] == "refused":
                    raise QueueFull(ErrorReply(code=ErrorCode.QUEUE_FULL, message="it is full"))
                self.records.setdefault(handle.execution_id, record(QUEUED, handle.execution_id))
                waiting = [r for r in self.records.values() if not r.status.is_terminal]
                self.most_outstanding = max(self.most_outstanding, len(waiting))
                if hold and self.is_quick and self.submitted[number] != "slow":
                    self.run(number)
                yield handle, self.records[handle.execution_id]
        finally:
            for handle in reversed(sent):
                with contextlib.suppress(UnknownExecution, Conflict):
                    self.cancel_execution(handle.execution_id)

    def get_record(self, name: str, wait_seconds: float) -> ExecutionRecord:
        assert 0 < wait_seconds < 0.1
        for n in range(int(name[1:]) - self.ahead, int(name[1:])):
            self.run(max(n, 0))
        return self.records[name]

    def get_records(self, names: Iterable[str]) -> list[ExecutionRecord]:
        return [self.records[name] for name in names]

    def wait_for_completion(
        self, name: str, policy: WaitPolicy | None, timeout: float | None
    ) -> ExecutionRecord:
        if self.refuse is not None:
            raise self.refuse
        self.policies.append(policy)
        first = int(name[1:])
        for n in range(first, min(first + 1 + self.ahead, len(self.submitted))):
            self.run(n)
        return self.records[name]

    def run(self, n: int) -> None:
        name, task = f"x{n}", self.submitted[n]
        if self.records[name].status is QUEUED:
            self.records[name] = (
                record(FAILED, name, error=error())
                if task == "fails"
                else record(COMPLETE, name, result=task)
            )

    def cancel_execution(self, name: str) -> ExecutionStatus:
        if name not in self.records:
            raise UnknownExecution(ErrorReply(code=ErrorCode.UNKNOWN_EXECUTION, message="none"))
        if self.records[name].status.is_terminal:
            raise Conflict(ErrorReply(code=ErrorCode.CONFLICT, message="it has ended"))
        self.cancelled.append(name)
        self.records[name] = record(CANCELLED, name)
        return CANCELLED

    def engine(self, **options: Any) -> BatchSubmitWaitEngine:
        return BatchSubmitWaitEngine(Mock(spec=ExecutionClient, wraps=self), **options)


@pytest.mark.parametrize("is_quick", [False, True])
@pytest.mark.parametrize("ahead", [0, 1, 3, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 50])
def test_the_results_are_in_the_order_of_the_tasks(ahead: int, count: int, is_quick: bool) -> None:
    client = Client(ahead, is_quick=is_quick)
    result = client.engine(max_outstanding=10).run(range(count))
    assert result.results() == list(range(count))
    assert result.complete
    assert client.submitted == list(range(count))


def test_the_configuration_goes_with_each() -> None:
    client = Client()
    client.engine().run([1, 2], {"scale": 2})
    assert client.configs == [{"scale": 2}] * 2


@pytest.mark.parametrize("is_quick", [False, True])
def test_never_more_are_under_way_than_were_allowed(is_quick: bool) -> None:
    client = Client(is_quick=is_quick)
    client.engine(max_outstanding=3).run(range(20))
    assert client.most_outstanding == 3


@pytest.mark.parametrize("is_quick", [False, True])
def test_tasks_are_taken_from_an_endless_source_only_as_they_are_needed(is_quick: bool) -> None:
    taken = []

    def source() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n
            assert len(taken) - len(finished) <= 5

    finished: list[ExecutionRecord] = []
    hooks = BatchHooks(on_finished=finished.append)
    Client(is_quick=is_quick).engine(max_outstanding=5, hooks=hooks).run(source())
    assert len(finished) == 1000


@pytest.mark.parametrize("number", [0, -1])
def test_none_at_a_time_makes_no_sense(number: int) -> None:
    with pytest.raises(ValueError, match=f"max_outstanding is {number}: it has to be at least 1"):
        Client().engine(max_outstanding=number)


def test_hooks_are_called_for_each() -> None:
    client, submitted, finished = Client(), [], cast("list[ExecutionRecord]", [])
    hooks = BatchHooks(
        on_submitted=lambda handle: submitted.append(handle.execution_id),
        on_finished=finished.append,
    )
    client.engine(hooks=hooks).run(["a", "fails", "b"])
    assert submitted == ["x0", "x1", "x2"]
    assert [r.status for r in finished] == [COMPLETE, FAILED, COMPLETE]


def test_the_policy_is_that_of_each_wait() -> None:
    client, policy = Client(), WaitPolicy(poll_interval=5.0)
    client.engine(policy=policy).run(["a"])
    assert client.policies == [policy]


def test_without_fail_fast_a_failure_stops_nobody() -> None:
    client = Client()
    result = client.engine().run(["a", "fails", "b"])
    assert [r.status for r in result.records] == [COMPLETE, FAILED, COMPLETE]
    assert not result.complete
    with pytest.raises(ExecutionFailed, match="x1"):
        result.results()


@pytest.mark.parametrize("is_quick", [False, True])
@pytest.mark.parametrize("ahead", [0, 1, 2, 100])
def test_with_fail_fast_the_first_failure_cancels_the_rest_and_no_more_are_submitted(
    ahead: int, is_quick: bool
) -> None:
    client = Client(ahead, is_quick=is_quick)
    engine = client.engine(fail_fast=True, max_outstanding=4)
    result = engine.run(["a", "fails", *range(100)])
    statuses = [r.status for r in result.records]
    assert statuses[:2] == [COMPLETE, FAILED]
    assert set(statuses[2:]) <= {COMPLETE, CANCELLED}
    assert len(result.records) == len(client.submitted) < 10
    # From the end, so that none of them gets its turn meanwhile; and each of them once.
    assert client.cancelled == sorted(set(client.cancelled), reverse=True)


def test_what_was_still_on_its_way_at_the_first_failure_is_cancelled_when_it_is_there() -> None:
    client = Client(is_quick=True, is_far=True)
    told = []
    hooks = BatchHooks(on_submitted=lambda _: told.append(list(client.cancelled)))
    engine = client.engine(fail_fast=True, hooks=hooks)
    result = engine.run(["fails", "slow", "slow", "slow"])
    assert [r.status for r in result.records] == [FAILED, CANCELLED, CANCELLED, CANCELLED]
    assert told == [[], [], ["x1"], ["x1", "x2"]]


def test_a_cancelled_one_stops_the_batch_as_well() -> None:
    client = Client()

    def cancel_the_second(handle: ExecutionHandle) -> None:
        if handle.execution_id == "x1":
            handle.cancel()

    hooks = BatchHooks(on_submitted=cancel_the_second)
    result = client.engine(fail_fast=True, hooks=hooks).run(range(4))
    assert [r.status for r in result.records] == [COMPLETE, CANCELLED, CANCELLED, CANCELLED]
    with pytest.raises(ExecutionCancelled, match="x1"):
        result.results()


def test_a_task_that_cannot_be_submitted_cancels_those_under_way() -> None:
    client = Client()
    with pytest.raises(QueueFull, match="it is full"):
        client.engine(max_outstanding=2).run(["a", "b", "refused"])
    assert client.cancelled == ["x1"]  # The first has ended by then.


def test_a_source_that_fails_cancels_those_under_way() -> None:
    def source() -> Iterator[str]:
        yield from "ab"
        raise OSError("the list ends here")

    client = Client()
    with pytest.raises(OSError, match="the list ends here"):
        client.engine(max_outstanding=2).run(source())
    assert client.cancelled == ["x1"]


def test_a_hook_that_fails_cancels_all_that_were_submitted() -> None:
    def fail(handle: ExecutionHandle) -> None:
        raise RuntimeError("no room on the screen")

    client = Client()
    with pytest.raises(RuntimeError, match="no room"):
        client.engine(hooks=BatchHooks(on_submitted=fail)).run(["a", "b", "c"])
    assert client.cancelled == ["x2", "x1", "x0"]


def test_what_the_client_raises_while_it_waits_is_raised_and_cancels_nothing() -> None:
    client = Client()
    client.refuse = ServerLost("gone")
    with pytest.raises(ServerLost):
        client.engine().run(["a", "b"])
    assert client.cancelled == []


def test_a_batch_of_nothing_is_complete() -> None:
    assert BatchResult(()).complete
    assert BatchResult(()).results() == []
