"""A proxy forwards messages in both directions on both channels, except for its faults."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import pytest
import zmq

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ErrorCode, StateEvent, ZMQRuntimeError
from zmqruntime.testing import (
    ClientFactory,
    FakeExecutionServer,
    FakeServerFactory,
    Fault,
    FaultProxy,
    Lane,
    ProxyFailed,
    RecordedProgress,
    RuleNeverFired,
    Script,
    UsedAfterTest,
)
from zmqruntime.testing.endpoint import client_arguments
from zmqruntime.transport import TransportMode, ZMQConfig

PATIENCE = 30.0

MODES = [mode for mode in TransportMode if mode is TransportMode.TCP or zmq.has("ipc")]


@pytest.fixture
def zmq_config(zmq_config: ZMQConfig) -> ZMQConfig:
    # Longer than any test waits: only a subscription can complete a registration.
    return dataclasses.replace(zmq_config, retry_interval=0.3, registration_timeout=2 * PATIENCE)


@pytest.fixture(params=MODES)
def fake(
    request: pytest.FixtureRequest, fake_execution_server: FakeServerFactory
) -> FakeExecutionServer:
    fake = fake_execution_server(transport_mode=request.param)
    fake.always(Script().progress(1, 2).progress(2, 2).complete("done"))
    return fake


@pytest.fixture
def proxy(
    fake: FakeExecutionServer, fault_proxy: Callable[[FakeExecutionServer], FaultProxy]
) -> FaultProxy:
    return fault_proxy(fake)


def keep_no_events(fake: FakeExecutionServer) -> None:
    """Disable the replay of lost events."""
    fake.reject(ErrorCode.UNKNOWN_EXECUTION, request="events", times=None)


def test_proxy_forwards_messages_of_several_clients(
    proxy: FaultProxy, execution_client: ClientFactory
) -> None:
    for _ in range(2):
        recorded = RecordedProgress()
        client = execution_client(proxy, progress_callback=recorded)
        handle = client.submit_execution({})
        assert handle.result(PATIENCE) == "done"
        events = recorded.until_end(handle.execution_id)
        assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
        assert recorded.events == events


def test_server_behind_a_proxy_knows_subscribers(
    proxy: FaultProxy, execution_client: ClientFactory, fake: FakeExecutionServer
) -> None:
    other = execution_client(fake)
    client = execution_client(proxy, progress_callback=print)
    assert other.ping().progress_subscribers == (client.client_id,)
    proxy.cut()
    deadline = time.monotonic() + PATIENCE
    while other.ping().progress_subscribers:
        assert time.monotonic() < deadline


def test_server_behind_a_proxy_knows_both_clients_of_one_name(
    proxy: FaultProxy, execution_client: ClientFactory
) -> None:
    # Each registration needs its own subscription; both have the same prefix.
    started = time.monotonic()
    for _ in range(2):
        execution_client(proxy, client_id="lab", progress_callback=print)
    assert time.monotonic() - started < PATIENCE


def test_delayed_message_is_dropped_by_a_cut(
    fake: FakeExecutionServer,
    proxy: FaultProxy,
    execution_client: ClientFactory,
    recorded_progress: RecordedProgress,
) -> None:
    keep_no_events(fake)
    client = execution_client(proxy, progress_callback=recorded_progress)
    proxy.delay(Lane.EVENTS, 0.1, completed=1)
    client.submit_execution({}).wait(PATIENCE)
    proxy.cut()
    proxy.restore()
    assert client.ping().ready
    proxy.delay(Lane.REPLIES, 0.3, type="pong")
    assert client.ping().ready
    assert not [event for event in recorded_progress.progress if event.completed == 1]


def test_endpoint_is_closed_by_cut_and_reopened_by_restore(
    proxy: FaultProxy, execution_client: ClientFactory
) -> None:
    client = execution_client(proxy)
    for _ in range(3):
        proxy.cut()
        proxy.cut()
        proxy.restore()
        proxy.restore()
        assert client.ping().ready


def test_delayed_message_is_overtaken(
    fake: FakeExecutionServer,
    proxy: FaultProxy,
    execution_client: ClientFactory,
    recorded_progress: RecordedProgress,
) -> None:
    keep_no_events(fake)
    client = execution_client(proxy, progress_callback=recorded_progress)
    proxy.delay(Lane.EVENTS, PATIENCE, completed=1)
    handle = client.submit_execution({})
    events = recorded_progress.until_end(handle.execution_id)
    assert [event.sequence for event in events] == [1, 2, 4, 5]


def test_faults_can_be_awaited(proxy: FaultProxy, execution_client: ClientFactory) -> None:
    client = execution_client(proxy)
    rule = proxy.drop(Lane.REPLIES, type="pong")
    assert not rule.fired
    thread = threading.Thread(target=client.ping)
    thread.start()
    proxy.await_faults(PATIENCE)
    assert rule.fired
    thread.join()


def test_unfired_rule_is_reported(fake: FakeExecutionServer) -> None:
    with FaultProxy(fake) as proxy:
        proxy.drop(Lane.REPLIES, type="shutdown_ack")
        with pytest.raises(RuleNeverFired, match="never fired: 0 messages matched"):
            proxy.await_faults(0.01)
        with pytest.raises(RuleNeverFired, match="messages on replies: none"):
            proxy.check()
        proxy._plan.rules.clear()


def test_seed_is_printed(proxy: FaultProxy, capsys: pytest.CaptureFixture[str]) -> None:
    seed = proxy.misbehave(0.5)
    assert f"call misbehave(0.5, seed={seed})" in capsys.readouterr().out
    assert proxy.misbehave(0.5, seed=3, faults=[Fault.DROP], lanes=[Lane.EVENTS]) == 3


def test_proxies_can_be_chained(
    proxy: FaultProxy,
    fault_proxy: Callable[[FaultProxy], FaultProxy],
    execution_client: ClientFactory,
) -> None:
    client = execution_client(fault_proxy(proxy), progress_callback=print)
    handle = client.submit_execution({})
    *_, last = handle.progress()
    assert isinstance(last, StateEvent)


def test_error_replies_are_forwarded(
    proxy: FaultProxy, fake: FakeExecutionServer, execution_client: ClientFactory
) -> None:
    client = execution_client(proxy)
    fake.reject(ErrorCode.QUEUE_FULL)
    with pytest.raises(Exception, match="the test wants it so"):
        client.submit_execution({})


def test_stop_leaves_no_thread_and_no_socket_file(fake: FakeExecutionServer) -> None:
    before = set(threading.enumerate())
    with FaultProxy(fake) as proxy:
        paths = [proxy.endpoint.data_path, proxy.endpoint.control_path]
    assert set(threading.enumerate()) == before
    assert not [path for path in paths if path.exists()]


def test_failed_proxy_raises_its_cause_in_every_call(
    fake: FakeExecutionServer, zmq_config: ZMQConfig
) -> None:
    proxy = FaultProxy(fake)
    proxy.cut_at(Lane.REQUESTS, restore_after=0.0)
    taken = proxy.endpoint
    with zmq.Context() as context, context.socket(zmq.ROUTER) as holder:
        holder.linger = 0
        cut = proxy._cut

        def cut_and_take() -> None:
            cut()
            proxy._cut = cut  # type: ignore[method-assign]
            holder.bind(taken.control_address)

        proxy._cut = cut_and_take  # type: ignore[method-assign]
        client = ExecutionClient(**client_arguments(taken), config=zmq_config)
        with pytest.raises(ZMQRuntimeError):
            client.connect(0.5)
        client.disconnect()
        proxy._thread.join(PATIENCE)
        for use in (proxy.await_faults, proxy.check, proxy.cut, proxy.restore, proxy.stop):
            with pytest.raises(ProxyFailed, match="forwards no messages: AddressInUse"):
                use()
    assert not proxy._thread.is_alive()


def test_pending_call_fails_with_the_proxy(fake: FakeExecutionServer) -> None:
    proxy = FaultProxy(fake)

    def fail() -> None:
        queued.wait()
        raise OSError("no more")

    queued = threading.Event()
    proxy._loop.post(fail)
    post = proxy._loop.post

    def post_and_tell(callback: Callable[[], None]) -> None:
        post(callback)
        queued.set()

    proxy._loop.post = post_and_tell  # type: ignore[method-assign]
    with pytest.raises(ProxyFailed, match="no more"):
        proxy.cut()
    with pytest.raises(ProxyFailed, match="no more"):
        proxy.stop()


def test_in_memory_fake_is_rejected(
    fake_execution_server: FakeServerFactory, fault_proxy: Callable[..., FaultProxy]
) -> None:
    with pytest.raises(TypeError, match="without in_memory=True"):
        fault_proxy(fake_execution_server(in_memory=True))


def test_use_after_stop_is_rejected(fake: FakeExecutionServer) -> None:
    with FaultProxy(fake) as proxy:
        pass
    for use in (proxy.cut, proxy.restore, lambda: proxy.drop(Lane.EVENTS), proxy.misbehave):
        with pytest.raises(UsedAfterTest, match="request the fixture in each test"):
            use()
