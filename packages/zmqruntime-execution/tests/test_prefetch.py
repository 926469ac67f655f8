"""`RecordPrefetcher`: a wait also returns the final records of later executions."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest
from scripted_status import record

from zmqruntime.execution import ExecutionFailed, ExecutionHandle, UnknownExecution
from zmqruntime.execution.client.prefetch import RecordPrefetcher
from zmqruntime.messages import (
    MAX_ALSO,
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    Reply,
    StatusRequest,
)
from zmqruntime.messages.lowlevel import Outgoing

RUNNING, COMPLETE, FAILED = (
    ExecutionStatus.RUNNING,
    ExecutionStatus.COMPLETE,
    ExecutionStatus.FAILED,
)


class Server:
    """Test double of a client, whose server may not know the field ``also``."""

    def __init__(self, count: int, *, knows_also: bool = True) -> None:
        self.names = [f"e{number}" for number in range(count)]
        self.records: dict[str, ExecutionRecord] = {
            name: record(execution_id=name, result=number) for number, name in enumerate(self.names)
        }
        self.requests: list[StatusRequest] = []
        self._knows_also = knows_also
        prefetcher = RecordPrefetcher(cast(Any, self), self.outlast)
        self.handles = [
            ExecutionHandle(cast(Any, self), name, prefetcher=prefetcher) for name in self.names
        ]

    def outlast(self, error: BaseException, deadline: object = None) -> None:
        raise error

    def pause(self, seconds: float) -> None:
        raise AssertionError(f"a retry after {seconds} s")

    def request(self, request: Outgoing, timeout: float | None, *, hold: float) -> Reply:
        assert isinstance(request, StatusRequest)
        self.requests.append(request)
        own = self.records.get(request.execution_id or "")
        if own is None:
            return ErrorReply(code=ErrorCode.UNKNOWN_EXECUTION, message="unknown")
        found = [self.records.get(name) for name in request.also if self._knows_also]
        ended = tuple(one for one in found if one is not None and one.status.is_terminal)
        return ExecutionStatusSnapshot(execution=own, also=ended)

    def set_running(self, *names: str) -> None:
        for name in names:
            self.records[name] = record(RUNNING, execution_id=name)


def test_results_of_many_short_tasks_take_few_requests() -> None:
    server = Server(1000)
    assert [handle.result() for handle in server.handles] == list(range(1000))
    assert len(server.requests) <= 10 + 1000 / MAX_ALSO


def test_results_of_a_server_without_the_also_field_are_the_same() -> None:
    server = Server(50, knows_also=False)
    assert [handle.result() for handle in server.handles] == list(range(50))
    assert [request.execution_id for request in server.requests] == server.names
    assert max(len(request.also) for request in server.requests) <= 2


def test_long_executions_are_named_in_few_requests() -> None:
    server = Server(200)
    server.set_running(*server.names[1:])
    for number, handle in enumerate(server.handles):
        name = server.names[number]
        server.records[name] = record(execution_id=name, result=number)
        assert handle.result() == number
    assert max(len(request.also) for request in server.requests) <= 2


def test_failure_is_raised_by_its_own_handle_only() -> None:
    server = Server(3)
    server.records["e1"] = record(
        FAILED,
        execution_id="e1",
        error=ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="failed"),
    )
    assert server.handles[0].result() == 0
    with pytest.raises(ExecutionFailed):
        server.handles[1].result()
    assert server.handles[2].result() == 2


def test_unknown_execution_is_raised_by_its_own_handle_only() -> None:
    server = Server(3)
    del server.records["e1"]
    assert server.handles[0].result() == 0
    with pytest.raises(UnknownExecution):
        server.handles[1].result()
    assert server.handles[2].result() == 2


def test_prefetched_records_are_not_requested_again() -> None:
    server = Server(3)
    server.handles[0].wait()
    count = len(server.requests)
    assert [handle.done() for handle in server.handles] == [True] * 3
    assert server.handles[1].status() is server.handles[1].wait()
    assert len(server.requests) == count


def test_results_can_be_read_in_reverse_order() -> None:
    server = Server(20)
    assert [handle.result() for handle in reversed(server.handles)] == list(range(20))[::-1]


def test_dropped_handle_ends_the_prefetch() -> None:
    server = Server(4)
    del server.handles[1]
    gc.collect()
    assert server.handles[0].result() == 0
    (request,) = server.requests
    assert request.also == ()
    assert [handle.result() for handle in server.handles] == [0, 2, 3]


def test_record_that_was_not_requested_is_ignored() -> None:
    server = Server(2)
    other = record(execution_id="another", result=7)
    original = server.request

    def add_another(request: Outgoing, timeout: float | None, *, hold: float) -> Reply:
        reply = original(request, timeout, hold=hold)
        return reply.model_copy(update={"also": (other, server.records["e1"])})

    server.request = add_another  # type: ignore[method-assign]
    assert [handle.result() for handle in server.handles] == [0, 1]
