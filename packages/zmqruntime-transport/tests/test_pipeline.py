"""Pipelines: requests within a window, and replies in the order in which they come."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import zmq
from transport_peers import (
    HELD,
    PATIENCE_SECONDS,
    FakeServer,
    OpenServer,
    eventually,
    impatient,
    swallow,
)

from zmqruntime.messages import (
    ExecuteRequest,
    PingRequest,
    RegisterProgressRequest,
)
from zmqruntime.transport import (
    Endpoint,
    MessageTooLarge,
    RequestTimeout,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)

BareContext = zmq.Context[zmq.Socket[bytes]]


def test_pipeline_takes_the_next_request_when_its_window_has_room(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    taken: list[int] = []

    def requests() -> Iterator[PingRequest]:
        for number in range(50):
            taken.append(number)
            yield PingRequest(request_id=f"r{number}")

    with FakeServer(endpoint, swallow(0)), ZMQClient(config=config) as client:
        come: list[str | None] = []
        for request, reply in client.pipeline(requests(), window=5):
            assert reply.request_id == request.request_id
            come.append(reply.request_id)
            assert len(taken) - len(come) < 5
        assert come == [f"r{number}" for number in range(50)]
        assert list(client.pipeline([])) == []


def test_request_is_sent_before_the_next_is_taken(config: ZMQConfig, endpoint: Endpoint) -> None:
    taken: list[PingRequest] = []
    come: list[object] = []

    def requests() -> Iterator[PingRequest]:
        while (
            not come
        ):  # Replies are yielded although the source continues and the window has room.
            taken.append(PingRequest())
            yield taken[-1]
            eventually(lambda: len(fake.received) == 1 + len(taken))

    with FakeServer(endpoint, swallow(0)) as fake, ZMQClient(config=config) as client:
        for request, _ in client.pipeline(requests(), window=10_000):
            come.append(request)
    assert come == taken


def test_source_of_a_pipeline_may_yield_none_until_the_next_reply(server: OpenServer) -> None:
    come: list[str] = []

    def requests() -> Iterator[PingRequest | None]:
        for name in "abc":
            yield PingRequest(request_id=name)
        for last in ("a", "b", "c"):
            while last not in come:
                yield None
            yield PingRequest(request_id=f"after {last}")
        while True:
            yield None

    with ZMQClient(config=server.config) as client:
        for _, reply in client.pipeline(requests()):
            come.append(reply.request_id or "")
    assert sorted(come) == ["a", "after a", "after b", "after c", "b", "c"]


def test_pipeline_reconnects_after_a_connection_was_lost_while_the_source_ran(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)

    def requests() -> Iterator[PingRequest]:
        yield from (PingRequest(), PingRequest())
        server.stop()
        server.start()
        yield PingRequest()
        threading.Event().wait(0.01)
        yield PingRequest()

    with server, ZMQClient(config=config) as client:
        assert [reply.type for _, reply in client.pipeline(requests())] == ["pong"] * 4


def test_held_reply_does_not_delay_the_other_replies_of_a_pipeline(server: OpenServer) -> None:
    with ZMQClient(config=impatient(server.config)) as client:
        replies = client.pipeline([HELD, *[PingRequest() for _ in range(20)]], hold=600.0)
        assert [next(replies)[1].type for _ in range(20)] == ["pong"] * 20
        replies.close()
        assert client.ping().ready


def test_pipeline_retries_only_requests_without_a_reply(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        return None if len(received) == 3 else swallow(0)(received)

    with FakeServer(endpoint, answer) as fake, ZMQClient(config=impatient(config, 1.0)) as client:
        requests = [PingRequest(request_id=name) for name in "abcdef"]
        replies = dict(client.pipeline(requests, PATIENCE_SECONDS, window=3))
    assert {request.request_id for request in replies} == {*"abcdef"}
    asked = [json.loads(frames[-1])["request_id"] for frames in fake.received[1:]]
    assert sorted(asked) == [*"abbcdef"]


def test_pipeline_survives_any_number_of_connections_with_a_reply(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)

    def requests() -> Iterator[PingRequest]:
        for _ in range(8):
            yield PingRequest()
            server.stop()
            server.start()

    with server, ZMQClient(config=config) as client:
        assert len(list(client.pipeline(requests(), window=1))) == 8


@pytest.mark.parametrize("window", [0, -1])
def test_window_without_room_is_refused_before_the_pipeline_starts(
    config: ZMQConfig, window: int
) -> None:
    with pytest.raises(ValueError, match=f"^window is {window}: it has to be at least 1$"):
        ZMQClient(config=config).pipeline([PingRequest()], window=window)


def test_pipeline_times_out_when_no_reply_comes(config: ZMQConfig, endpoint: Endpoint) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        return swallow(0)(received) if len(received) <= 4 else None

    with (
        FakeServer(endpoint, answer) as fake,
        ZMQClient(config=impatient(config)) as client,
        pytest.raises(RequestTimeout, match=r"the ping request to .* failed"),
    ):
        for _ in client.pipeline((PingRequest() for _ in range(10)), 0.3, window=2):
            pass
    assert len(fake.received) >= 4


def test_pipeline_refuses_large_requests_and_duplicate_ids(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        too_large = ExecuteRequest(task={"x": "x" * 70_000_000}, client_id="a")
        with pytest.raises(MessageTooLarge, match="the execute request is 70,"):
            list(client.pipeline([PingRequest(), too_large]))
        held = RegisterProgressRequest(client_id="unsubscribed", request_id="1")
        with pytest.raises(ValueError, match="duplicate request_id"):
            list(client.pipeline([held, PingRequest(request_id="1")]))
        assert client.ping().ready
