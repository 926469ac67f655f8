"""The last events of a stopping server reach `progress()`, even if a status request fails."""

from __future__ import annotations

from typing import cast

import pytest

from zmqruntime.execution.client.client import ExecutionClient
from zmqruntime.execution.client.handle import ExecutionHandle
from zmqruntime.execution.client.stream import EventStream
from zmqruntime.messages import ExecutionStatus, StateEvent
from zmqruntime.transport import RequestTimeout, ServerLost, TransportError


def state(sequence: int, status: ExecutionStatus) -> StateEvent:
    return StateEvent(
        execution_id="e", sequence=sequence, timestamp=1.0, status=status, submitted_at=1.0
    )


class EndingServer:
    """A client whose last event arrives during a status request, which fails."""

    def __init__(self, stream: EventStream, error: TransportError) -> None:
        self._stream = stream
        self._error = error

    def get_record(self, execution_id: str, *, timeout: float) -> None:
        assert timeout <= 1.0
        self._stream.put([state(3, ExecutionStatus.CANCELLED)])
        raise self._error

    def outlast(self, error: TransportError) -> None:
        raise AssertionError("waited for a server whose last event has arrived") from error


@pytest.mark.parametrize("error", [ServerLost("stopped"), RequestTimeout("no reply")])
def test_last_event_that_arrives_during_a_failing_status_request_is_yielded(
    error: TransportError,
) -> None:
    stream = EventStream()
    stream.put([state(1, ExecutionStatus.QUEUED), state(2, ExecutionStatus.RUNNING)])
    handle = ExecutionHandle(cast("ExecutionClient", EndingServer(stream, error)), "e", stream)
    events = handle.progress()
    seen = [next(events).sequence, next(events).sequence]
    stream.request_check()  # As after a change of the connection.
    assert [*seen, *(event.sequence for event in events)] == [1, 2, 3]
