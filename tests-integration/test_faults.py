"""Lost, duplicated, late and damaged messages between a client and a real server with its worker.

A proxy between them injects the faults.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from applications import Workshop
from waiting import PATIENCE, eventually

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionServer,
    RequestRejected,
    WaitPolicy,
    WaitTimeout,
)
from zmqruntime.messages import (
    ErrorCode,
    ExecutionStatus,
    MessageError,
    StateEvent,
)
from zmqruntime.testing import (
    ClientFactory,
    Fault,
    FaultProxy,
    Lane,
    RecordedProgress,
    ServerFactory,
    isolated_config,
)
from zmqruntime.transport import RequestTimeout, ServerLost, TransportMode

Count = Callable[[], int]

RETRY = 0.5
SHORT = WaitPolicy(poll_interval=0.2)
"""A short hold: the loss of a held reply is detected when the hold is over."""


@pytest.fixture(scope="module", params=list(TransportMode))
def server(request: pytest.FixtureRequest) -> Iterator[ExecutionServer]:
    """A server that several tests share; each has to leave it idle."""
    with isolated_config() as config:
        impatient = dataclasses.replace(config, retry_interval=RETRY)
        with ServerFactory(impatient) as servers:
            yield servers(Workshop, transport_mode=request.param)


@pytest.fixture
def proxy(
    server: ExecutionServer, fault_proxy: Callable[[ExecutionServer], FaultProxy]
) -> FaultProxy:
    return fault_proxy(server)


@pytest.fixture
def client(proxy: FaultProxy, execution_client: ClientFactory) -> ExecutionClient:
    return execution_client(proxy)


@pytest.fixture
def listener(
    proxy: FaultProxy, execution_client: ClientFactory, recorded_progress: RecordedProgress
) -> ExecutionClient:
    return execution_client(proxy, progress_callback=recorded_progress)


@pytest.fixture
def count_runs(server: ExecutionServer, execution_client: ClientFactory) -> Count:
    """Count the tasks that the worker has run in this test."""
    client = execution_client(server)

    def calls() -> int:
        described: Any = client.execute({"do": "describe"}, timeout=PATIENCE)
        return int(described["calls"])

    before = calls()
    return lambda: calls() - before - 1  # The query is a task as well.


# -- requests and replies ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "lane", "kind"),
    [
        (Fault.DROP, Lane.REQUESTS, "execute"),
        (Fault.DROP, Lane.REPLIES, "accepted"),
        (Fault.DUPLICATE, Lane.REQUESTS, "execute"),
        (Fault.DUPLICATE, Lane.REPLIES, "accepted"),
        (Fault.REORDER, Lane.REQUESTS, "execute"),
        (Fault.REORDER, Lane.REPLIES, "accepted"),
    ],
)
def test_submission_with_a_fault_runs_once(
    client: ExecutionClient,
    proxy: FaultProxy,
    count_runs: Count,
    fault: Fault,
    lane: Lane,
    kind: str,
) -> None:
    getattr(proxy, fault)(lane, type=kind)
    handle = client.submit_execution({"do": "echo", "value": 1})
    assert handle.result(PATIENCE) == 1
    assert count_runs() == 1
    assert client.ping().queued_count == 0


def test_late_reply_is_requested_again_and_matched_to_its_request(
    client: ExecutionClient,
    proxy: FaultProxy,
    count_runs: Count,
) -> None:
    proxy.delay(Lane.REPLIES, 2 * RETRY, type="accepted")
    started = time.monotonic()
    handles = [client.submit_execution({"do": "echo", "value": n}) for n in range(3)]
    assert time.monotonic() - started >= RETRY
    assert [handle.result(PATIENCE) for handle in handles] == [0, 1, 2]
    assert count_runs() == 3


def test_reply_with_a_short_delay_is_received(client: ExecutionClient, proxy: FaultProxy) -> None:
    proxy.delay(Lane.REPLIES, RETRY / 5, type="accepted")
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1


@pytest.mark.parametrize("damage", ["truncate", "garble"])
def test_damaged_reply_raises_and_the_next_request_succeeds(
    client: ExecutionClient, proxy: FaultProxy, damage: str
) -> None:
    getattr(proxy, damage)(Lane.REPLIES, type="pong")
    with pytest.raises(MessageError, match="the reply is not JSON"):
        client.ping()
    assert client.ping().ready


@pytest.mark.parametrize("damage", ["truncate", "garble"])
def test_damaged_request_is_rejected_and_runs_no_task(
    client: ExecutionClient, proxy: FaultProxy, count_runs: Count, damage: str
) -> None:
    getattr(proxy, damage)(Lane.REQUESTS, type="execute")
    with pytest.raises(RequestRejected, match="not JSON") as caught:
        client.submit_execution({"do": "echo", "value": 1})
    assert caught.value.code is ErrorCode.MALFORMED
    assert count_runs() == 0


def test_several_lost_requests_are_retried_until_the_deadline(
    client: ExecutionClient, proxy: FaultProxy
) -> None:
    for nth in (1, 2, 3):
        proxy.drop(Lane.REQUESTS, nth, type="ping")
    assert client.ping(timeout=PATIENCE).ready
    proxy.drop(Lane.REQUESTS, type="ping")
    with pytest.raises(RequestTimeout, match=r"the ping request .* failed"):
        client.ping(timeout=RETRY / 2)


def test_wait_goes_on_after_a_lost_reply(client: ExecutionClient, proxy: FaultProxy) -> None:
    handle = client.submit_execution({"do": "sleep"})
    proxy.drop(Lane.REPLIES, type="snapshot")
    proxy.drop(Lane.REQUESTS, 2, type="status")
    with pytest.raises(WaitTimeout):
        handle.wait(4 * RETRY, SHORT)
    handle.cancel()
    assert handle.wait(PATIENCE, SHORT).status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("lane", [Lane.REQUESTS, Lane.REPLIES])
def test_lost_cancel_is_retried(client: ExecutionClient, proxy: FaultProxy, lane: Lane) -> None:
    handle = client.submit_execution({"do": "sleep"})
    proxy.drop(lane, type="cancel" if lane is Lane.REQUESTS else "ok")
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED


def test_tasks_of_submit_many_with_faults_run_once_each(
    client: ExecutionClient, proxy: FaultProxy, count_runs: Count
) -> None:
    for nth in (3, 17):
        proxy.drop(Lane.REPLIES, nth, type="accepted")
        proxy.drop(Lane.REQUESTS, nth + 1, type="execute")
        proxy.duplicate(Lane.REQUESTS, nth + 2, type="execute")
    handles = client.submit_many({"do": "echo", "value": n} for n in range(20))
    assert [handle.result(PATIENCE) for handle in handles] == list(range(20))
    assert count_runs() == 20


# -- connections ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("lane", "kind"), [(Lane.REQUESTS, "execute"), (Lane.REPLIES, "accepted")])
def test_submission_goes_on_after_a_cut(
    client: ExecutionClient, proxy: FaultProxy, count_runs: Count, lane: Lane, kind: str
) -> None:
    proxy.cut_at(lane, type=kind, restore_after=0.3)
    handle = client.submit_execution({"do": "echo", "value": 1})
    assert handle.result(PATIENCE) == 1
    assert count_runs() == 1


def test_cut_longer_than_the_deadline_raises_server_lost(
    client: ExecutionClient, proxy: FaultProxy
) -> None:
    handle = client.submit_execution({"do": "sleep"})
    proxy.cut()
    with pytest.raises(ServerLost, match="the server was lost"):
        client.ping(timeout=0.3)
    proxy.restore()
    assert handle.status().status is ExecutionStatus.RUNNING
    handle.cancel()


def test_wait_goes_on_after_a_cut(
    client: ExecutionClient,
    proxy: FaultProxy,
    execution_client: ClientFactory,
    server: ExecutionServer,
) -> None:
    handle = client.submit_execution({"do": "sleep"})
    proxy.cut_at(Lane.REQUESTS, type="status", restore_after=0.3)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.wait, PATIENCE)
        proxy.await_faults(PATIENCE)
        execution_client(server).cancel_execution(handle.execution_id)
    assert waiting.result().status is ExecutionStatus.CANCELLED


def test_subscriber_is_registered_again_after_a_cut_and_receives_the_terminal_event(
    listener: ExecutionClient, proxy: FaultProxy, recorded_progress: RecordedProgress
) -> None:
    handle = listener.submit_execution({"do": "sleep"})
    recorded_progress.wait_for(lambda events: any(e.type == "progress" for e in events))
    proxy.cut()
    proxy.restore()
    name = listener.client_id
    eventually(
        lambda: name in listener.ping().progress_subscribers, "the client is registered again"
    )
    handle.cancel()
    last = recorded_progress.until_end(handle.execution_id, PATIENCE)[-1]
    assert isinstance(last, StateEvent)
    assert last.status is ExecutionStatus.CANCELLED


def test_stream_ends_for_an_execution_that_ended_during_a_cut(
    listener: ExecutionClient,
    proxy: FaultProxy,
    execution_client: ClientFactory,
    server: ExecutionServer,
) -> None:
    handle = listener.submit_execution({"do": "sleep"})
    events = handle.progress()
    next(event for event in events if event.type == "progress")
    proxy.cut()
    execution_client(server).cancel_execution(handle.execution_id)
    record = execution_client(server).wait_for_completion(handle.execution_id, timeout=PATIENCE)
    proxy.restore()
    *_, last = events
    assert isinstance(last, StateEvent)
    assert last.status is record.status is ExecutionStatus.CANCELLED


# -- registration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lane", "kind"), [(Lane.REQUESTS, "register_progress"), (Lane.REPLIES, "ok")]
)
def test_lost_registration_is_retried(
    proxy: FaultProxy,
    execution_client: ClientFactory,
    recorded_progress: RecordedProgress,
    lane: Lane,
    kind: str,
) -> None:
    proxy.drop(lane, type=kind)
    client = execution_client(proxy, progress_callback=recorded_progress)
    handle = client.submit_execution({"do": "echo"})
    events = recorded_progress.until_end(handle.execution_id, PATIENCE)
    assert [event.sequence for event in events] == [1, 2, 3]


def test_registration_waits_for_a_late_subscription(
    proxy: FaultProxy, execution_client: ClientFactory, recorded_progress: RecordedProgress
) -> None:
    proxy.delay(Lane.SUBSCRIPTIONS, RETRY / 2, type="subscribe")
    client = execution_client(proxy, progress_callback=recorded_progress)
    handle = client.submit_execution({"do": "echo"})
    events = recorded_progress.until_end(handle.execution_id, PATIENCE)
    assert [event.sequence for event in events] == [1, 2, 3]


def test_lost_subscription_is_reported(proxy: FaultProxy, execution_client: ClientFactory) -> None:
    proxy.drop(Lane.SUBSCRIPTIONS, type="subscribe")
    with pytest.raises(RequestRejected, match="subscribe first") as caught:
        execution_client(proxy, progress_callback=print)
    assert caught.value.code is ErrorCode.NOT_SUBSCRIBED


# -- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["drop", "truncate", "garble"])
def test_lost_event_is_replayed_in_its_place(
    listener: ExecutionClient, proxy: FaultProxy, damage: str
) -> None:
    getattr(proxy, damage)(Lane.EVENTS, completed=2)
    handle = listener.submit_execution({"do": "count", "steps": 4})
    seen = [event.sequence for event in handle.progress()]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert listener.missed_events == 0
    assert handle.result(PATIENCE) == 4


def test_event_without_a_replay_is_counted_as_missed(
    listener: ExecutionClient, proxy: FaultProxy
) -> None:
    proxy.drop(Lane.EVENTS, completed=2)
    proxy.garble(Lane.REPLIES, type="kept_events")
    handle = listener.submit_execution({"do": "count", "steps": 4})
    seen = [event.sequence for event in handle.progress()]
    assert seen == [1, 2, 3, 5, 6, 7]
    assert listener.missed_events == 1


def test_lost_terminal_event_is_derived_from_the_record(
    listener: ExecutionClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.handle._CHECK_SECONDS", 0.3)
    proxy.drop(Lane.EVENTS, type="state", status="complete")
    handle = listener.submit_execution({"do": "count", "steps": 2})
    *_, last = handle.progress()
    assert isinstance(last, StateEvent)
    assert (last.status, last.sequence) == (ExecutionStatus.COMPLETE, 5)


def test_duplicated_event_is_delivered_once(
    listener: ExecutionClient, proxy: FaultProxy, recorded_progress: RecordedProgress
) -> None:
    for n in (1, 3):
        proxy.duplicate(Lane.EVENTS, completed=n)
    handle = listener.submit_execution({"do": "count", "steps": 3})
    events = recorded_progress.until_end(handle.execution_id, PATIENCE)
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert listener.missed_events == 0


def test_reordered_events_are_delivered_in_order(
    listener: ExecutionClient, proxy: FaultProxy, recorded_progress: RecordedProgress
) -> None:
    proxy.reorder(Lane.EVENTS, completed=2)
    handle = listener.submit_execution({"do": "count", "steps": 4})
    events = recorded_progress.until_end(handle.execution_id, PATIENCE)
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6, 7]


# -- random faults -------------------------------------------------------------------------------


def test_executions_under_random_faults_run_once_and_end(
    listener: ExecutionClient,
    proxy: FaultProxy,
    count_runs: Count,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.handle._CHECK_SECONDS", 0.3)
    proxy.misbehave(0.1, max_delay=RETRY / 5)
    for n in range(15):
        handle = listener.submit_execution({"do": "count", "steps": 3}, labels={"n": str(n)})
        *_, last = handle.progress()
        assert isinstance(last, StateEvent)
        record = handle.wait(PATIENCE, SHORT)
        assert (record.status, record.result) == (ExecutionStatus.COMPLETE, 3)
        assert record.labels == {"n": str(n)}
    proxy.misbehave(0.0)
    assert count_runs() == 15
