"""The main paths without sockets, processes and clocks; the program that callgrind counts.

Each path is a function that prepares a number of passes and returns a function that runs one.
callgrind dumps its counts at each call of `mark`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from bench.instructions.stubs import (
    CALLER,
    TASK,
    CountingSession,
    IdleRunner,
    ServerParts,
    StubClient,
    UnusedLink,
)
from zmqruntime.execution import (
    ExecutionContext,
    InMemoryLifecycleEngine,
    ProgressReported,
    ProgressReporter,
    ProgressStreamSubscriber,
    TaskReturned,
    WorkerReady,
)
from zmqruntime.execution.lowlevel import Interrupt, Scheduler
from zmqruntime.messages import (
    ExecuteRequest,
    PingRequest,
    ProgressEvent,
    StateEvent,
    StatusRequest,
    decode_request,
    encode,
)
from zmqruntime.transport import ZMQClient, ZMQConfig

__all__ = ["PASSES", "PATHS", "Prepare"]

PASSES = 25
"""The passes of the first series; the second has twice as many."""

BATCH = 8
"""The number of reports in a batch."""

Prepare = Callable[[int], Callable[[int], object]]

_BODY = b'{"phase":"report","completed":7,"total":50000,"percent":0.014,"message":null}'


def submit(passes: int) -> Callable[[int], object]:
    """From the frame of a request to the assigned task and the reply."""
    servers = [ServerParts() for _ in range(passes)]
    frame = encode(ExecuteRequest(execution_id="a", client_id="lab", task=TASK))

    def take(number: int) -> None:
        server = servers[number]
        server.dispatcher.handle_request(decode_request(frame), CALLER, frame)
        assert server.runner.assigned
        assert server.replies

    return take


def result(passes: int) -> Callable[[int], object]:
    """From a task's result to the pending reply."""
    servers = [ServerParts() for _ in range(passes)]
    for server in servers:
        server.submit("a")
        server.dispatcher.handle_request(StatusRequest(execution_id="a", wait_seconds=9), CALLER)
        assert len(server.replies) == 1

    def take(number: int) -> None:
        servers[number].dispatcher.handle(TaskReturned("a", b"7"))
        assert len(servers[number].replies) == 2

    return take


def report(passes: int) -> Callable[[int], object]:
    """From a task's report to the frame that leaves the worker."""
    sent: list[bytes] = []
    context = ExecutionContext(
        ExecuteRequest(execution_id="a", client_id="lab", task=TASK),
        ProgressReporter(UnusedLink(), sent.append),
        Interrupt(),
    )

    def take(number: int) -> None:
        context.report_progress(number, 50_000, phase="report")
        assert len(sent) == number + 1

    return take


def relay(passes: int) -> Callable[[int], object]:
    """From a worker's report to the event for the subscribers."""
    server = ServerParts()
    server.submit("a")
    before = server.published

    def take(number: int) -> None:
        server.dispatcher.handle(ProgressReported("a", (_BODY,)))
        assert server.published == before + number + 1

    return take


def relay_batch(passes: int) -> Callable[[int], object]:
    """The same for a batch of reports."""
    server = ServerParts()
    server.submit("a")
    before = server.published
    reported = ProgressReported("a", (_BODY,) * BATCH)

    def take(number: int) -> None:
        server.dispatcher.handle(reported)
        assert server.published == before + BATCH * (number + 1)

    return take


def ping(passes: int) -> Callable[[int], object]:
    """From the frame of a ping to the frame of its reply, with a running task."""
    config = ZMQConfig()
    endpoint = ZMQClient(config=config).endpoint
    scheduler, runner = Scheduler(InMemoryLifecycleEngine()), IdleRunner()
    session = CountingSession("Bench", "0", endpoint, config, scheduler=scheduler, runner=runner)
    session.on_start()
    runner.emit(WorkerReady())
    session.handle_request(ExecuteRequest(execution_id="a", client_id="lab", task=TASK), CALLER)
    before = session.frames
    frame = encode(PingRequest(limit=10))

    def take(number: int) -> None:
        session.handle_request(decode_request(frame), CALLER, frame)
        assert session.frames == before + number + 1

    return take


def client_submit(passes: int) -> Callable[[int], object]:
    """From an application's task to the frame of the request, and from the reply to a handle."""
    client = StubClient(client_id="lab")
    names: set[str] = set()

    def take(number: int) -> None:
        names.add(client.submit_execution(TASK).execution_id)
        assert len(names) == number + 1

    return take


def client_event(passes: int) -> Callable[[int], object]:
    """From the frame of an event to the application's callback."""
    client = StubClient(client_id="lab")
    received: list[ProgressEvent | StateEvent] = []
    subscriber = ProgressStreamSubscriber(client, "lab", received.append)
    frames = [_event(number) for number in range(passes)]

    def take(number: int) -> None:
        client.on_messages([(b"lab/a", frames[number])])
        assert len(received) == number + 1
        assert not subscriber.missed

    return take


def client_batch(passes: int) -> Callable[[int], object]:
    """The same for an array of events."""
    client = StubClient(client_id="lab")
    received: list[ProgressEvent | StateEvent] = []
    subscriber = ProgressStreamSubscriber(client, "lab", received.append)
    events = [_event(number) for number in range(BATCH * passes)]
    frames = [b"[%b]" % b",".join(events[n : n + BATCH]) for n in range(0, len(events), BATCH)]

    def take(number: int) -> None:
        client.on_messages([(b"lab/a", frames[number])])
        assert len(received) == BATCH * (number + 1)
        assert not subscriber.missed

    return take


def _event(number: int) -> bytes:
    event = ProgressEvent(
        execution_id="a",
        sequence=number + 1,
        timestamp=1_700_000_000.0,
        phase="report",
        completed=number,
        total=50_000,
    )
    return encode(event)


PATHS: dict[str, Prepare] = {
    "submit to assign": submit,
    "result to reply": result,
    "report in the worker": report,
    "report through the server": relay,
    f"{BATCH} reports through the server": relay_batch,
    "ping": ping,
    "client: submit": client_submit,
    "client: event": client_event,
    f"client: {BATCH} events": client_batch,
}


def mark() -> None:
    """Make callgrind dump its counts since the last mark."""
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
