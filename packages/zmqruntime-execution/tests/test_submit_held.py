"""One task in one round trip, and the same task again where its server was lost."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from zmqruntime.execution.client.request_builder import make_request
from zmqruntime.execution.client.submitter import Submitter
from zmqruntime.messages import AcceptedReply, ExecuteRequest, Reply, decode_request
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
from zmqruntime.transport import Deadline, RequestTimeout, ServerLost, ZMQClient

LOST = ServerLost("it is gone")


class Line:
    """Stands for a client: each request has the answer of the script, or its error."""

    def __init__(self, *answers: Reply | Exception, durable: bool = True) -> None:
        self.asked: list[tuple[ExecuteRequest, float]] = []
        self.waited_until: list[Deadline | None] = []
        self.pong = SimpleNamespace(process="the first", durable=durable)
        self._answers = iter(answers)

    def request(self, request: Outgoing, timeout: float | None, *, hold: float) -> Reply:
        heard = decode_request(encode_with_id(request, "1"))
        assert isinstance(heard, ExecuteRequest)
        self.asked.append((heard, hold))
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def outlast(self, error: object, deadline: Deadline | None = None) -> None:
        self.waited_until.append(deadline)
        if isinstance(error, ServerLost):
            self.pong.process = "another"

    def submit(self, deadline: Deadline, hold: float = 30.0) -> tuple[str, Any]:
        submitter = Submitter(cast(ZMQClient, self), self.outlast)
        return submitter.submit_held(partial(make_request, {"n": 1}, None, "lab"), hold, deadline)


def accepted() -> AcceptedReply:
    return AcceptedReply(execution_id="whichever")


def test_the_server_is_asked_to_hold_its_reply_for_as_long_as_the_client_waits_for_it() -> None:
    line = Line(accepted())
    line.submit(Deadline.after(None), hold=12.5)
    ((request, hold),) = line.asked
    assert (request.wait_seconds, hold) == (12.5, 12.5)


@pytest.mark.parametrize("error", [LOST, RequestTimeout("it is silent")], ids=repr)
def test_what_is_asked_again_is_the_same_work_under_the_same_name(error: Exception) -> None:
    line, deadline = Line(error, error, accepted()), Deadline.after(60)
    execution_id, _ = line.submit(deadline)
    assert [request.execution_id for request, _ in line.asked] == [execution_id] * 3
    assert [request.task for request, _ in line.asked] == [{"n": 1}] * 3
    assert line.waited_until == [deadline] * 2


def test_a_server_that_is_back_holds_nothing() -> None:
    line = Line(LOST, accepted())
    line.submit(Deadline.after(60))
    _, (request, hold) = line.asked
    assert (request.wait_seconds, hold) == (0.0, 0.0)


def test_another_server_that_has_kept_nothing_is_not_asked() -> None:
    line = Line(LOST, durable=False)
    execution_id, record = line.submit(Deadline.after(60))
    assert record is None
    assert [request.execution_id for request, _ in line.asked] == [execution_id]


def test_the_same_server_is_asked_again_though_it_keeps_nothing() -> None:
    line = Line(RequestTimeout("it is silent"), accepted(), durable=False)
    line.submit(Deadline.after(60))
    assert len(line.asked) == 2
