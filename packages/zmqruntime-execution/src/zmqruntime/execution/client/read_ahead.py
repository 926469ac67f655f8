"""Reads the final records of further executions along with the one that is waited for.

``[handle.result() for handle in handles]`` waits for one execution after another, in the order of
their submission, and when the first one has ended, so have many of those behind it. Each request
therefore names some of these (`StatusRequest.also`), and the reply has their records as well.
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

__all__ = ["ReadAhead", "Readable"]

_FEW: Final = 2


class Readable:
    """An execution whose final record comes along with others', or is asked for."""

    execution_id: ExecutionId
    _final: ExecutionRecord | None = None
    """As soon as its client has it."""
    _following: weakref.ref[Readable] | None = None
    """What the same client submitted next, as long as its handle is in use."""


class ReadAhead:
    """Waits for the executions of one client. For any thread.

    A wait names twice as many others as came along with the last one: few where tasks take long,
    or have large results, which a server leaves out.

    Args:
        client: a connected client.
        outlast: waits for a server that was lost.
    """

    def __init__(self, client: ZMQClient, outlast: Outlast) -> None:
        self._client = client
        self._outlast = outlast
        self._latest: weakref.ref[Readable] | None = None
        self._ahead = _FEW

    def add(self, readable: Readable) -> None:
        """Take an execution that was submitted behind all others."""
        reference = weakref.ref(readable)
        # Of two threads that submit at once, one may be left out: it is read by itself.
        latest, self._latest = self._latest, reference
        if latest is not None and (last := latest()) is not None:
            last._following = reference

    def wait(
        self, first: Readable, policy: WaitPolicy | None, timeout: float | None
    ) -> ExecutionRecord:
        """Return the final record of an execution; raises as `RecordClient.wait_for_completion`."""
        ask = partial(self._ask, first)
        waiter = ExecutionWaiter(ask, policy, self._outlast, self._client.pause)
        return waiter.wait(first.execution_id, timeout)

    def _ask(
        self, first: Readable, execution_id: str, hold: float, timeout: float | None
    ) -> ExecutionRecord:
        """Return the record of one, as it is at the end of the hold; keep those that come along."""
        others = self._list_following(first)
        request = StatusRequest(execution_id=execution_id, wait_seconds=hold, also=tuple(others))
        reply = self._client.request(request, timeout, hold=hold)
        snapshot = expect(ExecutionStatusSnapshot, reply)
        for record in snapshot.also:
            if record.execution_id in others and record.status.is_terminal:
                others[record.execution_id]._final = record
        if others:
            self._ahead = max(_FEW, min(2 * len(snapshot.also), MAX_ALSO))
        assert snapshot.execution is not None
        return snapshot.execution

    def _list_following(self, first: Readable) -> dict[ExecutionId, Readable]:
        """Return the next ones that are not read yet, by name and in order."""
        found: dict[ExecutionId, Readable] = {}
        following = first._following
        for _ in range(self._ahead):
            if following is None or (other := following()) is None or other._final is not None:
                break
            found[other.execution_id] = other
            following = other._following
        return found
