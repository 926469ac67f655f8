"""The main paths without sockets, processes and clocks; the program that callgrind counts.

Each path is a function that prepares so many passes and returns what takes the next one. Between
two calls of `mark` callgrind writes down what it has counted.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from zmqruntime.execution import (
    Dispatcher,
    ExecutionClient,
    ExecutionContext,
    ExecutionEvent,
    ExecutionSession,
    InMemoryLifecycleEngine,
    Interrupt,
    Outlet,
    ProgressReported,
    ProgressReporter,
    ProgressStreamSubscriber,
    ReportLink,
    RunnerEvent,
    RunnerHost,
    Scheduler,
    TaskReturned,
    TaskRunner,
    WorkerReady,
    compose_event,
)
from zmqruntime.messages import (
    AcceptedReply,
    ExecuteRequest,
    OkReply,
    PingRequest,
    ProgressEvent,
    RegisterProgressRequest,
    Reply,
    Request,
    StateEvent,
    StatusRequest,
    WorkerInfo,
    decode_reply,
    decode_request,
    encode,
    encode_with_id,
    make_topic,
)
from zmqruntime.transport import Caller, Subscriber, ZMQClient, ZMQConfig

__all__ = ["PASSES", "PATHS", "Prepare"]

PASSES = 25
"""In the first of two series; twice as many in the second."""

Prepare = Callable[[int], Callable[[int], object]]

_CALLER = Caller((b"peer", b""), "7", 7)
_TASK: dict[str, Any] = {"do": "nothing", "number": 7}
_BODY = b'{"phase":"report","completed":7,"total":50000,"percent":0.014,"message":null}'


class _Runner(TaskRunner):
    """Takes tasks, and does nothing with them."""

    def __init__(self) -> None:
        self.assigned = ""
        self.emit: Callable[[RunnerEvent], None]

    def open(self, host: RunnerHost) -> None:
        self.emit = host.emit

    def start_worker(self) -> None:
        pass

    def assign(self, execution_id: str, request: bytes) -> None:
        self.assigned = execution_id

    def interrupt(self, execution_id: str) -> None:
        pass

    def kill_worker(self) -> None:
        pass

    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(pid=1, cpu_percent=0.0, memory_bytes=1, execution_id=execution_id),)

    def close(self) -> None:
        pass


class _Server(Outlet):
    """A dispatcher with a worker that is ready, between no sockets."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.published = 0
        self.runner = _Runner()
        self.dispatcher = Dispatcher(
            Scheduler(InMemoryLifecycleEngine()),
            self.runner,
            self,
            wall=lambda: 1_700_000_000.0,
            monotonic=lambda: 50.0,
        )
        self.dispatcher.start()
        self.dispatcher.handle(WorkerReady())

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        self.replies.append(frame)

    def publish_event(self, client_id: str, execution_id: str, event: ExecutionEvent) -> None:
        make_topic(client_id, execution_id)
        compose_event(execution_id, event)
        self.published += 1

    def exit(self, failure: str | None) -> None:
        raise AssertionError(failure)

    def handled(self, event: object) -> None:
        pass

    def submit(self, name: str) -> None:
        frame = encode(ExecuteRequest(execution_id=name, client_id="lab", task=_TASK))
        assert self.dispatcher.handle_request(decode_request(frame), _CALLER)
        assert self.runner.assigned == name


def submit(passes: int) -> Callable[[int], object]:
    """From the frame of a request to the task in the worker's hands, and the reply."""
    servers = [_Server() for _ in range(passes)]
    frame = encode(ExecuteRequest(execution_id="a", client_id="lab", task=_TASK))

    def take(number: int) -> None:
        server = servers[number]
        server.dispatcher.handle_request(decode_request(frame), _CALLER)
        assert server.runner.assigned
        assert server.replies

    return take


def result(passes: int) -> Callable[[int], object]:
    """From a task's result to the reply to who waits for it."""
    servers = [_Server() for _ in range(passes)]
    for server in servers:
        server.submit("a")
        server.dispatcher.handle_request(StatusRequest(execution_id="a", wait_seconds=9), _CALLER)
        assert len(server.replies) == 1

    def take(number: int) -> None:
        servers[number].dispatcher.handle(TaskReturned("a", b"7"))
        assert len(servers[number].replies) == 2

    return take


class _NoLink(ReportLink):
    def open(self) -> Callable[[bytes], None]:
        raise NotImplementedError


def report(passes: int) -> Callable[[int], object]:
    """From a task's report to the frame that leaves the worker."""
    sent: list[bytes] = []
    context = ExecutionContext(
        ExecuteRequest(execution_id="a", client_id="lab", task=_TASK),
        ProgressReporter(_NoLink(), sent.append),
        Interrupt(),
    )

    def take(number: int) -> None:
        context.report_progress(number, 50_000, phase="report")
        assert len(sent) == number + 1

    return take


def relay(passes: int) -> Callable[[int], object]:
    """From a worker's report to the event for the subscribers."""
    server = _Server()
    server.submit("a")
    before = server.published

    def take(number: int) -> None:
        server.dispatcher.handle(ProgressReported("a", _BODY))
        assert server.published == before + number + 1

    return take


class _Session(ExecutionSession):
    """A session whose replies go nowhere."""

    frames = 0

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        self.frames += 1


def ping(passes: int) -> Callable[[int], object]:
    """From the frame of a ping to the frame of its answer, with a task that runs."""
    config = ZMQConfig()
    endpoint = ZMQClient(config=config).endpoint
    scheduler, runner = Scheduler(InMemoryLifecycleEngine()), _Runner()
    session = _Session("Bench", "0", endpoint, config, scheduler=scheduler, runner=runner)
    session.on_start()
    runner.emit(WorkerReady())
    session.handle_request(ExecuteRequest(execution_id="a", client_id="lab", task=_TASK), _CALLER)
    before = session.frames
    frame = encode(PingRequest(limit=10))

    def take(number: int) -> None:
        session.handle_request(decode_request(frame), _CALLER)
        assert session.frames == before + number + 1

    return take


class _Client(ExecutionClient):
    """A client whose server always says the same."""

    _accepted = encode_with_id(AcceptedReply(execution_id="a", queue_position=1), "7")
    _registered = encode_with_id(OkReply(client_id="lab", progress_subscribers=("lab",)), "7")

    def request(
        self, request: Request, timeout: float | None = None, *, hold: float = 0.0
    ) -> Reply:
        encode_with_id(request, "7")
        is_registration = isinstance(request, RegisterProgressRequest)
        return decode_reply(self._registered if is_registration else self._accepted)

    def subscribe(self, prefixes: object, on_messages: Any, *others: object) -> Subscriber:
        self.hear = on_messages
        return None  # type: ignore[return-value]


def client_submit(passes: int) -> Callable[[int], object]:
    """From an application's task to the frame of the request, and from the reply to a handle."""
    client = _Client(client_id="lab")

    def take(number: int) -> None:
        assert client.submit_execution(_TASK, execution_id="a").execution_id == "a"

    return take


def client_event(passes: int) -> Callable[[int], object]:
    """From the frame of an event to the application's callback."""
    client = _Client(client_id="lab")
    heard: list[ProgressEvent | StateEvent] = []
    subscriber = ProgressStreamSubscriber(client, "lab", heard.append)
    frames = [
        encode(
            ProgressEvent(
                execution_id="a",
                sequence=number + 1,
                timestamp=1_700_000_000.0,
                phase="report",
                completed=number,
                total=50_000,
            )
        )
        for number in range(passes)
    ]

    def take(number: int) -> None:
        client.hear([(b"lab/a", frames[number])])
        assert len(heard) == number + 1
        assert not subscriber.missed

    return take


PATHS: dict[str, Prepare] = {
    "submit to assign": submit,
    "result to reply": result,
    "report in the worker": report,
    "report through the server": relay,
    "ping": ping,
    "client: submit": client_submit,
    "client: event": client_event,
}


def mark() -> None:
    """Have callgrind write down what it has counted since the last mark."""
    os.getpgid(0)


def main() -> None:
    gc.disable()
    for prepare in PATHS.values():
        for passes in (PASSES, PASSES, 2 * PASSES):  # The first series warms up.
            take = prepare(passes)
            numbers = list(range(passes))
            mark()
            for number in numbers:
                take(number)
            mark()


if __name__ == "__main__":
    main()
