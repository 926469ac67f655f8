"""The session: frames to the worker, events to subscribers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zmqruntime.execution import InMemoryLifecycleEngine, RunnerHost, TaskRunner, WorkerReady
from zmqruntime.execution.lifecycle.events import ExecutionEvent, ProgressReport, StateChange
from zmqruntime.execution.lowlevel import ExecutionSession, Scheduler
from zmqruntime.messages import (
    AcceptedReply,
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionStatus,
    decode_event,
    decode_reply,
    decode_request,
    encode,
)
from zmqruntime.transport import Caller, ZMQClient, ZMQConfig


class Worker(TaskRunner):
    """A runner whose worker is ready immediately; records assignments."""

    def __init__(self) -> None:
        self.assigned: list[bytes] = []

    def open(self, host: RunnerHost) -> None:
        self._host = host

    def start_worker(self, slot: int = 0) -> None:
        self._host.loop.post(lambda: self._host.emit(WorkerReady()))

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        self.assigned.append(request)

    def interrupt(self, execution_id: str, slot: int = 0) -> None: ...
    def kill_worker(self, slot: int = 0) -> None: ...
    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[()]:
        return ()

    def close(self) -> None: ...


class Session(ExecutionSession):
    """A session that records its replies."""

    def __init__(self, config: ZMQConfig, worker: Worker) -> None:
        endpoint = ZMQClient(config=config).endpoint
        scheduler = Scheduler(InMemoryLifecycleEngine())
        super().__init__("Lab", "0", endpoint, config, scheduler=scheduler, runner=worker)
        self.replies: list[bytes] = []

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        self.replies.append(frame)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def session(worker: Worker, tmp_path: Path) -> Iterator[Session]:
    session = Session(ZMQConfig(runtime_dir=tmp_path, log_dir=tmp_path), worker)
    session.on_start()
    worker._host.emit(WorkerReady())
    yield session
    session.on_close()
    session.loop.close()
    session.context.destroy()


def submit(session: Session, frame: bytes) -> AcceptedReply:
    session._take_request([b"peer", b"", frame])
    reply = decode_reply(session.replies.pop())
    assert isinstance(reply, AcceptedReply)
    return reply


def test_worker_gets_the_frame_of_the_client(session: Session, worker: Worker) -> None:
    frame = b'{ "type":"execute",  "client_id":"lab", "execution_id":"a", "task":{ "x":1.50 } }'
    assert submit(session, frame).execution_id == "a"
    assert worker.assigned == [frame]


def test_frame_with_line_breaks_is_encoded_again(session: Session, worker: Worker) -> None:
    frame = b'{"type": "execute",\n "client_id": "lab",\n "execution_id": "a", "task": {"x": 1}}'
    submit(session, frame)
    (assigned,) = worker.assigned
    assert b"\n" not in assigned
    assert decode_request(assigned) == decode_request(frame)


def test_task_without_an_id_reaches_the_worker_with_one(session: Session, worker: Worker) -> None:
    name = submit(session, b'{"type": "execute", "client_id": "lab", "task": {}}').execution_id
    (assigned,) = worker.assigned
    assert b'"%b"' % name.encode() in encode(decode_request(assigned))


class FullPublisher:
    """A publisher whose send buffers are full."""

    is_full = True

    def __init__(self) -> None:
        self.left_out = 0

    def log_dropped_events(self, count: int) -> None:
        self.left_out += count


def test_long_reports_are_dropped_while_send_buffers_are_full_and_states_are_not(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[bytes] = []
    publisher = FullPublisher()
    monkeypatch.setattr(session, "publisher", publisher, raising=False)
    monkeypatch.setattr(session, "publish", lambda topic, *events: published.extend(events))
    session.registrations.apply(b"\1lab/")
    long_error = ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="x" * 20_000)
    events: list[ExecutionEvent] = [
        ProgressReport(1, 5.0, b'{"completed":1}'),
        ProgressReport(2, 5.0, b'{"message":"%b"}' % (b"x" * 20_000)),
        StateChange(3, 6.0, ExecutionStatus.FAILED, 1.0, 2.0, long_error),
    ]
    session.publish_events("lab", "a", events)
    assert [decode_event(event).sequence for event in published] == [1, 3]
    assert publisher.left_out == 1
    publisher.is_full = False
    session.publish_events("lab", "a", events)
    assert [decode_event(event).sequence for event in published[2:]] == [1, 2, 3]
