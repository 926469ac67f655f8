"""`ExecutionHandle`: the client's view of one submitted execution."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from zmqruntime.execution.client.prefetch import Prefetchable, RecordPrefetcher
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

# The interval of status checks while no event arrives: the terminal event may be lost.
_CHECK_SECONDS = 10.0
# How long to wait for the reply to such a check, and for the last events of a lost server.
_LAST_SECONDS = 1.0

_T = TypeVar("_T")


class ExecutionHandle(Prefetchable):
    """One execution: its status, result, progress and log, and its cancel. Thread-safe."""

    def __init__(
        self,
        client: ExecutionClient,
        execution_id: str,
        stream: EventStream | None = None,
        *,
        submitter: str | None = None,
        prefetcher: RecordPrefetcher | None = None,
    ) -> None:
        self._client = client
        self._submitter = submitter
        self._lock = threading.Lock()
        self._stream = stream
        self._prefetcher = prefetcher
        self.execution_id = execution_id
        if prefetcher is not None:
            prefetcher.add(self)

    def __repr__(self) -> str:
        return f"<ExecutionHandle {self.execution_id}>"

    def status(self) -> ExecutionRecord:
        """Return the present record. The final one is requested once, and cached."""
        return self._read(None)

    def done(self) -> bool:
        """Whether the execution has ended, in whatever state."""
        return self.status().status.is_terminal

    def cancel(self) -> ExecutionStatus:
        """Cancel the execution; return its status.

        A queued one is cancelled immediately. The task of a running one is interrupted, and the
        execution ends a moment later.

        Raises:
            Conflict: it has ended already.
        """
        return self._client.cancel_execution(self.execution_id)

    def wait(
        self, timeout: float | None = None, policy: WaitPolicy | None = None
    ) -> ExecutionRecord:
        """Return the final record when the execution has ended, in whatever state.

        Raises:
            WaitTimeout: it has not ended after ``timeout`` seconds; it continues.
            ServerLost: the server is gone and did not return in time: the state of the
                execution is unknown.
        """
        if (final := self._final) is not None:
            return final
        if self._prefetcher is not None:
            return self._keep(self._prefetcher.wait(self, policy, timeout))
        return self._keep(self._client.wait_for_completion(self.execution_id, policy, timeout))

    def result(self, timeout: float | None = None) -> JsonValue:
        """Return the result of the task when it has completed.

        Raises:
            ExecutionFailed: it failed; the error has the record.
            ExecutionCancelled: it was cancelled.
            ResultDropped: it completed, and the server has dropped its result unread.
            WaitTimeout: it has not ended after ``timeout`` seconds; it continues.
            ServerLost: the server is gone and did not return in time: the state of the
                execution is unknown.
        """
        record = self.wait(timeout)
        raise_unless_complete(record)
        return record.result

    def progress(self) -> Iterator[ProgressEvent | StateEvent]:
        """Yield the execution's events as they arrive; the last one is its terminal state.

        The first call on the handle of a submission starts with the first event, if the client has
        a progress callback. Any other call starts with the present state and the latest progress;
        of an ended execution, it yields the latest progress and the terminal state. Lost events
        that the server does not keep are skipped.

        Raises:
            NotConnected: the client was disconnected; events that had arrived come first.
            ServerLost: the server is gone or does not reply, and did not return within
                ``reconnect_timeout``: the state of the execution is unknown.
        """
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            return self._follow(stream, [])
        # Subscribe now rather than at the first `next()`, so that no event in between is missed.
        stream = self._retry_lost(
            lambda: self._client.open_stream(self.execution_id, self._submitter)
        )
        record = self._retry_lost(self.status)
        if record.status.is_terminal:
            final = _final_event(record, 0)
            return iter([final] if record.progress is None else [record.progress, final])
        kept = self._client.read_kept_events(self.execution_id)
        return self._follow(stream, _compose_present(record, kept))

    def _follow(
        self, stream: EventStream, events: list[ProgressEvent | StateEvent]
    ) -> Iterator[ProgressEvent | StateEvent]:
        """Yield these events, and then those of a stream."""
        last = 0
        while True:
            events = events or stream.take(_CHECK_SECONDS)
            if not events:
                # The terminal event may be lost; the record is authoritative.
                try:
                    record = self._read(_LAST_SECONDS)
                except (ServerLost, RequestTimeout):
                    # The last events of a stopping server may arrive after its last reply.
                    if events := stream.take(_LAST_SECONDS):
                        continue
                    record = self._retry_lost(self.status)
                if not record.status.is_terminal:
                    if stream.closed:
                        raise NotConnected(
                            f"client disconnected while execution {self.execution_id} was "
                            f"{record.status}: it continues; reconnect and attach() to follow it"
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
        """Return the end of what the task has written to stdout and stderr.

        Args:
            max_bytes: how much of it, up to 64 KiB. The server keeps the newest
                ``max_log_bytes``, by default 1 MiB, as long as it keeps the record.
        """
        return self._client.read_log_tail(self.execution_id, max_bytes).text

    def _retry_lost(self, request: Callable[[], _T]) -> _T:
        """Call ``request``; call it again when a lost server has returned."""
        while True:
            try:
                return request()
            except (ServerLost, RequestTimeout) as error:
                self._client.outlast(error)

    def _read(self, timeout: float | None) -> ExecutionRecord:
        """Return the record; ``timeout`` is that of the request."""
        if (final := self._final) is not None:
            return final
        return self._keep(self._client.get_record(self.execution_id, timeout=timeout))

    def _keep(self, record: ExecutionRecord) -> ExecutionRecord:
        if record.status.is_terminal:
            self._final = record
        return record


def _compose_present(
    record: ExecutionRecord, kept: Sequence[ProgressEvent | StateEvent]
) -> list[ProgressEvent | StateEvent]:
    """Return the event of the present state, and the latest progress since, if any.

    Args:
        record: of an unfinished execution.
        kept: its latest events, read after the record; empty when the server keeps none.
    """
    if not kept:
        return [] if record.progress is None else [record.progress]
    states = [n for n, event in enumerate(kept) if isinstance(event, StateEvent)]
    if states:
        state, since = kept[states[-1]], kept[states[-1] + 1 :]
        is_over = isinstance(state, StateEvent) and state.status.is_terminal
        if is_over and len(states) > 1:  # It has ended after the record was read.
            return [*kept[states[-2] + 1 : states[-1]][-1:], state]
    else:  # The server has evicted the state event: many reports followed it.
        state, since = _running_event(record, kept[0].sequence - 1), kept
    return [state, *since[-1:]]


def _running_event(record: ExecutionRecord, sequence: int) -> StateEvent:
    """Return the event of the running state, reconstructed from the record."""
    return StateEvent(
        execution_id=record.execution_id,
        sequence=sequence,
        timestamp=record.started_at or record.submitted_at,
        status=ExecutionStatus.RUNNING,
        submitted_at=record.submitted_at,
        started_at=record.started_at,
    )


def _final_event(record: ExecutionRecord, last: int) -> StateEvent:
    """Return the terminal event, reconstructed from the record, with a number above ``last``."""
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
