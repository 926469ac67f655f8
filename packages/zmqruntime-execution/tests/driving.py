"""A scheduler driven by a test, with a clock that the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    Exit,
    InterruptTask,
    KillWorker,
    LargeReply,
    Publish,
    Reply,
    StartWorker,
)
from zmqruntime.execution.core.events import (
    CancelRequested,
    Event,
    EventsRequested,
    Now,
    ProgressReported,
    ShutdownRequested,
    StatusRequested,
    Submitted,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    TimerDue,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.execution.core.replies import compose_snapshot
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.events import compose_event
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.messages import (
    AcceptedReply,
    CancelRequest,
    ErrorKind,
    ErrorReply,
    EventsRequest,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    OkReply,
    ProgressEvent,
    ShutdownMode,
    StateEvent,
    StatusRequest,
    decode_event,
    decode_reply,
)
from zmqruntime.messages import Reply as ReplyMessage
from zmqruntime.transport import Caller

__all__ = ["START", "Done", "Driver", "caller", "error", "record_of", "request"]

_T = TypeVar("_T")

START = Now(wall=1_700_000_000.0, monotonic=50.0)

_numbers = itertools.count(1)


def request(execution_id: str | None = None, **fields: Any) -> ExecuteRequest:
    fields.setdefault("client_id", "lab")
    fields.setdefault("task", {})
    return ExecuteRequest(execution_id=execution_id, **fields)


def record_of(execution: Execution, queue_position: int | None = None) -> ExecutionRecord:
    """Return the record that a client decodes."""
    snapshot = decode_reply(compose_snapshot(execution, queue_position, None))
    assert isinstance(snapshot, ExecutionStatusSnapshot)
    assert snapshot.execution is not None
    return snapshot.execution


def caller() -> Caller:
    """Return a new caller."""
    number = next(_numbers)
    return Caller((b"peer", b""), f"request-{number}", number)


def error(message: str = "it failed") -> ExecutionErrorInfo:
    return ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message=message, type="ValueError")


@dataclass(frozen=True)
class Done:
    """The effects of one event, sorted by kind."""

    effects: list[Effect]

    def of(self, kind: type[_T]) -> list[_T]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def replies(self) -> list[ReplyMessage]:
        return [decode_reply(effect.frame) for effect in self.of(Reply)]

    @property
    def callers(self) -> list[Caller]:
        return [e.caller for e in self.effects if isinstance(e, Reply | LargeReply)]

    @property
    def events(self) -> list[ProgressEvent | StateEvent]:
        return [
            decode_event(compose_event(effect.execution_id, event))
            for effect in self.of(Publish)
            for event in effect.events
        ]

    @property
    def states(self) -> list[tuple[str, ExecutionStatus]]:
        return [(e.execution_id, e.status) for e in self.events if isinstance(e, StateEvent)]

    @property
    def assigned(self) -> list[str]:
        return [effect.execution_id for effect in self.of(AssignTask)]

    @property
    def interrupted(self) -> list[str]:
        return [effect.execution_id for effect in self.of(InterruptTask)]

    @property
    def kills(self) -> bool:
        return bool(self.of(KillWorker))

    @property
    def starts_worker(self) -> bool:
        return bool(self.of(StartWorker))

    @property
    def exits(self) -> bool:
        return bool(self.of(Exit))

    @property
    def error_reply(self) -> ErrorReply:
        """The only reply, which is an error."""
        return self.reply(ErrorReply)

    def reply(self, kind: type[_T]) -> _T:
        """Return the only reply."""
        (message,) = self.replies
        assert isinstance(message, kind), message
        return message


def rounds(driver: Driver, first: Done) -> Iterator[Done]:
    """Yield the effects of each round, as long as the scheduler has a timer due."""
    yield first
    while True:
        deadline = driver.scheduler.next_deadline
        if deadline is None or deadline > driver.now.monotonic:
            return
        yield driver.do(TimerDue())


class Driver:
    """A scheduler whose first worker is ready, by default."""

    def __init__(
        self,
        *,
        ready: bool = True,
        history_limit: int = 1000,
        engine: LifecycleEngine | None = None,
        **options: Any,
    ) -> None:
        self.now = START
        self.engine = engine or InMemoryLifecycleEngine(history_limit)
        self.scheduler = Scheduler(self.engine, **options)
        self.started = Done(self.scheduler.start(self.now))
        if ready:
            self.worker_ready()

    def do(self, event: Event) -> Done:
        return Done(self.scheduler.handle(event, self.now))

    # -- requests ---------------------------------------------------------------------------

    def submit(self, execution_id: str | None, **fields: Any) -> Done:
        return self.do(Submitted(request(execution_id, **fields), caller()))

    def accept(self, *execution_ids: str, **fields: Any) -> None:
        for execution_id in execution_ids:
            done = self.submit(execution_id, **fields)
            assert done.reply(AcceptedReply).execution_id == execution_id

    def reject(self, execution_id: str | None, **fields: Any) -> ErrorReply:
        done = self.submit(execution_id, **fields)
        assert not done.events
        return done.error_reply

    def cancel(self, execution_id: str) -> Done:
        return self.do(CancelRequested(CancelRequest(execution_id=execution_id), caller()))

    def cancelled(self, execution_id: str) -> ExecutionStatus | None:
        """Cancel an execution and return the status in the reply."""
        return self.cancel(execution_id).reply(OkReply).execution_status

    def status(self, execution_id: str | None = None, **fields: Any) -> Done:
        fields = {"execution_id": execution_id} | fields
        return self.do(StatusRequested(StatusRequest(**fields), caller()))

    def record(self, execution_id: str) -> ExecutionRecord:
        record = self.status(execution_id).reply(ExecutionStatusSnapshot).execution
        assert record is not None
        return record

    def kept_events(self, execution_id: str, **fields: Any) -> Done:
        request = EventsRequest(execution_id=execution_id, **fields)
        return self.do(EventsRequested(request, caller()))

    def hold(self, execution_id: str, seconds: float) -> Caller:
        """Send a long poll and return its caller."""
        waiting = caller()
        poll = StatusRequest(execution_id=execution_id, wait_seconds=seconds)
        assert not self.do(StatusRequested(poll, waiting)).effects
        return waiting

    def shut_down(self, mode: ShutdownMode, *, forced: bool = False) -> Done:
        return self.do(ShutdownRequested(mode, forced=forced))

    # -- events of the worker -----------------------------------------------------------------

    def worker_ready(self) -> Done:
        return self.do(WorkerReady())

    def worker_exits(
        self, exit_code: int | None = 1, message: str = "", *, has_begun: bool = True
    ) -> Done:
        return self.do(WorkerExited(exit_code, message, (), has_begun))

    def progress(self, execution_id: str, *bodies: bytes) -> Done:
        return self.do(ProgressReported(execution_id, bodies or (b'{"completed":1}',)))

    def returns(self, execution_id: str, result: bytes = b"null") -> Done:
        return self.do(TaskReturned(execution_id, result))

    def raises(self, execution_id: str, message: str = "it failed") -> Done:
        return self.do(TaskRaised(execution_id, error(message)))

    def stops(self, execution_id: str) -> Done:
        return self.do(TaskStopped(execution_id))

    # -- time -----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> Done:
        """Move the clock, and handle the deadlines that have passed."""
        self.now = Now(self.now.wall + seconds, self.now.monotonic + seconds)
        deadline = self.scheduler.next_deadline
        if deadline is None or deadline > self.now.monotonic:
            return Done([])
        return self.do(TimerDue())
