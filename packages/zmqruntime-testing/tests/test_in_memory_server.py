"""`InMemoryExecutionServer`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zmq

from zmqruntime.execution import ExecutionClient, WaitTimeout
from zmqruntime.messages import ErrorKind, Event, ExecutionStatus, JsonObject, StateEvent
from zmqruntime.testing import (
    InMemoryExecutionServer,
    Script,
    connect_in_memory,
)
from zmqruntime.testing.fake.scripted_server import ScriptedServer
from zmqruntime.transport import MessageTooLarge, NotConnected, ServerLost, ZMQConfig


class StitchClient(ExecutionClient):
    """A client class of an application."""

    def serialize_task(self, task: Any, config: Any = None) -> tuple[JsonObject, JsonObject | None]:
        return {"tiles": list(task)}, None


def use(fake: ScriptedServer, make_client: Callable[..., ExecutionClient]) -> None:
    """Run the steps of a typical test."""
    fake.plan(Script().progress(1, 2).progress(2, 2).complete({"stitched": 2}))
    client = make_client(fake, progress_callback=lambda _: None)
    handle = client.submit_execution({"tiles": ["a", "b"]})
    assert handle.result() == {"stitched": 2}
    assert len(list(handle.progress())) == 5
    client.disconnect()


def use_it() -> None:
    with InMemoryExecutionServer() as fake:
        use(fake, lambda fake, **options: connect_in_memory(fake, ExecutionClient, **options))


def test_in_memory_fake_opens_no_socket_and_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket, or a thread, was opened")

    monkeypatch.setattr(zmq, "Context", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "socketpair", refuse)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    use_it()


def test_in_memory_fake_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was waited for")

    monkeypatch.setattr(time, "sleep", refuse)
    monkeypatch.setattr(threading.Condition, "wait", refuse)
    monkeypatch.setattr(threading.Thread, "join", refuse)
    use_it()


def test_client_has_the_class_of_the_application() -> None:
    with InMemoryExecutionServer() as fake:
        fake.always(lambda request: Script().complete(request.task["tiles"]))
        client = connect_in_memory(fake, StitchClient, client_id="lab")
        assert isinstance(client, StitchClient)
        assert client.execute(("a", "b")) == ["a", "b"]
        assert client.client_id == "lab"


def test_function_is_rejected_as_client_class() -> None:
    with InMemoryExecutionServer() as fake, pytest.raises(TypeError, match="class derived from"):
        connect_in_memory(fake, lambda **options: ExecutionClient(**options))


def test_advance_expires_timeouts() -> None:
    with InMemoryExecutionServer() as fake:
        client = connect_in_memory(fake, ExecutionClient)
        fake.plan(Script().never_end(), Script().never_end(deaf=True))
        limited = client.submit_execution({}, timeout_seconds=3600)
        fake.advance(3599)
        assert not limited.done()
        fake.advance(2)
        error = limited.status().error
        assert error is not None
        assert error.kind is ErrorKind.TIMEOUT
        deaf = client.submit_execution({})
        deaf.cancel()
        assert not deaf.done()
        fake.advance(6)
        assert deaf.status().status is ExecutionStatus.CANCELLED


def test_wait_has_its_real_duration() -> None:
    with InMemoryExecutionServer() as fake:
        fake.plan(Script().never_end())
        handle = connect_in_memory(fake, ExecutionClient).submit_execution({})
        with pytest.raises(WaitTimeout):
            handle.result(timeout=0.05)


def test_callback_can_send_requests() -> None:
    def cancel(event: Event) -> None:
        if event.type == "progress":
            client.cancel_execution(event.execution_id)

    with InMemoryExecutionServer() as fake:
        fake.plan(Script().progress(1, 2).pause().complete())
        client = connect_in_memory(fake, ExecutionClient, progress_callback=cancel)
        assert client.submit_execution({}).status().status is ExecutionStatus.CANCELLED


def test_client_receives_only_its_own_events() -> None:
    heard: list[Event] = []
    with InMemoryExecutionServer() as fake:
        fake.always(Script().complete())
        connect_in_memory(fake, ExecutionClient, progress_callback=heard.append)
        connect_in_memory(fake, ExecutionClient).execute({})
    assert heard == []


def test_client_can_follow_an_execution_of_another_client() -> None:
    with InMemoryExecutionServer() as fake:
        fake.plan(Script().never_end())
        one = connect_in_memory(fake, ExecutionClient, client_id="one")
        other = connect_in_memory(fake, ExecutionClient, client_id="other")
        handle = one.submit_execution({})
        assert next(other.attach(handle.execution_id).progress()).type == "state"
        events = other.attach(handle.execution_id).progress()
        handle.cancel()
        *_, last = events
        assert isinstance(last, StateEvent)
        assert last.status is ExecutionStatus.CANCELLED


def test_oversized_request_is_not_sent() -> None:
    with InMemoryExecutionServer(ZMQConfig(max_message_bytes=128 * 1024)) as fake:
        client = connect_in_memory(fake, ExecutionClient)
        with pytest.raises(MessageTooLarge):
            client.submit_execution({"x": "x" * 200_000})


def test_disconnected_client_must_reconnect() -> None:
    with InMemoryExecutionServer() as fake:
        client = connect_in_memory(fake, ExecutionClient, progress_callback=print)
        assert client.connected
        assert client.connect() is client.connect()
        client.disconnect()
        client.disconnect()
        assert not client.connected
        with pytest.raises(NotConnected):
            client.ping()
        with client:
            assert client.ping().progress_subscribers == (client.client_id,)


def test_stopped_fake_is_a_lost_server() -> None:
    with InMemoryExecutionServer() as fake:
        client = connect_in_memory(fake, ExecutionClient)
    with pytest.raises(ServerLost, match="has stopped"):
        client.ping()


def test_thread_waits_for_an_execution_of_another_thread() -> None:
    with InMemoryExecutionServer() as fake:
        fake.plan(*[Script().pause().complete(n) for n in range(8)])
        client = connect_in_memory(fake, ExecutionClient)
        handles = [client.submit_execution({}) for _ in range(8)]
        results: list[object] = []
        threads = [threading.Thread(target=lambda h=h: results.append(h.result())) for h in handles]
        for thread in threads:
            thread.start()
        for _ in handles:
            fake.step()
        for thread in threads:
            thread.join(30)
        assert sorted(map(str, results)) == [str(n) for n in range(8)]


def test_disconnect_ends_a_pause_before_a_retry() -> None:
    with InMemoryExecutionServer() as fake, ThreadPoolExecutor() as threads:
        client = connect_in_memory(fake, ExecutionClient)
        pause = threads.submit(client.pause, 3600.0)
        client.disconnect()
        assert isinstance(pause.exception(60), NotConnected)
        with pytest.raises(NotConnected):
            client.pause(0.0)
