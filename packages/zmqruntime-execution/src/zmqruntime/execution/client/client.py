"""`ExecutionClient`: submits tasks to a server, follows them, and gets their results."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from zmqruntime.execution.client.handle import ExecutionHandle
from zmqruntime.execution.client.read_ahead import ReadAhead
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
from zmqruntime.execution.client.subscriptions import Subscriptions
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
from zmqruntime.transport import (
    Deadline,
    MismatchPolicy,
    ServerLauncher,
    TransportMode,
    ZMQConfig,
    check_number,
)

__all__ = ["ExecutionClient"]


class ExecutionClient(RecordClient):
    """A client of an execution server. Every method may be called from any thread.

    Args:
        port: the server's data port; None for the configuration's default.
        host: the server's TCP address (giving one means TCP); None for this machine.
        transport_mode: IPC where the platform has it, unless told otherwise.
        config: the settings that the server uses.
        launcher: starts a server when none is there; None: attach or fail.
        persistent: whether a server launched by this client outlives it.
        on_mismatch: with a launcher, what to do about a server that is there and is not the one
            that the launcher would start: ``"refuse"``, ``"warn"``, or ``"restart"`` it when it
            is idle. None: refuse a server of another class or from another source file, and
            warn of another version, of other code and of other arguments.
        progress_callback: called, in a background thread, with each event of this client's
            executions.
        client_id: who submits; None for a new name. Reuse one to be the same client again.

    Raises:
        DecodeError: ``client_id`` is no name.
        TypeError: ``progress_callback`` cannot be called.
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
            raise TypeError(f"progress_callback has to be callable, not {progress_callback!r}")
        if client_id is None:
            client_id = f"client-{uuid.uuid4().hex}"
        else:
            check_client_id(client_id)
        self.client_id = client_id
        self._subscriptions = Subscriptions(self, self.client_id, progress_callback)
        self._submitter = Submitter(self, self.outlast)
        self._read_ahead = ReadAhead(self, self.outlast)

    def connect(self, timeout: float | None = None, *, wait_ready: bool = True) -> PongReply:
        """Attach or launch as `ZMQClient.connect` does, and register a progress callback."""
        pong = super().connect(timeout, wait_ready=wait_ready)
        try:
            self._subscriptions.start()
        except BaseException:
            self.disconnect()
            raise
        return pong

    def serialize_task(self, task: Any, config: Any = None) -> SerializedTask:
        """Return an application's task and configuration as JSON objects. To be overridden.

        A mapping is taken as it is, and a pydantic model as its JSON form.

        Returns:
            The pair of both; or one mapping with the fields of an `ExecuteRequest`: ``task``, and
            if wanted ``config``, ``labels``, ``priority``, ``timeout_seconds``, ``max_attempts``,
            ``retry_on``, ``backoff_seconds``, ``execution_id``. What a call such as
            `submit_execution` is given goes before what the mapping says.

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
        priority: int | None = None,
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
                None: 0, unless `serialize_task` says more.
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

        Raises what `get_record` raises.
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

        Raises ValueError for a window of less than 1, at once, and what `submit_execution` raises.
        Then, and when the iterator is closed early, those that were not yielded are cancelled; but
        not when the server was lost.
        """
        check_number("window", window, least=1, whole=True)
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
        hold = min(HOLD_SECONDS, deadline.remaining)
        options = {"labels": labels, "timeout_seconds": timeout_seconds}
        fields = self._serialize(task, config, options)
        make = partial(make_request, client_id=self.client_id, **fields)
        # The reply is held until there is a result: one round trip in all for a short task.
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
            execution_id: which.
            submitter: the client that submitted it; None for this one.
        """
        return self._subscriptions.open_stream(execution_id, submitter)

    def _make_request(self, task: Any, config: Any, **options: Any) -> PreparedRequest:
        fields = self._serialize(task, config, options)
        return make_request(client_id=self.client_id, **fields)

    def _serialize(self, task: Any, config: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of `make_request`: the application's, overridden by a call's."""
        serialized = self.serialize_task(task, config)
        if isinstance(serialized, tuple):
            options["task"], options["config"] = serialized
            return options
        return read_fields(serialized, options, self.client_id)

    def _make_handle(self, request: PreparedRequest, stream: EventStream | None) -> ExecutionHandle:
        assert request.execution_id is not None
        return ExecutionHandle(self, request.execution_id, stream, read_ahead=self._read_ahead)

    def _before_close(self) -> None:
        self._subscriptions.stop()
