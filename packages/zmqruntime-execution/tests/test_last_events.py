"""The last events of a server that ends reach their reader, whatever became of its replies."""

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
    """Stands for a client: while it asks for the record, the last event of its server comes."""

    def __init__(self, stream: EventStream, error: TransportError) -> None:
        self._stream = stream
        self._error = error

    def get_record(self, execution_id: str, *, timeout: float) -> None:
        assert timeout <= 1.0
        self._stream.put([state(3, ExecutionStatus.CANCELLED)])
        raise self._error

    def outlast(self, error: TransportError) -> None:
        raise AssertionError("it is waited for a server that has nothing more to send") from error


@pytest.mark.parametrize("error", [ServerLost("it ended"), RequestTimeout("no reply")])
def test_last_event_that_comes_while_the_record_is_asked_for_is_yielded(
    error: TransportError,
) -> None:
    stream = EventStream()
    stream.put([state(1, ExecutionStatus.QUEUED), state(2, ExecutionStatus.RUNNING)])
    handle = ExecutionHandle(cast("ExecutionClient", EndingServer(stream, error)), "e", stream)
    events = handle.progress()
    seen = [next(events).sequence, next(events).sequence]
    stream.disturb()  # The connection ended, or had begun and nothing has come since.
    assert [*seen, *(event.sequence for event in events)] == [1, 2, 3]
