"""Final records of further executions come along with the one that is waited for."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest
from asking import record

from zmqruntime.execution import ExecutionFailed, ExecutionHandle, UnknownExecution
from zmqruntime.execution.client.read_ahead import ReadAhead
from zmqruntime.messages import (
    MAX_ALSO,
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    Outgoing,
    Reply,
    StatusRequest,
)

RUNNING, COMPLETE, FAILED = (
    ExecutionStatus.RUNNING,
    ExecutionStatus.COMPLETE,
    ExecutionStatus.FAILED,
)


class Server:
    """Stands for a client: its server knows these records, and may not know ``also``."""

    def __init__(self, count: int, *, knows_also: bool = True) -> None:
        self.names = [f"e{number}" for number in range(count)]
        self.records: dict[str, ExecutionRecord] = {
            name: record(execution_id=name, result=number) for number, name in enumerate(self.names)
        }
        self.asked: list[StatusRequest] = []
        self._knows_also = knows_also
        read_ahead = ReadAhead(cast(Any, self), self.outlast)
        self.handles = [
            ExecutionHandle(cast(Any, self), name, read_ahead=read_ahead) for name in self.names
        ]

    def outlast(self, error: BaseException, deadline: object = None) -> None:
        raise error

    def pause(self, seconds: float) -> None:
        raise AssertionError(f"a retry after {seconds} s")

    def request(self, request: Outgoing, timeout: float | None, *, hold: float) -> Reply:
        assert isinstance(request, StatusRequest)
        self.asked.append(request)
        own = self.records.get(request.execution_id or "")
        if own is None:
            return ErrorReply(code=ErrorCode.UNKNOWN_EXECUTION, message="it is not kept")
        found = [self.records.get(name) for name in request.also if self._knows_also]
        ended = tuple(one for one in found if one is not None and one.status.is_terminal)
        return ExecutionStatusSnapshot(execution=own, also=ended)

    def goes_on(self, *names: str) -> None:
        for name in names:
            self.records[name] = record(RUNNING, execution_id=name)


def test_results_of_many_short_tasks_take_few_requests() -> None:
    server = Server(1000)
    assert [handle.result() for handle in server.handles] == list(range(1000))
    assert len(server.asked) <= 10 + 1000 / MAX_ALSO


def test_results_are_the_same_from_a_server_that_does_not_know_the_field() -> None:
    server = Server(50, knows_also=False)
    assert [handle.result() for handle in server.handles] == list(range(50))
    assert [request.execution_id for request in server.asked] == server.names
    assert max(len(request.also) for request in server.asked) <= 2


def test_executions_that_take_long_are_named_in_few_requests_beforehand() -> None:
    server = Server(200)
    server.goes_on(*server.names[1:])
    for number, handle in enumerate(server.handles):
        name = server.names[number]
        server.records[name] = record(execution_id=name, result=number)
        assert handle.result() == number
    assert max(len(request.also) for request in server.asked) <= 2


def test_failure_is_raised_by_its_own_handle_alone() -> None:
    server = Server(3)
    server.records["e1"] = record(
        FAILED,
        execution_id="e1",
        error=ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="it broke"),
    )
    assert server.handles[0].result() == 0
    with pytest.raises(ExecutionFailed):
        server.handles[1].result()
    assert server.handles[2].result() == 2


def test_execution_that_is_not_kept_is_reported_by_its_own_handle_alone() -> None:
    server = Server(3)
    del server.records["e1"]
    assert server.handles[0].result() == 0
    with pytest.raises(UnknownExecution):
        server.handles[1].result()
    assert server.handles[2].result() == 2


def test_records_that_were_read_along_are_not_asked_for_again() -> None:
    server = Server(3)
    server.handles[0].wait()
    asked = len(server.asked)
    assert [handle.done() for handle in server.handles] == [True] * 3
    assert server.handles[1].status() is server.handles[1].wait()
    assert len(server.asked) == asked


def test_results_read_from_the_last_one_on_are_right() -> None:
    server = Server(20)
    assert [handle.result() for handle in reversed(server.handles)] == list(range(20))[::-1]


def test_handle_that_is_dropped_keeps_no_other_alive_and_is_not_read() -> None:
    server = Server(4)
    del server.handles[1]
    gc.collect()
    assert server.handles[0].result() == 0
    (request,) = server.asked
    assert request.also == ()
    assert [handle.result() for handle in server.handles] == [0, 2, 3]


def test_record_that_nobody_named_is_ignored() -> None:
    server = Server(2)
    other = record(execution_id="another", result=7)
    answer = server.request

    def add_another(request: Outgoing, timeout: float | None, *, hold: float) -> Reply:
        reply = answer(request, timeout, hold=hold)
        return reply.model_copy(update={"also": (other, server.records["e1"])})

    server.request = add_another  # type: ignore[method-assign]
    assert [handle.result() for handle in server.handles] == [0, 1]
