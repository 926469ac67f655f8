"""`ExecutionClient`: submits tasks to a server, follows them, and gets their results."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from zmqruntime.execution.errors import raise_unless_complete
from zmqruntime.execution.handle import ExecutionHandle
from zmqruntime.execution.missed import MissedEvents
from zmqruntime.execution.progress import ProgressCallback
from zmqruntime.execution.stream import EventStream
from zmqruntime.execution.submission import make_request, to_object
from zmqruntime.execution.submitter import Submitter, expect
from zmqruntime.execution.subscriptions import Subscriptions
from zmqruntime.execution.wait import ExecutionWaiter, WaitPolicy, seconds_beside
from zmqruntime.messages import (
    AcceptedReply,
    CancelRequest,
    ClientId,
    ErrorKind,
    ExecuteRequest,
    ExecutionId,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    JsonObject,
    JsonValue,
    Labels,
    LogReply,
    LogTailRequest,
    OkReply,
    PongReply,
    ProgressEvent,
    Reply,
    Request,
    StateEvent,
    StatusRequest,
)
from zmqruntime.transport import (
    Deadline,
    RequestTimeout,
    ServerLauncher,
    ServerLost,
    TransportMode,
    ZMQClient,
    ZMQConfig,
)

__all__ = ["ExecutionClient"]

_log = logging.getLogger("zmqruntime.client")

_R = TypeVar("_R", bound=Reply)


class ExecutionClient(ZMQClient):
    """A client of an execution server. Every method may be called from any thread.

    Args:
        port: the server's data port; None for the configuration's default.
        host: the server's TCP address (giving one means TCP); None for this machine.
        transport_mode: IPC where the platform has it, unless told otherwise.
        config: the settings that the server uses.
        launcher: starts a server when none is there; None: attach or fail.
        persistent: whether a server launched by this client outlives it.
        progress_callback: called, in a background thread, with each event of this client's
            executions.
        client_id: who submits; None for a new name. Reuse one to be the same client again.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | None = None,
        config: ZMQConfig | None = None,
        launcher: ServerLauncher | None = None,
        persistent: bool = True,
        progress_callback: ProgressCallback | None = None,
        client_id: ClientId | None = None,
    ) -> None:
        super().__init__(
            port,
            host=host,
            transport_mode=transport_mode,
            config=config,
            launcher=launcher,
            persistent=persistent,
        )
        self.client_id = client_id or f"client-{uuid.uuid4().hex}"
        self._subscriptions = Subscriptions(self, self.client_id, progress_callback)
        self._submitter = Submitter(self, self.outlast)

    def connect(self, timeout: float | None = None, *, wait_ready: bool = True) -> PongReply:
        """Attach or launch as `ZMQClient.connect` does, and register a progress callback."""
        pong = super().connect(timeout, wait_ready=wait_ready)
        try:
            self._subscriptions.start()
        except BaseException:
            self.disconnect()
            raise
        return pong

    def serialize_task(self, task: Any, config: Any = None) -> tuple[JsonObject, JsonObject | None]:
        """Return an application's task and configuration as JSON objects. To be overridden.

        A mapping is taken as it is, and a pydantic model as its JSON form.

        Raises:
            TypeError: it is neither.
        """
        return to_object("task", task), None if config is None else to_object("config", config)

    def submit_execution(
        self,
        task: Any,
        config: Any = None,
        *,
        execution_id: ExecutionId | None = None,
        labels: Labels | None = None,
        timeout_seconds: float | None = None,
        priority: int = 0,
        max_attempts: int | None = None,
        retry_on: Iterable[ErrorKind | str] | None = None,
        backoff_seconds: float | None = None,
    ) -> ExecutionHandle:
        """Hand a task to the server; return when the server has accepted it.

        Args:
            task: whatever `serialize_task` takes.
            config: the same.
            execution_id: a name of your own, so that submitting again is safe also from
                another process; None for a new one.
            labels: kept with the record.
            timeout_seconds: how long the task may run before the server stops it.
            priority: a higher one runs first; of this client's own, where clients take turns.
            max_attempts: how often the task may run, the first time included; None: as the
                server's default says, as for the next two.
            retry_on: the kinds of error after which it runs again.
            backoff_seconds: how long the second attempt waits; each further one waits twice as
                long as the one before, up to an hour.

        Raises:
            JournalUnavailable: the server cannot write down what it would accept.
            QueueFull: the server takes no more for now.
            ShuttingDown: the server takes no more.
            Conflict: the id stands for another task.
            DecodeError: the task is not JSON, or a field is wrong; the error names it.
            TransportError: the server was not reached.
        """
        request = self._make_request(
            task,
            config,
            execution_id=execution_id,
            labels=labels,
            timeout_seconds=timeout_seconds,
            priority=priority,
            max_attempts=max_attempts,
            retry_on=retry_on,
            backoff_seconds=backoff_seconds,
        )
        stream = self._subscriptions.open_first(request.execution_id)
        self._ask(request, AcceptedReply)
        return self._make_handle(request, stream)

    def attach(self, execution_id: ExecutionId) -> ExecutionHandle:
        """Return a handle to any execution that the server keeps, whoever submitted it.

        Its stream begins with the present state and the latest progress, and goes on from now.

        Raises:
            UnknownExecution: the server keeps none of this id.
            TransportError: the server was not reached.
        """
        record = self.get_record(execution_id)
        return ExecutionHandle(self, execution_id, submitter=record.client_id)

    def submit_many(self, tasks: Iterable[Any], config: Any = None) -> list[ExecutionHandle]:
        """Submit tasks one behind the other, without a round trip for each.

        When the server refuses one, or anything else comes between, those that it accepted are
        cancelled, as far as the server can be reached, and the error is raised.

        Raises what `submit_execution` raises.
        """
        requests = [self._make_request(task, config) for task in tasks]
        streams = [self._subscriptions.open_first(request.execution_id) for request in requests]
        self._submitter.submit_all(requests)
        return [
            self._make_handle(request, stream)
            for request, stream in zip(requests, streams, strict=True)
        ]

    def follow_many(
        self,
        tasks: Iterable[Any],
        config: Any = None,
        *,
        hold: float = 1.0,
        window: int = 64,
        on_sent: Callable[[ExecutionHandle], None] | None = None,
    ) -> Generator[tuple[ExecutionHandle, ExecutionRecord | None], None, None]:
        """Submit tasks, and yield each with its final record, in one round trip for short ones.

        One that goes on after ``hold`` seconds is yielded with its record until then; None where
        the server tells none. They come in any order. Where the server was lost and is back, what
        it had not answered is asked again, unless it answers nothing three times in a row.

        Args:
            tasks: whatever `serialize_task` takes; a further one is taken when there is room, and
                while that blocks, none is yielded.
            config: the same, for all.
            hold: how many seconds to wait for each, up to 60.
            window: how many may be under way.
            on_sent: called with each, in the order of the tasks, as it goes out.

        Raises what `submit_execution` raises. Then, and when the iterator is closed early, those
        that were not yielded are cancelled; but not when the server was lost.
        """
        handles: dict[str, ExecutionHandle] = {}

        def requests() -> Iterator[ExecuteRequest]:
            for task in tasks:
                request = self._make_request(task, config, wait_seconds=hold)
                handle = self._make_handle(
                    request, self._subscriptions.open_first(request.execution_id)
                )
                handles[handle.execution_id] = handle
                if on_sent is not None:
                    on_sent(handle)
                yield request

        with contextlib.closing(self._submitter.follow_all(requests(), hold, window)) as replies:
            for request, record in replies:
                yield handles.pop(request.execution_id or ""), record

    def execute(
        self,
        task: Any,
        config: Any = None,
        *,
        timeout: float | None = None,
        labels: Labels | None = None,
        timeout_seconds: float | None = None,
    ) -> JsonValue:
        """Submit a task, wait for it and return its result.

        Raises what `submit_execution` and `ExecutionHandle.result` raise.
        """
        deadline = Deadline.after(timeout)
        hold = min(WaitPolicy().poll_interval, deadline.remaining)
        # The reply is held until there is a result: one round trip in all for a short task.
        request = self._make_request(
            task, config, labels=labels, timeout_seconds=timeout_seconds, wait_seconds=hold
        )
        record = self._submit_held(request, deadline)
        if record is None or not record.status.is_terminal:
            assert request.execution_id is not None
            record = self.wait_for_completion(request.execution_id, timeout=deadline.remaining)
        raise_unless_complete(record)
        return record.result

    def poll_status(
        self,
        execution_id: ExecutionId | None = None,
        *,
        wait_seconds: float = 0.0,
        limit: int = 100,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> ExecutionStatusSnapshot:
        """Return a snapshot of one execution, or of the server's queue, page by page.

        Args:
            execution_id: which; None for the whole server.
            wait_seconds: how long the server holds the answer while the execution goes on.
            limit: how many queued executions to list.
            cursor: the last page's.
            timeout: seconds beside ``wait_seconds``; None for the configuration's.

        Raises:
            UnknownExecution: the server keeps none of this id.
            TransportError: the server was not reached.
        """
        request = StatusRequest(
            execution_id=execution_id, wait_seconds=wait_seconds, limit=limit, cursor=cursor
        )
        return self._ask(request, ExecutionStatusSnapshot, timeout, hold=wait_seconds)

    def get_record(
        self, execution_id: ExecutionId, wait_seconds: float = 0.0, timeout: float | None = None
    ) -> ExecutionRecord:
        """Return the record of one execution; the arguments are those of `poll_status`."""
        snapshot = self.poll_status(execution_id, wait_seconds=wait_seconds, timeout=timeout)
        assert snapshot.execution is not None
        return snapshot.execution

    def get_records(self, execution_ids: Sequence[ExecutionId]) -> list[ExecutionRecord]:
        """Return the records of many executions, without a round trip for each.

        Raises what `get_record` raises.
        """
        found: dict[str, ExecutionRecord] = {}
        asked = (StatusRequest(execution_id=name) for name in execution_ids)
        for _, reply in self.pipeline(asked):
            record = expect(ExecutionStatusSnapshot, reply).execution
            assert record is not None
            found[record.execution_id] = record
        return [found[name] for name in execution_ids]

    def wait_for_completion(
        self,
        execution_id: ExecutionId,
        policy: WaitPolicy | None = None,
        timeout: float | None = None,
    ) -> ExecutionRecord:
        """Return the final record of an execution, as soon as it has one, however it ended.

        Raises:
            WaitTimeout: it has not ended after ``timeout`` seconds, and goes on.
            UnknownExecution: the server keeps none of this id.
            ServerLost: the server is gone, and was not back in time: see `outlast`.
            TransportError: the server was not reached.
        """
        return ExecutionWaiter(self.get_record, policy, self.outlast).wait(execution_id, timeout)

    def outlast(self, error: ServerLost | RequestTimeout, deadline: Deadline | None = None) -> None:
        """Wait for a server that was lost, or silent, to be back, as far as that makes sense.

        Until the deadline, or without one for the configuration's ``reconnect_timeout``.

        Raises:
            ServerLost: it is not back by then; or, at once, its process has ended and has kept
                nothing for another one.
            RequestTimeout: it was silent until the deadline.
        """
        is_over = deadline is not None and deadline.expired
        if not self.may_return or (is_over and isinstance(error, RequestTimeout)):
            raise error
        is_endless = deadline is None or deadline.remaining == float("inf")
        self.reconnect(None if deadline is None or is_endless else deadline.remaining)

    def cancel_execution(self, execution_id: ExecutionId) -> ExecutionStatus:
        """Ask the server to stop one execution and no other; return its status now.

        Raises:
            Conflict: it has ended already.
            UnknownExecution: the server keeps none of this id.
        """
        reply = self._ask(CancelRequest(execution_id=execution_id), OkReply)
        assert reply.execution_status is not None
        return reply.execution_status

    def read_log_tail(self, execution_id: ExecutionId, max_bytes: int = 16_384) -> LogReply:
        """Return the end of what a task has written to its stdout and stderr.

        Args:
            execution_id: which.
            max_bytes: how much of it, up to 64 KiB.

        Raises:
            UnknownExecution: the server keeps none of this id.
        """
        return self._ask(LogTailRequest(execution_id=execution_id, max_bytes=max_bytes), LogReply)

    def open_stream(
        self, execution_id: ExecutionId, submitter: ClientId | None = None
    ) -> EventStream:
        """Return a stream of an execution's events from now on, for `ExecutionHandle`.

        Args:
            execution_id: which.
            submitter: the client that submitted it; None for this one.
        """
        return self._subscriptions.open_stream(execution_id, submitter)

    def read_kept_events(self, execution_id: ExecutionId) -> list[ProgressEvent | StateEvent]:
        """Return the events of an execution that the server keeps, for `ExecutionHandle`.

        None when it keeps none, does not say, or is not reached.
        """
        return MissedEvents(self).ask(execution_id, 0)

    def _make_request(self, task: Any, config: Any, **options: Any) -> ExecuteRequest:
        task, config = self.serialize_task(task, config)
        return make_request(task, config, self.client_id, **options)

    def _submit_held(self, request: ExecuteRequest, deadline: Deadline) -> ExecutionRecord | None:
        """Submit a task, and return the record with which the server has held its reply.

        None when there is none, or another server that does not know of it.
        """
        while True:
            server = self.pong.process
            hold = request.wait_seconds
            try:
                beside = seconds_beside(deadline, hold)
                return self._ask(request, AcceptedReply, beside, hold=hold).execution
            except (ServerLost, RequestTimeout) as error:
                self.outlast(error, deadline)
            # It knows what it has accepted, so asking again is safe.
            if not self.pong.durable and self.pong.process != server:
                return None
            request = request.model_copy(update={"wait_seconds": 0.0})

    def _make_handle(self, request: ExecuteRequest, stream: EventStream | None) -> ExecutionHandle:
        assert request.execution_id is not None
        return ExecutionHandle(self, request.execution_id, stream)

    def _before_close(self) -> None:
        self._subscriptions.stop()

    def _ask(
        self, request: Request, expected: type[_R], timeout: float | None = None, hold: float = 0.0
    ) -> _R:
        return expect(expected, self.request(request, timeout, hold=hold))
