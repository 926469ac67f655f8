"""Runs one task, from the request to its outcome."""

from __future__ import annotations

import logging
import os
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from zmqruntime.execution.core.events import TaskRaised, TaskReturned, TaskStopped
from zmqruntime.execution.worker.child.context import ExecutionContext
from zmqruntime.execution.worker.child.forked_child import ExitForkedChildren, exit_forked_child
from zmqruntime.execution.worker.child.interrupt import Interrupt
from zmqruntime.execution.worker.child.serialization import encode_value
from zmqruntime.messages import (
    MAX_RESULT_REPR,
    DecodeError,
    ErrorKind,
    ExecuteRequest,
    ExecutionErrorInfo,
)

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["describe_invalid_request", "run_task"]

_log = logging.getLogger("zmqruntime.worker")

# What a snapshot contains beside a result: ids, times, labels, the latest progress.
_RESERVED_BYTES = 64 * 1024
# Limit of an error's message and of its traceback, which all subscribers receive.
_MAX_CHARACTERS = 16_000
# Length of the note in a shortened text.
_MAX_NOTE = 64
# How many exceptions of a group are named.
_MAX_PARTS = 5


class _Task(Protocol):
    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> Any: ...

    def serialize_result(self, result: Any) -> Any: ...


def run_task(
    server: _Task,
    request: ExecuteRequest,
    context: ExecutionContext,
    interrupt: Interrupt,
    max_message_bytes: int,
) -> TaskReturned | TaskRaised | TaskStopped:
    """Run ``execute_task`` and return its outcome. Exceptions of the task are not raised.

    A task that raises after an interrupt was requested counts as interrupted, whatever it raises.
    A task that returns has completed, unless the interrupt had reached it, or was withheld by an
    import or by the task itself.

    Args:
        server: the application's server object.
        request: the request.
        context: the context that is passed to the task.
        interrupt: the interrupt of ``context``.
        max_message_bytes: limit of a message, and so, less a reserve, of the result.
    """
    execution_id = context.execution_id
    process = os.getpid()
    try:
        with interrupt.armed(execution_id):
            result = server.execute_task(request, context)
    except BaseException as error:  # noqa: BLE001 - a task may raise anything
        if os.getpid() != process:
            exit_forked_child(error)
        interrupt.disarm(execution_id)
        if interrupt.seen or interrupt.ordered:
            _log.info(
                "execution %s was interrupted (%r)",
                execution_id,
                error,
                extra={"execution_id": execution_id},
            )
            return TaskStopped(execution_id)
        return TaskRaised(execution_id, describe_exception(error))
    if os.getpid() != process:
        exit_forked_child(None)
    if interrupt.seen or (interrupt.ordered and interrupt.is_withheld):
        return TaskStopped(execution_id)
    encoded = _encode_result(server, result, max_message_bytes - _RESERVED_BYTES)
    if isinstance(encoded, ExecutionErrorInfo):
        return TaskRaised(execution_id, encoded)
    return TaskReturned(execution_id, encoded)


def describe_exception(error: BaseException) -> ExecutionErrorInfo:
    """Return the error of a record, with the traceback from the application's frames on."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    return ExecutionErrorInfo(
        kind=ErrorKind.EXCEPTION,
        type=type(error).__qualname__,
        message=_shorten(_describe(error)),
        traceback=_shorten(_format_traceback(error, frames)),
    )


def describe_invalid_request(frame: bytes, error: ValidationError) -> ExecutionErrorInfo:
    """Return the fault of a request whose task or config the server has not validated."""
    # Not above: rarely needed.
    from zmqruntime.messages.lowlevel import decode_errors, find_body_fault

    fault = find_body_fault(frame)
    if fault is None:
        try:
            with decode_errors("execute request"):
                raise error
        except DecodeError as explained:
            fault = explained
    return ExecutionErrorInfo(
        kind=ErrorKind.EXCEPTION, type=type(fault).__name__, message=_shorten(str(fault))
    )


def _encode_result(server: _Task, result: object, limit: int) -> bytes | ExecutionErrorInfo:
    try:
        with ExitForkedChildren():
            encoded = encode_value(server.serialize_result(result), "result")
    except Exception as error:  # noqa: BLE001 - an application's objects may raise anything
        message = str(error) if isinstance(error, DecodeError) else _describe(error)
        return ExecutionErrorInfo(
            kind=ErrorKind.UNSERIALIZABLE_RESULT,
            message=_shorten(message),
            result_repr=_shorten(_repr(result), MAX_RESULT_REPR),
        )
    if len(encoded) > limit:
        return ExecutionErrorInfo(
            kind=ErrorKind.RESULT_TOO_LARGE,
            message=f"the result is {len(encoded):,} bytes of JSON and a message carries "
            f"{limit:,}: write it to a file and return its path",
            result_repr=_shorten(encoded.decode(), MAX_RESULT_REPR),
        )
    return encoded


def _describe(error: BaseException) -> str:
    """Return the text of an exception, after its type where the text alone is not readable."""
    name = type(error).__qualname__
    try:
        text = str(error)
        if isinstance(error, BaseExceptionGroup):
            parts = [f"{type(p).__qualname__}: {p}" for p in error.exceptions[:_MAX_PARTS]]
            text = "; ".join([text, *parts])
    except BaseException as failure:  # noqa: BLE001 - an application's __str__ may raise anything
        return f"{name} (no text: its __str__ raised {type(failure).__qualname__})"
    if isinstance(error, SystemExit):
        return f"{name}: {text or 0} (the task called sys.exit)"
    if not text.strip():
        return f"{name} (no text)"
    return f"{name}: {text}" if isinstance(error, KeyError) else text


def _format_traceback(error: BaseException, frames: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as failure:  # noqa: BLE001 - it reads attributes of the exception
        where = "".join(traceback.format_tb(frames))
        reason = type(failure).__qualname__
        return f"{where}{type(error).__qualname__} (not formatted: {reason} was raised)\n"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except BaseException as failure:  # noqa: BLE001 - an application's objects may raise anything
        return f"<{type(value).__qualname__}: its __repr__ raised {type(failure).__qualname__}>"


def _shorten(text: str, limit: int = _MAX_CHARACTERS) -> str:
    """Return ``text`` within a limit, with lone surrogates, which UTF-8 cannot encode, escaped."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    half = (limit - _MAX_NOTE) // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters left out)\n{text[-half:]}"
