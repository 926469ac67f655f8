"""`Submitter`: held, pipelined and followed submissions, with retries and cancels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest

from zmqruntime.execution import (
    ExecutionClient,
    QueueFull,
)
from zmqruntime.execution.client.request_builder import make_request
from zmqruntime.execution.client.submitter import Submitter
from zmqruntime.messages import (
    AcceptedReply,
    CancelRequest,
    ErrorCode,
    ErrorReply,
    ExecuteRequest,
    OkReply,
    Reply,
    decode_request,
)
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
from zmqruntime.transport import RequestTimeout, ServerLost, ZMQClient
from zmqruntime.transport.lowlevel import Deadline

# -- one held request


LOST = ServerLost("gone")


class ScriptedClient:
    """Test double of a client: each request gets the next scripted reply or error."""

    def __init__(self, *replies: Reply | Exception, durable: bool = True) -> None:
        self.requests: list[tuple[ExecuteRequest, float]] = []
        self.waited_until: list[Deadline | None] = []
        self.pong = SimpleNamespace(process="first", durable=durable)
        self._replies = iter(replies)

    def request(self, request: Outgoing, timeout: float | None, *, hold: float) -> Reply:
        decoded = decode_request(encode_with_id(request, "1"))
        assert isinstance(decoded, ExecuteRequest)
        self.requests.append((decoded, hold))
        reply = next(self._replies)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def outlast(self, error: object, deadline: Deadline | None = None) -> None:
        self.waited_until.append(deadline)
        if isinstance(error, ServerLost):
            self.pong.process = "another"

    def submit(self, deadline: Deadline, hold: float = 30.0) -> tuple[str, Any]:
        submitter = Submitter(cast(ZMQClient, self), self.outlast)
        return submitter.submit_held(partial(make_request, {"n": 1}, None, "lab"), hold, deadline)


def accepted() -> AcceptedReply:
    return AcceptedReply(execution_id="any")


def test_held_submission_requests_the_hold_that_the_client_waits() -> None:
    line = ScriptedClient(accepted())
    line.submit(Deadline.after(None), hold=12.5)
    ((request, hold),) = line.requests
    assert (request.wait_seconds, hold) == (12.5, 12.5)


@pytest.mark.parametrize("error", [LOST, RequestTimeout("no reply")], ids=repr)
def test_retry_repeats_the_task_and_its_execution_id(error: Exception) -> None:
    line, deadline = ScriptedClient(error, error, accepted()), Deadline.after(60)
    execution_id, _ = line.submit(deadline)
    assert [request.execution_id for request, _ in line.requests] == [execution_id] * 3
    assert [request.task for request, _ in line.requests] == [{"n": 1}] * 3
    assert line.waited_until == [deadline] * 2


def test_retry_is_not_held() -> None:
    line = ScriptedClient(LOST, accepted())
    line.submit(Deadline.after(60))
    _, (request, hold) = line.requests
    assert (request.wait_seconds, hold) == (0.0, 0.0)


def test_server_restarted_without_a_journal_gets_no_retry() -> None:
    line = ScriptedClient(LOST, durable=False)
    execution_id, record = line.submit(Deadline.after(60))
    assert record is None
    assert [request.execution_id for request, _ in line.requests] == [execution_id]


def test_same_server_without_a_journal_gets_a_retry() -> None:
    line = ScriptedClient(RequestTimeout("no reply"), accepted(), durable=False)
    line.submit(Deadline.after(60))
    assert len(line.requests) == 2


# -- many pipelined requests


def test_interrupted_submit_many_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted: list[str] = []
    cancelled: list[str] = []

    def pipeline(_: object, requests: Iterable[Any], **__: object) -> Iterator[Any]:
        for request in requests:
            if isinstance(request, CancelRequest):
                cancelled.append(request.execution_id)
                yield request, OkReply()
                continue
            accepted.append(request.execution_id)
            if len(accepted) == 70:
                raise KeyboardInterrupt
            yield request, AcceptedReply(execution_id=request.execution_id, queue_position=1)

    monkeypatch.setattr(ExecutionClient, "pipeline", pipeline)
    with pytest.raises(KeyboardInterrupt):
        ExecutionClient(7777).submit_many([{}] * 70)
    assert len(accepted) == 70
    assert cancelled == accepted[::-1]


class ScriptedPipeline:
    """Replaces the pipeline of a client: replies to requests one by one, in order."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, reply: Callable[[ExecuteRequest], Reply]
    ) -> None:
        self.tries = 0
        self.executed: list[str] = []
        self.cancelled: list[str] = []
        self._reply = reply
        monkeypatch.setattr(ExecutionClient, "pipeline", self._pipeline)
        monkeypatch.setattr(ExecutionClient, "outlast", lambda *_: None)
        monkeypatch.setattr(ExecutionClient, "pong", SimpleNamespace(process=None, durable=False))

    def _pipeline(
        self, requests: Iterable[Outgoing | None], *, hold: float, window: int
    ) -> Iterator[tuple[Outgoing, Reply]]:
        self.tries += 1
        source = iter(requests)
        outstanding: deque[Outgoing] = deque()
        while True:
            while len(outstanding) < window and (request := next(source, None)) is not None:
                outstanding.append(request)
            if not outstanding:
                return
            request = outstanding.popleft()
            decoded = decode_request(encode_with_id(request, "1"))
            if isinstance(decoded, CancelRequest):
                self.cancelled.append(decoded.execution_id)
                yield request, OkReply()
            else:
                assert isinstance(decoded, ExecuteRequest)
                self.executed.append(decoded.execution_id or "")
                yield request, self._reply(decoded)


def accept(request: ExecuteRequest) -> AcceptedReply:
    return AcceptedReply(execution_id=request.execution_id or "", queue_position=1)


FULL = ErrorReply(code=ErrorCode.QUEUE_FULL, message="full")


def test_cancels_follow_the_sent_requests_on_the_same_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = ScriptedPipeline(monkeypatch, lambda r: FULL if r.task["n"] == 0 else accept(r))
    with pytest.raises(QueueFull):
        ExecutionClient(7777).submit_many({"n": n} for n in range(200))
    assert line.tries == 1
    # Neither the refused one nor unsent ones are cancelled.
    assert line.cancelled == line.executed[:0:-1]
    assert len(line.cancelled) == 63


@pytest.mark.parametrize("ending", ["refused", "closed", "interrupted"])
def test_outstanding_requests_are_cancelled_when_following_ends_early(
    monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    line = ScriptedPipeline(monkeypatch, lambda r: FULL if r.task["n"] == "refused" else accept(r))

    def tasks() -> Iterator[dict[str, Any]]:
        yield from ({"n": n} for n in range(3))
        if ending == "interrupted":
            raise KeyboardInterrupt
        yield {"n": "refused" if ending == "refused" else 3}
        yield from ({"n": n} for n in range(100))

    following = ExecutionClient(7777).follow_many(tasks(), window=3)
    yielded = [handle.execution_id for handle, _ in islice(following, 1)]
    if ending == "closed":
        following.close()
    else:
        with pytest.raises((QueueFull, KeyboardInterrupt)):
            yielded.extend(handle.execution_id for handle, _ in following)
    assert line.tries == 1
    refused = line.executed[3:4] if ending == "refused" else []
    assert line.executed[0] == yielded[0]
    assert line.cancelled == sorted(
        set(line.executed) - {*yielded, *refused}, key=line.executed.index, reverse=True
    )


@pytest.mark.parametrize("error", [RequestTimeout("no reply"), ServerLost("gone")])
def test_following_ends_after_repeated_losses_without_a_reply(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    replies = iter([True, False, False, True, False, False, False])

    def reply(request: ExecuteRequest) -> Reply:
        if not next(replies):
            raise error
        return accept(request)

    line = ScriptedPipeline(monkeypatch, reply)
    with pytest.raises(type(error)):
        list(ExecutionClient(7777).follow_many(({"n": n} for n in range(9)), window=1))
    assert line.tries == 5
    assert line.cancelled == []
