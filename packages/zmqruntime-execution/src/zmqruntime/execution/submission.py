"""From what an application hands over to the request that goes out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel, ValidationError

from zmqruntime.messages import (
    ClientId,
    ErrorKind,
    ExecuteRequest,
    ExecutionId,
    JsonObject,
    Labels,
    explain,
)

__all__ = ["RequestOptions", "make_request", "to_object"]


class RequestOptions(TypedDict, total=False):
    """Further fields of a request; None for those that are left as they are."""

    labels: Labels | None
    timeout_seconds: float | None
    priority: int
    max_attempts: int | None
    backoff_seconds: float | None
    wait_seconds: float


def make_request(
    task: JsonObject,
    config: JsonObject | None,
    client_id: ClientId,
    *,
    execution_id: ExecutionId | None = None,
    retry_on: Iterable[ErrorKind | str] | None = None,
    **options: Unpack[RequestOptions],
) -> ExecuteRequest:
    """Return the request for a task, with a name for its execution.

    Raises:
        DecodeError: a part of it is not JSON, or a field is wrong; the error names it.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if retry_on is not None:
        given["retry_on"] = tuple(map(ErrorKind, retry_on))
    try:
        return ExecuteRequest(
            task=task,
            config=config,
            client_id=client_id,
            execution_id=execution_id or os.urandom(16).hex(),
            **given,
        )
    except ValidationError as error:
        raise explain(error, "submission") from None


def to_object(name: str, value: Any) -> JsonObject:
    """Return a mapping as it is, and a pydantic model as its JSON form.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, BaseModel):
        dumped: JsonObject = value.model_dump(mode="json")
        return dumped
    raise TypeError(
        f"a {name} must be a mapping or a pydantic model, not {type(value).__name__}: override "
        "serialize_task() to submit objects of your own"
    )
