"""Builds execute requests from an application's task, configuration and options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel, ValidationError

from zmqruntime.messages import (
    MAX_WAIT_SECONDS,
    ClientId,
    DecodeError,
    ErrorKind,
    ExecuteRequest,
    ExecutionId,
    JsonObject,
    Labels,
)
from zmqruntime.messages.lowlevel import PreparedRequest, decode_errors, encode_json, prepare

__all__ = [
    "RequestOptions",
    "SerializedTask",
    "check_client_id",
    "make_request",
    "read_fields",
    "to_object",
]

SerializedTask = tuple[JsonObject, JsonObject | None] | Mapping[str, Any]
"""A task and its configuration, or the fields of an `ExecuteRequest` as one mapping."""

_CLIENTS_OWN = frozenset({"protocol", "request_id", "wait_seconds"})
_KINDS = tuple(kind.value for kind in ErrorKind)


class RequestOptions(TypedDict, total=False):
    """Optional fields of a request; None for the default."""

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
    """Return the request for a task; ``execution_id`` None for a new id.

    Raises:
        DecodeError: a part of it is not JSON, or a field is invalid; the error names it.
    """
    given: dict[str, Any] = {}
    for name, value in options.items():
        if value is not None:
            given[name] = value
    if retry_on is not None:
        given["retry_on"] = _read_kinds(retry_on)
    if type(given.get("priority")) is int and given["priority"] == 0:
        del given["priority"]  # The default.
    if execution_id is None:
        execution_id = os.urandom(16).hex()
        if not given and (
            composed := _compose(task, config, client_id, execution_id, wait_seconds)
        ):
            return composed
    with decode_errors("submission"):
        request = ExecuteRequest(
            task=task,
            config=config,
            client_id=client_id,
            execution_id=execution_id,
            wait_seconds=wait_seconds,
            **given,
        )
    return prepare(request)


def read_fields(
    fields: Mapping[str, Any], options: Mapping[str, Any], client_id: ClientId
) -> dict[str, Any]:
    """Return the arguments of `make_request` from a mapping that `serialize_task` returned.

    None counts as absent. ``protocol``, ``request_id`` and ``wait_seconds`` are the client's to
    set, and ignored.

    Args:
        fields: the fields of an `ExecuteRequest`.
        options: the arguments of the call; they override the mapping.
        client_id: the client that sends the request.

    Raises:
        DecodeError: ``task`` is missing, a field is unknown, or ``client_id`` or ``type`` differs
            from the client's; the error names it.
        TypeError: ``fields`` is not a mapping, or the task or the configuration is neither a
            mapping nor a pydantic model.
    """
    if not isinstance(fields, Mapping):
        raise TypeError(
            "serialize_task() must return a tuple of task and configuration, or a mapping "
            f"with the fields of an ExecuteRequest, not {type(fields).__name__}"
        )
    given = {name: value for name, value in fields.items() if value is not None}
    for name, fixed in (("client_id", client_id), ("type", "execute")):
        if given.pop(name, fixed) != fixed:
            reason = f"{fields[name]!r} differs from {fixed!r}, which this client sends"
            raise DecodeError.of_field("submission", name, reason)
    for name in given:
        if name not in ExecuteRequest.model_fields:
            known = ", ".join(sorted(ExecuteRequest.model_fields))
            reason = f"unknown field; use one of {known}"
            raise DecodeError.of_field("submission", str(name), reason)
    if "task" not in given:
        raise DecodeError.of_field(
            "submission", "task", "missing in the mapping that serialize_task() returned"
        )
    for name in ("task", "config"):
        if name in given:
            given[name] = to_object(name, given[name])
    own = {name: value for name, value in given.items() if name not in _CLIENTS_OWN}
    overrides = {name: value for name, value in options.items() if value is not None}
    return {"config": None} | own | overrides


def check_client_id(client_id: ClientId) -> None:
    """Raise for an invalid client id, as a submission would.

    Raises:
        DecodeError: it is invalid.
    """
    with decode_errors("client"):
        ExecuteRequest(task={}, client_id=client_id)


def to_object(name: str, value: Any) -> JsonObject:
    """Return a mapping as a dict, or a pydantic model in JSON form.

    Raises:
        TypeError: ``value`` is neither.
    """
    if isinstance(value, (dict, Mapping)):  # `dict` first: its check is fast.
        return dict(value)
    if isinstance(value, BaseModel):
        dumped: JsonObject = value.model_dump(mode="json")
        return dumped
    raise TypeError(
        f"a {name} must be a mapping or a pydantic model, not {type(value).__name__}: override "
        "serialize_task() to submit objects of your own"
    )


def _read_kinds(retry_on: Iterable[ErrorKind | str]) -> tuple[ErrorKind, ...]:
    if isinstance(retry_on, str):  # Which is an iterable of characters.
        reason = f"a list of error kinds is required, not the string {retry_on!r}"
        raise DecodeError.of_field("submission", "retry_on", reason)
    kinds = tuple(retry_on)
    for kind in kinds:
        if kind not in _KINDS:
            reason = f"unknown error kind {kind!r}: use one of {', '.join(_KINDS)}"
            raise DecodeError.of_field("submission", "retry_on", reason)
    return tuple(map(ErrorKind, kinds))


def _compose(
    task: object,
    config: object,
    client_id: ClientId,
    execution_id: ExecutionId,
    wait_seconds: float,
) -> PreparedRequest | None:
    """Return a request without options, at a third of the cost of its model.

    None when it is invalid: the model raises an error that names the field.
    """
    if not (isinstance(task, dict) and isinstance(config, dict | None)):
        return None
    if not isinstance(client_id, str):
        return None
    if not (type(wait_seconds) is float and 0.0 <= wait_seconds <= MAX_WAIT_SECONDS):
        return None
    try:
        head = _encode_client(client_id)
        body = b'%b"execution_id":"%b","wait_seconds":%a,"config":%b,"task":%b}' % (
            head,
            execution_id.encode(),
            wait_seconds,
            b"null" if config is None else encode_json(config),
            encode_json(task),
        )
    except (ValidationError, DecodeError):
        return None
    return PreparedRequest("execute", body, execution_id)


@lru_cache(maxsize=8)
def _encode_client(client_id: ClientId) -> bytes:
    """Return the fields that every request of a client starts with."""
    checked = ExecuteRequest(task={}, client_id=client_id)
    return b'"protocol":%d,"type":"execute","client_id":"%b",' % (
        checked.protocol,
        checked.client_id.encode(),
    )
