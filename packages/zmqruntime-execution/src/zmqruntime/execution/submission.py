"""From what an application hands over to the request that goes out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel, ValidationError

from zmqruntime.messages import (
    CancelRequest,
    ClientId,
    DecodeError,
    ErrorCode,
    ErrorKind,
    ExecuteRequest,
    ExecutionId,
    FieldFault,
    JsonObject,
    Labels,
    PreparedRequest,
    encode_json,
    explain,
    prepare,
)

__all__ = ["RequestOptions", "make_request", "to_object"]


class RequestOptions(TypedDict, total=False):
    """Further fields of a request; None for those that are left as they are."""

    labels: Labels | None
    timeout_seconds: float | None
    priority: int | None
    max_attempts: int | None
    backoff_seconds: float | None


def make_request(
    task: JsonObject,
    config: JsonObject | None,
    client_id: ClientId,
    *,
    execution_id: ExecutionId | None = None,
    retry_on: Iterable[ErrorKind | str] | None = None,
    wait_seconds: float = 0.0,
    **options: Unpack[RequestOptions],
) -> PreparedRequest:
    """Return the request for a task, with a name for its execution.

    Raises:
        DecodeError: a part of it is not JSON, or a field is wrong; the error names it.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if retry_on is not None:
        given["retry_on"] = tuple(map(ErrorKind, retry_on))
    try:
        if execution_id is None:
            execution_id = os.urandom(16).hex()
        else:
            _check_name(execution_id)
        encode_options = _encode_options if given else _encode_no_options
        head = encode_options(client_id, wait_seconds, **given)
    except ValidationError as error:
        raise explain(error, "submission") from None
    if config is not None:
        head += b'"config":%b,' % _encode_object("config", config)
    task_json = _encode_object("task", task)
    body = b'%b"execution_id":"%b","task":%b}' % (head, execution_id.encode(), task_json)
    return PreparedRequest("execute", body, execution_id)


def to_object(name: str, value: Any) -> JsonObject:
    """Return a mapping as it is, and a pydantic model as its JSON form.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, (dict, Mapping)):
        return dict(value)
    if isinstance(value, BaseModel):
        dumped: JsonObject = value.model_dump(mode="json")
        return dumped
    raise TypeError(
        f"a {name} must be a mapping or a pydantic model, not {type(value).__name__}: override "
        "serialize_task() to submit objects of your own"
    )


def _check_name(execution_id: ExecutionId) -> None:
    CancelRequest(execution_id=execution_id)  # The smallest model that knows what a name is.


def _encode_options(client_id: ClientId, wait_seconds: float, **given: Any) -> bytes:
    """Return the beginning of a request: all but what differs from task to task."""
    request = ExecuteRequest(task={}, client_id=client_id, wait_seconds=wait_seconds, **given)
    return prepare(request, without={"task"}).body[:-1] + b","


# Most tasks come without options, and from one client.
_encode_no_options = lru_cache(maxsize=16, typed=True)(_encode_options)


def _encode_object(name: str, value: object) -> bytes:
    if isinstance(value, dict):
        return encode_json(value, name)
    problem = f"is of type {type(value).__name__}, and an object such as {{...}} is required"
    raise DecodeError(
        ErrorCode.INVALID_REQUEST, f"{name} {problem}", faults=(FieldFault(name, problem),)
    )
