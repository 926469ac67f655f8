"""Prefetch of final records: a wait for one execution also returns those behind it.

``[handle.result() for handle in handles]`` waits in the order of submission, and when the first
execution has ended, many of those behind it have ended, too. Each status request therefore names
some of these (`StatusRequest.also`), and the reply has their final records as well.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Final

from zmqruntime.execution.client.submitter import expect
from zmqruntime.execution.client.wait import ExecutionWaiter, Outlast, WaitPolicy
from zmqruntime.messages import (
    MAX_ALSO,
    ExecutionId,
    ExecutionRecord,
    ExecutionStatusSnapshot,
    StatusRequest,
)
from zmqruntime.transport import ZMQClient

__all__ = ["Prefetchable", "RecordPrefetcher"]

_MIN_PREFETCH: Final = 2


class Prefetchable:
    """An execution whose final record may be prefetched; a link in the order of submission."""

    execution_id: ExecutionId
    _final: ExecutionRecord | None = None
    """The final record, once it is known."""
    _next: weakref.ref[Prefetchable] | None = None
    """The next submission of the same client, as long as its handle is in use."""


class RecordPrefetcher:
    """Waits for the executions of one client, and prefetches records. Thread-safe.

    The number of records to prefetch is twice that of the last reply: small for long tasks, and
    for large results, which a server leaves out.

    Args:
        client: a connected client.
        outlast: waits for a lost server.
    """

    def __init__(self, client: ZMQClient, outlast: Outlast) -> None:
        self._client = client
        self._outlast = outlast
        self._latest: weakref.ref[Prefetchable] | None = None
        self._count = _MIN_PREFETCH

    def add(self, submitted: Prefetchable) -> None:
        """Append a submitted execution."""
        reference = weakref.ref(submitted)
        # Two threads that submit at the same time may lose one link; that one is not prefetched.
        latest, self._latest = self._latest, reference
        if latest is not None and (last := latest()) is not None:
            last._next = reference

    def wait(
        self, first: Prefetchable, policy: WaitPolicy | None, timeout: float | None
    ) -> ExecutionRecord:
        """Return the final record of an execution; raises as `RecordClient.wait_for_completion`."""
        ask = partial(self._request_records, first)
        waiter = ExecutionWaiter(ask, policy, self._outlast, self._client.pause)
        return waiter.wait(first.execution_id, timeout)

    def _request_records(
        self, first: Prefetchable, execution_id: str, hold: float, timeout: float | None
    ) -> ExecutionRecord:
        """Return the record of ``first`` after the hold, and store the prefetched ones."""
        others = self._list_next(first)
        request = StatusRequest(execution_id=execution_id, wait_seconds=hold, also=tuple(others))
        reply = self._client.request(request, timeout, hold=hold)
        snapshot = expect(ExecutionStatusSnapshot, reply)
        for record in snapshot.also:
            if record.execution_id in others and record.status.is_terminal:
                others[record.execution_id]._final = record
        if others:
            self._count = max(_MIN_PREFETCH, min(2 * len(snapshot.also), MAX_ALSO))
        assert snapshot.execution is not None
        return snapshot.execution

    def _list_next(self, first: Prefetchable) -> dict[ExecutionId, Prefetchable]:
        """Return the next executions without a final record, by id and in order."""
        found: dict[ExecutionId, Prefetchable] = {}
        reference = first._next
        for _ in range(self._count):
            if reference is None or (other := reference()) is None or other._final is not None:
                break
            found[other.execution_id] = other
            reference = other._next
        return found
