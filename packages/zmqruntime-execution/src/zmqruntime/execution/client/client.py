"""`ExecutionClient`: submits tasks to a server, follows them, and returns their results."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from zmqruntime.execution.client.handle import ExecutionHandle
from zmqruntime.execution.client.prefetch import RecordPrefetcher
from zmqruntime.execution.client.record_client import RecordClient
from zmqruntime.execution.client.request_builder import (
    SerializedTask,
    check_client_id,
    make_request,
    read_fields,
    to_object,
)
from zmqruntime.execution.client.stream import EventStream
from zmqruntime.execution.client.submitter import Submitter
from zmqruntime.execution.client.subscriber import ProgressCallback
from zmqruntime.execution.client.subscriber_registry import SubscriberRegistry
from zmqruntime.execution.client.wait import HOLD_SECONDS
from zmqruntime.execution.errors import raise_unless_complete
from zmqruntime.messages import (
    AcceptedReply,
    ClientId,
    ErrorKind,
    ExecutionId,
    ExecutionRecord,
    JsonValue,
    Labels,
    PongReply,
)
from zmqruntime.messages.lowlevel import PreparedRequest
from zmqruntime.transport import MismatchPolicy, ServerLauncher, TransportMode, ZMQConfig
from zmqruntime.transport.lowlevel import Deadline, check_number

__all__ = ["ExecutionClient"]


class ExecutionClient(RecordClient):
    """A client of an execution server. Thread-safe.

    Args:
        port: the server's data port; None for the configuration's default.
        host: the server's TCP address (giving one means TCP); None for this machine.
        transport_mode: None for IPC where the platform has it, else TCP.
        config: the settings that the server uses.
        launcher: starts a server when none is running; None: attach or fail.
        persistent: whether a server launched by this client outlives it.
        on_mismatch: with a launcher, how to treat a running server that differs from the one
            that the launcher would start: ``"refuse"``, ``"warn"``, or ``"restart"`` it when it
            is idle. None: refuse a server of another class or from another source file, and
            warn of another version, of other code and of other arguments.
        progress_callback: called, in a background thread, with each event of this client's
            executions.
        client_id: this client's identity; None for a new one. Reuse one to be the same client
            again.

    Raises:
        DecodeError: ``client_id`` is invalid.
        TypeError: ``progress_callback`` is not callable.
        EndpointError: the port is out of range or the socket path is too long.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | Literal["ipc", "tcp"] | None = None,
        config: ZMQConfig | None = None,
        launcher: ServerLauncher | None = None,
        persistent: bool = True,
        on_mismatch: MismatchPolicy | Literal["refuse", "warn", "restart"] | None = None,
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
            on_mismatch=on_mismatch,
        )
        if progress_callback is not None and not callable(progress_callback):
            raise TypeError(f"progress_callback must be callable, not {progress_callback!r}")
        if client_id is None:
            client_id = f"client-{uuid.uuid4().hex}"
        else:
            check_client_id(client_id)
        self.client_id = client_id
        self._progress_subscribers = SubscriberRegistry(self, self.client_id, progress_callback)
        self._submitter = Submitter(self, self.outlast)
        self._prefetcher = RecordPrefetcher(self, self.outlast)

    @property
    def missed_events(self) -> int:
        """The number of events that were lost since `connect`: see `ProgressStreamSubscriber`.

        Those of other clients' executions count as long as one of their streams is in use.
        """
        return self._progress_subscribers.missed

    def connect(self, timeout: float | None = None, *, wait_ready: bool = True) -> PongReply:
        """Attach or launch as `ZMQClient.connect` does, and register a progress callback."""
        pong = super().connect(timeout, wait_ready=wait_ready)
        try:
            self._progress_subscribers.start()
        except BaseException:
            self.disconnect()
            raise
        return pong

    def serialize_task(self, task: Any, config: Any = None) -> SerializedTask:
        """Return an application's task and configuration as JSON objects. May be overridden.

        Accepts mappings and pydantic models.

        Returns:
            The pair of both; or one mapping with the fields of an `ExecuteRequest`: ``task``, and
            optionally ``config``, ``labels``, ``priority``, ``timeout_seconds``,
            ``max_attempts``, ``retry_on``, ``backoff_seconds``, ``execution_id``. Arguments of a
            call such as `submit_execution` override the mapping's.

        Raises:
            TypeError: one is neither a mapping nor a pydantic model.
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
        priority: int | None = None,
        max_attempts: int | None = None,
        retry_on: Iterable[ErrorKind | str] | None = None,
        backoff_seconds: float | None = None,
    ) -> ExecutionHandle:
        """Submit a task; return when the server has accepted it.

        Args:
            task: what `serialize_task` accepts.
            config: the same.
            execution_id: an idempotency key: submitting the same task again under it, also from
                another process, does not run it twice; None for a new id.
            labels: stored in the record.
            timeout_seconds: how long the task may run before the server interrupts it.
            priority: higher ones run first; with ``queue_policy="fair"``, among this client's
                own. None for 0, or the value of `serialize_task`.
            max_attempts: how often the task may run, the first time included; None, here and
                below, for the server's default.
            retry_on: the kinds of error after which the task is retried.
            backoff_seconds: the delay of the second attempt, doubled for each further one, up to
                an hour.

        Raises:
            JournalUnavailable: the server cannot write to its journal for now.
            QueueFull: the server's queue is full for now.
            ShuttingDown: the server accepts no further executions.
            Conflict: the id belongs to another task.
            DecodeError: the task is not JSON, or a field is invalid; the error names it.
            TransportError: the server was not reached, or did not reply.
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
        stream = self._progress_subscribers.open_from_start(request.execution_id)
        self._ask(request, AcceptedReply)
        return self._make_handle(request, stream)

    def attach(self, execution_id: ExecutionId) -> ExecutionHandle:
        """Return a handle to an execution that the server keeps, also of another client.

        Its `progress()` starts with the present state and the latest progress.

        Raises what `get_record` raises.
        """
        record = self.get_record(execution_id)
        return ExecutionHandle(self, execution_id, submitter=record.client_id)

    def submit_many(self, tasks: Iterable[Any], config: Any = None) -> list[ExecutionHandle]:
        """Submit tasks in order, pipelined: without a round trip for each.

        On an error, such as a refusal, the accepted ones are cancelled if the server is
        reachable, and the error is raised.

        Raises what `submit_execution` raises.
        """
        requests = [self._make_request(task, config) for task in tasks]
        streams = [
            self._progress_subscribers.open_from_start(request.execution_id) for request in requests
        ]
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
        """Submit tasks and yield each with its record, in any order; one round trip if short.

        The record is final, or that after ``hold`` seconds; None if the reply has none. When a
        lost server has returned, unanswered requests are sent again; three losses in a row
        without a reply in between are raised.

        Args:
            tasks: what `serialize_task` accepts; the next one is taken when the window has room,
                and while that blocks, nothing is yielded.
            config: the same, for all.
            hold: how many seconds to wait for the end of each, up to 60.
            window: how many may be outstanding.
            on_sent: called with each handle, in the order of the tasks, when its request is sent.

        Raises ValueError immediately for a window of less than 1, and what `submit_execution`
        raises. After an error, and when the iterator is closed early, those that were not yielded
        are cancelled; not when the server was lost.
        """
        check_number("window", window, ge=1, whole=True)
        return self._follow_many(tasks, config, hold, window, on_sent)

    def _follow_many(
        self,
        tasks: Iterable[Any],
        config: Any,
        hold: float,
        window: int,
        on_sent: Callable[[ExecutionHandle], None] | None,
    ) -> Generator[tuple[ExecutionHandle, ExecutionRecord | None], None, None]:
        handles: dict[str, ExecutionHandle] = {}

        def requests() -> Iterator[PreparedRequest]:
            for task in tasks:
                request = self._make_request(task, config, wait_seconds=hold)
                handle = self._make_handle(
                    request, self._progress_subscribers.open_from_start(request.execution_id)
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
        hold = min(HOLD_SECONDS, deadline.remaining)
        options = {"labels": labels, "timeout_seconds": timeout_seconds}
        fields = self._serialize(task, config, options)
        make = partial(make_request, client_id=self.client_id, **fields)
        # The server holds its reply until the result: one round trip for a short task.
        execution_id, record = self._submitter.submit_held(make, hold, deadline)
        if record is None or not record.status.is_terminal:
            record = self.wait_for_completion(execution_id, timeout=deadline.remaining)
        raise_unless_complete(record)
        return record.result

    def open_stream(
        self, execution_id: ExecutionId, submitter: ClientId | None = None
    ) -> EventStream:
        """Return a stream of an execution's events from now on, for `ExecutionHandle`.

        Args:
            execution_id: the execution.
            submitter: the client that submitted it; None for this one.
        """
        return self._progress_subscribers.open_stream(execution_id, submitter)

    def _make_request(self, task: Any, config: Any, **options: Any) -> PreparedRequest:
        fields = self._serialize(task, config, options)
        return make_request(client_id=self.client_id, **fields)

    def _serialize(self, task: Any, config: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of `make_request`; those of the call override the application's."""
        serialized = self.serialize_task(task, config)
        if isinstance(serialized, tuple):
            options["task"], options["config"] = serialized
            return options
        return read_fields(serialized, options, self.client_id)

    def _make_handle(self, request: PreparedRequest, stream: EventStream | None) -> ExecutionHandle:
        assert request.execution_id is not None
        return ExecutionHandle(self, request.execution_id, stream, prefetcher=self._prefetcher)

    def _before_close(self) -> None:
        self._progress_subscribers.stop()
