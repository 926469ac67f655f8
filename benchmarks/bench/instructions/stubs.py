"""Stubs for the sockets and processes at the ends of the paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zmqruntime.execution import (
    ExecutionClient,
    InMemoryLifecycleEngine,
    RunnerEvent,
    RunnerHost,
    TaskRunner,
    WorkerReady,
)
from zmqruntime.execution.lowlevel import (
    Dispatcher,
    ExecutionEvent,
    ExecutionSession,
    ReportLink,
    Scheduler,
    Transport,
    compose_messages,
)
from zmqruntime.messages import (
    AcceptedReply,
    ExecuteRequest,
    OkReply,
    RegisterProgressRequest,
    Reply,
    WorkerInfo,
    decode_reply,
    decode_request,
    encode,
    make_topic,
)
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
from zmqruntime.transport import Caller, Subscriber

__all__ = [
    "CALLER",
    "TASK",
    "CountingSession",
    "IdleRunner",
    "ServerParts",
    "StubClient",
    "UnusedLink",
]

CALLER = Caller((b"peer", b""), "7", 7)
TASK: dict[str, Any] = {"do": "nothing", "number": 7}


class IdleRunner(TaskRunner):
    """Accepts tasks without running them."""

    def __init__(self) -> None:
        self.assigned = ""
        self.emit: Callable[[RunnerEvent], None]

    def open(self, host: RunnerHost) -> None:
        self.emit = host.emit

    def start_worker(self, slot: int = 0) -> None:
        pass

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        self.assigned = execution_id

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        pass

    def kill_worker(self, slot: int = 0) -> None:
        pass

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(pid=1, cpu_percent=0.0, memory_bytes=1, execution_id=execution_id),)

    def close(self) -> None:
        pass


class ServerParts(Transport):
    """A dispatcher with a ready worker and without sockets."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.published = 0
        self.runner = IdleRunner()
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

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        make_topic(client_id, execution_id)
        for together in compose_messages(execution_id, events):
            b"[%b]" % b",".join(together)
        self.published += len(events)

    def exit(self, failure: str | None) -> None:
        raise AssertionError(failure)

    def handled(self, event: object) -> None:
        pass

    def submit(self, name: str) -> None:
        frame = encode(ExecuteRequest(execution_id=name, client_id="lab", task=TASK))
        assert self.dispatcher.handle_request(decode_request(frame), CALLER, frame)
        assert self.runner.assigned == name


class UnusedLink(ReportLink):
    """A link without reports of other processes."""

    def open(self) -> Callable[[bytes], None]:
        raise NotImplementedError


class CountingSession(ExecutionSession):
    """A session that counts its replies instead of sending them."""

    frames = 0

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        self.frames += 1


class StubClient(ExecutionClient):
    """A client with constant replies."""

    _accepted = encode_with_id(AcceptedReply(execution_id="a", queue_position=1), "7")
    _registered = encode_with_id(OkReply(client_id="lab", progress_subscribers=("lab",)), "7")

    def request(
        self, request: Outgoing, timeout: float | None = None, *, hold: float = 0.0
    ) -> Reply:
        encode_with_id(request, "7")
        is_registration = isinstance(request, RegisterProgressRequest)
        return decode_reply(self._registered if is_registration else self._accepted)

    def subscribe(self, prefixes: object, on_messages: Any, *others: object) -> Subscriber:
        self.on_messages = on_messages
        return None  # type: ignore[return-value]
