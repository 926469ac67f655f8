"""The fakes on sockets and in memory: scripts, refusals, recorded requests.

Each test runs with both fakes.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

import pytest

from zmqruntime.execution import (
    Conflict,
    ExecutionCancelled,
    ExecutionClient,
    ExecutionFailed,
    QueueFull,
    RequestRejected,
    ShuttingDown,
    UnknownExecution,
)
from zmqruntime.messages import (
    CancelRequest,
    ErrorCode,
    ErrorKind,
    ExecuteRequest,
    ExecutionStatus,
    PingRequest,
    ShutdownMode,
)
from zmqruntime.testing import (
    ClientFactory,
    FakeExecutionServer,
    FakeServerFactory,
    InMemoryExecutionServer,
    RecordedProgress,
    Script,
    ScriptMismatch,
)
from zmqruntime.transport import RequestTimeout, ServerLost, ZMQConfig

Fake = FakeExecutionServer | InMemoryExecutionServer
Make = Callable[..., Fake]

PATIENCE = 30.0


@pytest.fixture
def zmq_config(zmq_config: ZMQConfig) -> ZMQConfig:
    # Ignored requests are retried soon.
    return dataclasses.replace(zmq_config, retry_interval=0.2, max_message_bytes=2**20)


@pytest.fixture(params=[False, True], ids=["sockets", "memory"])
def fake(request: pytest.FixtureRequest, fake_execution_server: FakeServerFactory) -> Fake:
    in_memory: bool = request.param
    return fake_execution_server(in_memory=in_memory, cancel_grace_seconds=0.1)


@pytest.fixture
def client(
    fake: Fake, execution_client: ClientFactory, recorded_progress: RecordedProgress
) -> ExecutionClient:
    return execution_client(fake, progress_callback=recorded_progress)


def test_execution_follows_its_script(
    fake: Fake, client: ExecutionClient, recorded_progress: RecordedProgress
) -> None:
    fake.plan(Script().progress(1, 2, phase="stitch").progress(2, 2).complete({"stitched": 2}))
    handle = client.submit_execution({"tiles": ["a", "b"]})
    assert handle.result(PATIENCE) == {"stitched": 2}
    recorded_progress.until_end(handle.execution_id)
    assert [event.percent for event in recorded_progress.progress] == [50, 100]
    assert recorded_progress.progress[0].phase == "stitch"
    numbers = [event.sequence for event in recorded_progress.of(handle.execution_id)]
    assert numbers == [1, 2, 3, 4, 5]


def test_each_execution_uses_the_next_script(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().complete(1), Script().complete(2))
    fake.always(Script().complete("more"))
    assert [client.execute({}, timeout=PATIENCE) for _ in range(4)] == [1, 2, "more", "more"]


def test_script_can_depend_on_the_request(fake: Fake, client: ExecutionClient) -> None:
    fake.always(lambda request: Script().complete(request.task["n"]))
    assert [client.execute({"n": n}, timeout=PATIENCE) for n in (3, 4)] == [3, 4]


def test_scripted_failure_raises_execution_failed(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().fail("no disk", type="OSError", traceback="Traceback ..."))
    with pytest.raises(ExecutionFailed, match="no disk") as caught:
        client.execute({}, timeout=PATIENCE)
    error = caught.value.record.error
    assert error is not None
    assert (error.kind, error.type, error.traceback) == ("exception", "OSError", "Traceback ...")


def test_endless_script_can_be_cancelled(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end())
    handle = client.submit_execution({})
    assert not handle.done()
    handle.cancel()
    with pytest.raises(ExecutionCancelled):
        handle.result(PATIENCE)


def test_deaf_script_is_killed_after_the_grace_period(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end(deaf=True), Script().complete(1))
    handle = client.submit_execution({})
    assert handle.cancel() is ExecutionStatus.RUNNING
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert client.execute({}, timeout=PATIENCE) == 1  # run by a new worker


def test_execution_fails_when_its_worker_dies(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().progress(1, 2).worker_dies(-9), Script().complete("goes on"))
    error = client.submit_execution({}).wait(PATIENCE).error
    assert error is not None
    assert error.kind is ErrorKind.WORKER_DIED
    assert client.execute({}, timeout=PATIENCE) == "goes on"


def test_dead_server_is_reported_as_lost(
    fake: Fake, execution_client: ClientFactory, zmq_config: ZMQConfig
) -> None:
    hasty = dataclasses.replace(zmq_config, request_timeout=2.0, reconnect_timeout=0.5)
    client = execution_client(fake, config=hasty, progress_callback=print)
    fake.plan(Script().progress(1, 2).pause().server_dies())
    handle = client.submit_execution({})
    events = handle.progress()
    assert [next(events).type for _ in range(3)] == ["state", "state", "progress"]
    fake.step()
    with pytest.raises(ServerLost):
        list(events)
    assert not fake.running


def test_step_runs_one_step(
    fake: Fake, client: ExecutionClient, recorded_progress: RecordedProgress
) -> None:
    fake.plan(Script().progress(1, 2).progress(2, 2).complete(3).by_hand())
    handle = client.submit_execution({})
    assert handle.status().progress is None
    for n in (1, 2):
        fake.step()
        progress = handle.status().progress
        assert progress is not None
        assert progress.completed == n
    assert not handle.done()
    fake.step()
    assert handle.done()
    recorded_progress.until_end(handle.execution_id)
    assert len(recorded_progress.progress) == 2


def test_step_waits_for_a_pause(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().pause().complete(5))
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(client.execute({}, timeout=PATIENCE)))
    thread.start()
    fake.step(PATIENCE)
    thread.join()
    assert results == [5]


def test_step_without_a_pause_reports_the_state(fake: Fake, client: ExecutionClient) -> None:
    with pytest.raises(ScriptMismatch, match=r"no execution is running; add pause\(\)"):
        fake.step(0.01)
    fake.plan(Script().never_end())
    client.submit_execution({})
    with pytest.raises(ScriptMismatch, match=r"has reached never_end\(\)"):
        fake.step(0.05)


def test_fake_has_a_real_queue(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end(), Script().complete(1), Script().complete(2))
    first, second, third = [client.submit_execution({"n": n}) for n in range(3)]
    assert third.status().queue_position == 2
    second.cancel()
    first.cancel()
    assert third.result(PATIENCE) == 2
    with pytest.raises(Conflict):
        third.cancel()
    with pytest.raises(UnknownExecution):
        client.get_record("unknown")


def test_duplicate_submission_runs_once(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().complete(1))
    for _ in range(2):
        handle = client.submit_execution({}, execution_id="mine")
        assert handle.result(PATIENCE) == 1
    assert len(fake.asked(ExecuteRequest)) == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (ErrorCode.QUEUE_FULL, QueueFull),
        (ErrorCode.SHUTTING_DOWN, ShuttingDown),
        (ErrorCode.INTERNAL, RequestRejected),
    ],
)
def test_submission_can_be_rejected_with_any_code(
    fake: Fake, client: ExecutionClient, code: ErrorCode, error: type[RequestRejected]
) -> None:
    fake.reject(code, "as the test says")
    fake.plan(Script().complete(1))
    with pytest.raises(error, match="as the test says") as caught:
        client.submit_execution({})
    assert caught.value.code is code
    assert client.execute({}, timeout=PATIENCE) == 1


def test_any_request_type_can_be_rejected(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end())
    handle = client.submit_execution({})
    fake.reject(ErrorCode.INTERNAL, request="cancel", times=2)
    for _ in range(2):
        with pytest.raises(RequestRejected):
            handle.cancel()
    handle.cancel()


def test_requests_can_be_rejected_permanently(fake: Fake, client: ExecutionClient) -> None:
    fake.reject(ErrorCode.QUEUE_FULL, times=None)
    fake.reject(ErrorCode.SHUTTING_DOWN)
    for error in (ShuttingDown, QueueFull, QueueFull):
        with pytest.raises(error):
            client.submit_execution({})


def test_ignored_request_is_retried(fake: Fake, client: ExecutionClient) -> None:
    fake.ignore("execute", times=2)
    fake.plan(Script().complete(1))
    assert client.submit_execution({}).result(PATIENCE) == 1
    asked = fake.asked(ExecuteRequest)
    assert len(asked) == 3
    assert len({request.execution_id for request in asked}) == 1


def test_permanently_ignored_request_times_out(fake: Fake, client: ExecutionClient) -> None:
    fake.ignore("ping", times=None)
    with pytest.raises(RequestTimeout):
        client.ping(timeout=0.5)


def test_requests_are_recorded(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end())
    client.submit_execution({"n": 1}, labels={"run": "7"}).cancel()
    assert [request.type for request in fake.requests] == [
        "ping",
        "register_progress",
        "execute",
        "cancel",
    ]
    (asked,) = fake.asked(ExecuteRequest)
    assert (asked.task, asked.labels, asked.client_id) == ({"n": 1}, {"run": "7"}, client.client_id)


def test_request_can_be_awaited(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end())
    handle = client.submit_execution({})
    thread = threading.Thread(target=handle.cancel)
    thread.start()
    assert fake.await_request(CancelRequest).execution_id == handle.execution_id
    thread.join()
    with pytest.raises(ScriptMismatch, match=r"expected 2 CancelRequest .* so far: ping, r"):
        fake.await_request(CancelRequest, count=2, timeout=0.01)


def test_ping_returns_the_state_of_the_fake(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end())
    handle = client.submit_execution({})
    pong = client.ping(limit=1)
    assert pong.ready
    assert pong.server == type(fake).__name__
    assert [e.execution_id for e in pong.running_executions] == [handle.execution_id]
    assert pong.progress_subscribers == (client.client_id,)
    assert len(fake.asked(PingRequest)) == 2


def test_shutdown_stops_the_fake(fake: Fake, client: ExecutionClient) -> None:
    fake.plan(Script().never_end())
    handle = client.submit_execution({})
    events = handle.progress()
    client.shutdown_server(ShutdownMode.NOW)
    *_, last = events
    assert last.type == "state"
    assert last.error is not None
    assert last.error.kind is ErrorKind.INTERRUPTED


def test_execution_without_a_script_is_rejected_and_reported(
    fake_execution_server: FakeServerFactory, execution_client: ClientFactory, zmq_config: ZMQConfig
) -> None:
    servers = FakeServerFactory(zmq_config)
    for in_memory in (False, True):
        fake = servers(in_memory=in_memory)
        with pytest.raises(RequestRejected, match=r"call fake\.plan"):
            execution_client(fake).submit_execution({"tiles": 7})
        with pytest.raises(ScriptMismatch, match=r"no script for the task \{'tiles': 7\}"):
            fake.check()
    with pytest.raises(ScriptMismatch, match="has no script"):
        servers.close()


def test_oversized_result_fails(fake: Fake, client: ExecutionClient) -> None:
    limit = fake.config.max_message_bytes - 64 * 1024
    fake.plan(Script().complete("x" * (limit - 2)), Script().complete("x" * (limit - 1)))
    assert len(str(client.execute({}))) == limit - 2
    with pytest.raises(ExecutionFailed, match="result is too large") as failed:
        client.execute({})
    assert failed.value.record.error is not None
    assert failed.value.record.error.kind is ErrorKind.RESULT_TOO_LARGE


def no_script(request: ExecuteRequest) -> Script:
    raise KeyError("tiles")


@pytest.mark.parametrize(
    ("writer", "why"),
    [
        (no_script, "KeyError.'tiles'"),
        (lambda request: Script().progress(1), "has no end"),
        (lambda request: None, "AttributeError"),
    ],
)
def test_failing_script_function_is_rejected_and_reported(
    fake: Fake, client: ExecutionClient, writer: Callable[[ExecuteRequest], Script], why: str
) -> None:
    fake.always(writer)
    with pytest.raises(RequestRejected, match=why) as refused:
        client.submit_execution({"a": 1})
    assert refused.value.code is ErrorCode.INTERNAL
    with pytest.raises(ScriptMismatch, match=f"returned no script for .*{why}"):
        fake.check()
    fake._complaints.clear()


def test_unused_scripts_and_refusals_are_reported() -> None:
    fake = InMemoryExecutionServer()
    fake.plan(Script().complete(), Script().complete())
    with pytest.raises(ScriptMismatch, match="unused scripts: 2 of 2"), fake:
        pass
    fake = InMemoryExecutionServer()
    fake.ignore("cancel")
    with pytest.raises(ScriptMismatch, match="1 cancel requests to ignore"), fake:
        pass


def test_error_of_the_test_is_not_replaced() -> None:
    fake = InMemoryExecutionServer()
    fake.plan(Script().complete())
    with pytest.raises(ZeroDivisionError), fake:
        raise ZeroDivisionError


def test_script_without_an_end_is_rejected(fake: Fake) -> None:
    with pytest.raises(ValueError, match="has no end: add complete"):
        fake.plan(Script().progress(1, 2))
    with pytest.raises(ValueError, match="has no end"):
        fake.always(Script())


def test_unknown_request_type_is_rejected(fake: Fake) -> None:
    with pytest.raises(ValueError, match="use one of ping, execute"):
        fake.ignore("dance")  # type: ignore[arg-type]
