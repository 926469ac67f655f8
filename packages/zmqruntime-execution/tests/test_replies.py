"""Composed replies and events equal the encoding of their models."""

from __future__ import annotations

from typing import Any

from driving import request
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.execution.core.replies import compose_accepted, compose_records, compose_snapshot
from zmqruntime.execution.lifecycle.events import ProgressReport, compose_event
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.worker.child.reporter import encode_progress
from zmqruntime.messages import (
    AcceptedReply,
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    JsonValue,
    ProgressEvent,
    StateEvent,
    decode_event,
    decode_reply,
    encode,
)
from zmqruntime.messages.lowlevel import decode_json, encode_json

ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
times = st.floats(0, 1e11, allow_nan=False)
numbers = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.none() | st.text(max_size=20)
values = st.recursive(st.none() | st.integers(-(10**9), 10**9) | st.text(), st.lists)
data = st.none() | st.dictionaries(st.text(max_size=5), values, max_size=3)


@given(
    execution_id=ids,
    sequence=st.integers(1, 10**12),
    timestamp=times,
    completed=numbers,
    total=numbers,
    phase=texts,
    message=texts,
    data=data,
)
def test_progress_event_equals_the_encoding_of_its_model(
    execution_id: str, sequence: int, timestamp: float, data: Any, **fields: Any
) -> None:
    body = encode_progress(data=data, **fields)
    event = decode_event(compose_event(execution_id, ProgressReport(sequence, timestamp, body)))
    assert isinstance(event, ProgressEvent)
    assert (event.execution_id, event.sequence) == (execution_id, sequence)
    assert event.timestamp == timestamp
    assert event.data == data
    for name, value in fields.items():
        assert getattr(event, name) == value
    # The JSON has exactly the fields of the model.
    frame = compose_event(execution_id, ProgressReport(sequence, timestamp, body))
    assert decode_json(encode(event)) == {"data": None} | decode_json(frame)


@given(
    execution_id=ids,
    sequence=st.integers(1, 10**12),
    status=st.sampled_from(ExecutionStatus),
    moments=st.tuples(times, times, st.none() | times),
    message=texts,
)
def test_state_event_equals_the_encoding_of_its_model(
    execution_id: str,
    sequence: int,
    status: ExecutionStatus,
    moments: tuple[float, float, float | None],
    message: str | None,
) -> None:
    timestamp, submitted_at, started_at = moments
    finished_at = timestamp if status.is_terminal else None
    execution = Execution.from_request(request(execution_id), 0, submitted_at)
    execution.status, execution.sequence = status, sequence
    execution.started_at, execution.finished_at = started_at, finished_at
    if message is not None:
        execution.error = ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message=message)
    frame = compose_event(execution_id, execution.to_state_change(timestamp))
    event = decode_event(frame)
    assert event == StateEvent(
        execution_id=execution_id,
        sequence=sequence,
        timestamp=timestamp,
        status=status,
        submitted_at=submitted_at,
        started_at=started_at,
        finished_at=finished_at,
        error=execution.error,
    )
    assert decode_json(encode(event)) == decode_json(frame)


@given(
    execution_id=ids,
    request_id=texts,
    status=st.sampled_from(ExecutionStatus),
    place=st.none() | st.integers(1, 10**9),
    moments=st.tuples(times, st.none() | times, st.none() | times),
    labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    percent=st.none() | st.floats(0, 100),
    result=values,
    message=texts,
    duplicate=st.booleans(),
    with_record=st.booleans(),
)
def test_reply_about_an_execution_equals_the_encoding_of_its_model(
    execution_id: str,
    request_id: str | None,
    status: ExecutionStatus,
    place: int | None,
    moments: tuple[float, float | None, float | None],
    labels: dict[str, str],
    percent: float | None,
    result: JsonValue,
    message: str | None,
    duplicate: bool,
    with_record: bool,
) -> None:
    submitted_at, started_at, finished_at = moments
    execution = Execution.from_request(request(execution_id, labels=labels), 0, submitted_at)
    execution.status = status
    execution.started_at, execution.finished_at = started_at, finished_at
    execution.result = encode_json(result)
    progress: ProgressEvent | None = None
    if percent is not None:
        execution.progress = ProgressReport(3, 1.0, encode_progress(percent, 100.0, data={}))
        decoded = decode_event(compose_event(execution_id, execution.progress))
        assert isinstance(decoded, ProgressEvent)
        progress = decoded
    if message is not None:
        execution.error = ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message=message)
    record = ExecutionRecord(
        execution_id=execution_id,
        client_id=execution.client_id,
        status=status,
        labels=labels,
        submitted_at=submitted_at,
        started_at=started_at,
        finished_at=finished_at,
        queue_position=place,
        progress=progress,
        result=result,
        error=execution.error,
    )
    accepted = compose_accepted(
        execution, place, request_id, duplicate=duplicate, with_record=with_record
    )
    assert decode_reply(accepted) == AcceptedReply(
        request_id=request_id,
        execution_id=execution_id,
        queue_position=place,
        duplicate=duplicate,
        execution=record if with_record else None,
    )
    frame = compose_snapshot(execution, place, request_id)
    snapshot = decode_reply(frame)
    assert snapshot == ExecutionStatusSnapshot(request_id=request_id, execution=record)
    # Fields that are empty in a reply about one execution are left out.
    written, whole = decode_json(frame), decode_json(encode(snapshot))
    assert whole["execution"].pop("result_dropped") is False
    assert written == {name: whole[name] for name in written}
    assert whole.keys() - written.keys() == {
        "running_executions",
        "queued_executions",
        "counts",
        "cursor",
        "also",
    }
    with_itself = decode_reply(
        compose_snapshot(
            execution, place, request_id, also=list(compose_records([execution], lambda _: None))
        )
    )
    assert with_itself == snapshot.model_copy(
        update={"also": (record.model_copy(update={"queue_position": None}),)}
    )
