"""`ExecutionHandle`: one submitted execution, in its client's hands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from zmqruntime.execution.client.read_ahead import Readable, ReadAhead
from zmqruntime.execution.client.stream import EventStream
from zmqruntime.execution.client.wait import WaitPolicy
from zmqruntime.execution.errors import raise_unless_complete
from zmqruntime.messages import (
    ExecutionRecord,
    ExecutionStatus,
    JsonValue,
    ProgressEvent,
    StateEvent,
)
from zmqruntime.transport import NotConnected, RequestTimeout, ServerLost

if TYPE_CHECKING:
    from zmqruntime.execution.client.client import ExecutionClient

__all__ = ["ExecutionHandle"]

_CHECK_SECONDS = 10.0
_LAST_SECONDS = 1.0

_T = TypeVar("_T")


class ExecutionHandle(Readable):
    """One execution: ask it, wait for it, follow it, cancel it. From any thread."""

    def __init__(
        self,
        client: ExecutionClient,
        execution_id: str,
        stream: EventStream | None = None,
        *,
        submitter: str | None = None,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        self._client = client
        self._submitter = submitter
        self._lock = threading.Lock()
        self._stream = stream
        self._read_ahead = read_ahead
        self.execution_id = execution_id
        if read_ahead is not None:
            read_ahead.add(self)

    def __repr__(self) -> str:
        return f"<ExecutionHandle {self.execution_id}>"

    def status(self) -> ExecutionRecord:
        """Return everything the server knows of it now. The final record is asked for once."""
        return self._read(None)

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.status().status.is_terminal

    def cancel(self) -> ExecutionStatus:
        """Ask the server to stop this execution and no other; return its status now.

        A queued one is cancelled at once, a running one a moment later.

        Raises:
            Conflict: it has ended already.
        """
        return self._client.cancel_execution(self.execution_id)

    def wait(
        self, timeout: float | None = None, policy: WaitPolicy | None = None
    ) -> ExecutionRecord:
        """Return the final record as soon as there is one, however the execution ended.

        Raises:
            WaitTimeout: it has not ended after ``timeout`` seconds, and goes on.
            ServerLost: the server is gone, and was not back in time: what became of the
                execution is not known.
        """
        if (final := self._final) is not None:
            return final
        if self._read_ahead is not None:
            return self._keep(self._read_ahead.wait(self, policy, timeout))
        return self._keep(self._client.wait_for_completion(self.execution_id, policy, timeout))

    def result(self, timeout: float | None = None) -> JsonValue:
        """Return what the task returned, as soon as it has.

        Raises:
            ExecutionFailed: it failed; the error has the record.
            ExecutionCancelled: it was cancelled.
            ResultDropped: it completed, and the server has dropped its result unread.
            WaitTimeout: it has not ended after ``timeout`` seconds, and goes on.
            ServerLost: the server is gone, and was not back in time: what became of the
                execution is not known.
        """
        record = self.wait(timeout)
        raise_unless_complete(record)
        return record.result

    def progress(self) -> Iterator[ProgressEvent | StateEvent]:
        """Yield its events as they arrive; the last one is the terminal state.

        Starts with the events since the submit when the client has a progress callback, else
        with the one of its present state and its latest progress, both at once, and what comes
        after this call; of one that has ended, that is its latest progress and its end. Where
        events were lost that the server keeps no more, it goes on with the next that arrived.

        Raises:
            NotConnected: the client was disconnected; what had arrived is yielded before.
            ServerLost: the server is gone or silent, and was not back within
                ``reconnect_timeout``: what became of the execution is not known.
        """
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            return self._follow(stream, [])
        # Here, not when the first event is asked for: what happens meanwhile is not to be missed.
        stream = self._outlasting(
            lambda: self._client.open_stream(self.execution_id, self._submitter)
        )
        record = self._outlasting(self.status)
        if record.status.is_terminal:
            final = _final_event(record, 0)
            return iter([final] if record.progress is None else [record.progress, final])
        kept = self._client.read_kept_events(self.execution_id)
        return self._follow(stream, _present(record, kept))

    def _follow(
        self, stream: EventStream, events: list[ProgressEvent | StateEvent]
    ) -> Iterator[ProgressEvent | StateEvent]:
        """Yield these events, and then what a stream brings."""
        last = 0
        while True:
            events = events or stream.take(_CHECK_SECONDS)
            if not events:
                # The terminal event may be among lost ones: the record is the truth.
                try:
                    record = self._read(_LAST_SECONDS)
                except (ServerLost, RequestTimeout):
                    # The last events of a server that ends may come after its last reply.
                    if events := stream.take(_LAST_SECONDS):
                        continue
                    record = self._outlasting(self.status)
                if not record.status.is_terminal:
                    if stream.closed:
                        raise NotConnected(
                            "the client was disconnected, and this execution goes on: "
                            f"{self.execution_id}"
                        )
                    continue
                events = stream.take(0.0) or [_final_event(record, last)]
            for event in events:
                terminal = isinstance(event, StateEvent) and event.status.is_terminal
                if terminal or event.sequence > last:
                    last = event.sequence
                    yield event
                if terminal:
                    return
            events = []

    def log_tail(self, max_bytes: int = 16_384) -> str:
        """Return the end of what its task has written to stdout and stderr, also from afar.

        Args:
            max_bytes: how much of it, up to 64 KiB. The server keeps the newest of it, 1 MiB
                unless told otherwise, as long as it keeps the record.
        """
        return self._client.read_log_tail(self.execution_id, max_bytes).text

    def _outlasting(self, ask: Callable[[], _T]) -> _T:
        """Return the server's answer, also when it has to be waited for."""
        while True:
            try:
                return ask()
            except (ServerLost, RequestTimeout) as error:
                self._client.outlast(error)

    def _read(self, timeout: float | None) -> ExecutionRecord:
        """Return its record, if the server replies within ``timeout`` seconds."""
        if (final := self._final) is not None:
            return final
        return self._keep(self._client.get_record(self.execution_id, timeout=timeout))

    def _keep(self, record: ExecutionRecord) -> ExecutionRecord:
        if record.status.is_terminal:
            self._final = record
        return record


def _present(
    record: ExecutionRecord, kept: Sequence[ProgressEvent | StateEvent]
) -> list[ProgressEvent | StateEvent]:
    """Return the event of its present state, and its latest progress since, if there is one.

    Args:
        record: of what has not ended; all that there is when the server keeps no events.
        kept: the latest events, a little later than the record.
    """
    if not kept:
        return [] if record.progress is None else [record.progress]
    states = [n for n, event in enumerate(kept) if isinstance(event, StateEvent)]
    if states:
        state, since = kept[states[-1]], kept[states[-1] + 1 :]
        is_over = isinstance(state, StateEvent) and state.status.is_terminal
        if is_over and len(states) > 1:  # It has ended since the record.
            return [*kept[states[-2] + 1 : states[-1]][-1:], state]
    else:  # It has reported so much since it began to run that the server has dropped that one.
        state, since = _running_event(record, kept[0].sequence - 1), kept
    return [state, *since[-1:]]


def _running_event(record: ExecutionRecord, sequence: int) -> StateEvent:
    """Return the event that tells that it runs, as the record tells it."""
    return StateEvent(
        execution_id=record.execution_id,
        sequence=sequence,
        timestamp=record.started_at or record.submitted_at,
        status=ExecutionStatus.RUNNING,
        submitted_at=record.submitted_at,
        started_at=record.started_at,
    )


def _final_event(record: ExecutionRecord, last: int) -> StateEvent:
    """Return the terminal event as the record tells it, with a number above all that was seen."""
    assert record.finished_at is not None
    if record.progress is not None:
        last = max(last, record.progress.sequence)
    return StateEvent(
        execution_id=record.execution_id,
        sequence=last + 1,
        timestamp=record.finished_at,
        status=record.status,
        submitted_at=record.submitted_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        error=record.error,
    )
