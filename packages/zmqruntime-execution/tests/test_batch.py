"""`BatchSubmitWaitEngine`: order, limits, hooks, fail-fast, errors."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, cast
from unittest.mock import Mock

import pytest
from driving import error
from scripted_status import record

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
    """Test double of a client whose server runs a task when the client waits for it.

    Args:
        ahead: how many further tasks it runs then.
        is_short: whether a task ends within the hold of its submission.
        is_delayed: whether the server knows a task only when it has replied.
    """

    def __init__(self, ahead: int = 0, *, is_short: bool = False, is_delayed: bool = False) -> None:
        self.ahead = ahead
        self.is_short = is_short
        self.is_delayed = is_delayed
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
                    if task != "refused" and not self.is_delayed:
                        self.records[name] = record(QUEUED, name)
                    on_sent(sent[-1])
                if not sent:
                    return
                handle = sent.popleft()
                number = int(handle.execution_id[1:])
                if self.submitted[number] == "refused":
                    raise QueueFull(ErrorReply(code=ErrorCode.QUEUE_FULL, message="full"))
                self.records.setdefault(handle.execution_id, record(QUEUED, handle.execution_id))
                waiting = [r for r in self.records.values() if not r.status.is_terminal]
                self.most_outstanding = max(self.most_outstanding, len(waiting))
                if hold and self.is_short and self.submitted[number] != "slow":
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
            raise Conflict(ErrorReply(code=ErrorCode.CONFLICT, message="ended"))
        self.cancelled.append(name)
        self.records[name] = record(CANCELLED, name)
        return CANCELLED

    def engine(self, **options: Any) -> BatchSubmitWaitEngine:
        return BatchSubmitWaitEngine(Mock(spec=ExecutionClient, wraps=self), **options)


@pytest.mark.parametrize("is_short", [False, True])
@pytest.mark.parametrize("ahead", [0, 1, 3, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 50])
def test_results_are_in_the_order_of_the_tasks(ahead: int, count: int, is_short: bool) -> None:
    client = Client(ahead, is_short=is_short)
    result = client.engine(max_outstanding=10).run(range(count))
    assert result.results() == list(range(count))
    assert result.complete
    assert client.submitted == list(range(count))


def test_configuration_is_submitted_with_each_task() -> None:
    client = Client()
    client.engine().run([1, 2], {"scale": 2})
    assert client.configs == [{"scale": 2}] * 2


@pytest.mark.parametrize("is_short", [False, True])
def test_outstanding_executions_are_bounded(is_short: bool) -> None:
    client = Client(is_short=is_short)
    client.engine(max_outstanding=3).run(range(20))
    assert client.most_outstanding == 3


@pytest.mark.parametrize("is_short", [False, True])
def test_tasks_are_taken_lazily_from_their_source(is_short: bool) -> None:
    taken = []

    def source() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n
            assert len(taken) - len(finished) <= 5

    finished: list[ExecutionRecord] = []
    hooks = BatchHooks(on_finished=finished.append)
    Client(is_short=is_short).engine(max_outstanding=5, hooks=hooks).run(source())
    assert len(finished) == 1000


@pytest.mark.parametrize("number", [0, -1])
def test_max_outstanding_below_one_raises(number: int) -> None:
    with pytest.raises(ValueError, match=f"max_outstanding is {number}: it has to be at least 1"):
        Client().engine(max_outstanding=number)


def test_hooks_are_called_for_each_execution() -> None:
    client, submitted, finished = Client(), [], cast("list[ExecutionRecord]", [])
    hooks = BatchHooks(
        on_submitted=lambda handle: submitted.append(handle.execution_id),
        on_finished=finished.append,
    )
    client.engine(hooks=hooks).run(["a", "fails", "b"])
    assert submitted == ["x0", "x1", "x2"]
    assert [r.status for r in finished] == [COMPLETE, FAILED, COMPLETE]


def test_policy_is_used_for_each_wait() -> None:
    client, policy = Client(), WaitPolicy(poll_interval=5.0)
    client.engine(policy=policy).run(["a"])
    assert client.policies == [policy]


def test_failure_without_fail_fast_does_not_affect_the_others() -> None:
    client = Client()
    result = client.engine().run(["a", "fails", "b"])
    assert [r.status for r in result.records] == [COMPLETE, FAILED, COMPLETE]
    assert not result.complete
    with pytest.raises(ExecutionFailed, match="x1"):
        result.results()


@pytest.mark.parametrize("is_short", [False, True])
@pytest.mark.parametrize("ahead", [0, 1, 2, 100])
def test_fail_fast_cancels_the_outstanding_ones_and_ends_submission(
    ahead: int, is_short: bool
) -> None:
    client = Client(ahead, is_short=is_short)
    engine = client.engine(fail_fast=True, max_outstanding=4)
    result = engine.run(["a", "fails", *range(100)])
    statuses = [r.status for r in result.records]
    assert statuses[:2] == [COMPLETE, FAILED]
    assert set(statuses[2:]) <= {COMPLETE, CANCELLED}
    assert len(result.records) == len(client.submitted) < 10
    # The last first, so that none of them starts in between; and each once.
    assert client.cancelled == sorted(set(client.cancelled), reverse=True)


def test_fail_fast_cancels_submissions_in_transit_when_they_are_accepted() -> None:
    client = Client(is_short=True, is_delayed=True)
    cancelled_before = []
    hooks = BatchHooks(on_submitted=lambda _: cancelled_before.append(list(client.cancelled)))
    engine = client.engine(fail_fast=True, hooks=hooks)
    result = engine.run(["fails", "slow", "slow", "slow"])
    assert [r.status for r in result.records] == [FAILED, CANCELLED, CANCELLED, CANCELLED]
    assert cancelled_before == [[], [], ["x1"], ["x1", "x2"]]


def test_cancelled_execution_triggers_fail_fast() -> None:
    client = Client()

    def cancel_the_second(handle: ExecutionHandle) -> None:
        if handle.execution_id == "x1":
            handle.cancel()

    hooks = BatchHooks(on_submitted=cancel_the_second)
    result = client.engine(fail_fast=True, hooks=hooks).run(range(4))
    assert [r.status for r in result.records] == [COMPLETE, CANCELLED, CANCELLED, CANCELLED]
    with pytest.raises(ExecutionCancelled, match="x1"):
        result.results()


def test_refused_submission_cancels_the_outstanding_executions() -> None:
    client = Client()
    with pytest.raises(QueueFull, match="full"):
        client.engine(max_outstanding=2).run(["a", "b", "refused"])
    assert client.cancelled == ["x1"]  # The first has ended.


def test_exception_of_the_task_source_cancels_the_outstanding_executions() -> None:
    def source() -> Iterator[str]:
        yield from "ab"
        raise OSError("unreadable")

    client = Client()
    with pytest.raises(OSError, match="unreadable"):
        client.engine(max_outstanding=2).run(source())
    assert client.cancelled == ["x1"]


def test_exception_of_a_hook_cancels_the_outstanding_executions() -> None:
    def fail(handle: ExecutionHandle) -> None:
        raise RuntimeError("hook failed")

    client = Client()
    with pytest.raises(RuntimeError, match="hook failed"):
        client.engine(hooks=BatchHooks(on_submitted=fail)).run(["a", "b", "c"])
    assert client.cancelled == ["x2", "x1", "x0"]


def test_loss_of_the_server_is_raised_without_a_cancel() -> None:
    client = Client()
    client.refuse = ServerLost("gone")
    with pytest.raises(ServerLost):
        client.engine().run(["a", "b"])
    assert client.cancelled == []


def test_empty_batch_is_complete() -> None:
    assert BatchResult(()).complete
    assert BatchResult(()).results() == []
