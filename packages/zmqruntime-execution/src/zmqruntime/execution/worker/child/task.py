"""One run of a task, from the request to what became of it, whatever it does."""

from __future__ import annotations

import logging
import os
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from zmqruntime.execution.core.events import TaskRaised, TaskReturned, TaskStopped
from zmqruntime.execution.worker.child.context import ExecutionContext
from zmqruntime.execution.worker.child.forked_child import EndForkedChildren, end_forked_child
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

# What a snapshot adds around a result: ids, times, labels, the latest progress.
_RESERVED_BYTES = 64 * 1024
# Of an error's message, and of its traceback: every subscriber gets them.
_MAX_CHARACTERS = 16_000
# Of the note that a text was cut.
_MAX_NOTE = 64
# Of an exception group: its first exceptions are named.
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
    """Run ``execute_task`` and return what became of it. Raises nothing that the task raised.

    A task that was ordered to stop and raises counts as stopped, whatever it raises. One that
    returns has completed, and its result stands, unless the order had reached it, or was withheld
    by an import or by the task itself.

    Args:
        server: the application's side of it.
        request: what to do.
        context: what the task is given.
        interrupt: how the task is told to stop; the one that ``context`` has.
        max_message_bytes: how long a message may be, and so, about, the result.
    """
    execution_id = context.execution_id
    process = os.getpid()
    try:
        with interrupt.armed(execution_id):
            result = server.execute_task(request, context)
    except BaseException as error:  # noqa: BLE001 - a task may raise anything; all is told
        if os.getpid() != process:
            end_forked_child(error)
        interrupt.disarm(execution_id)
        if interrupt.seen or interrupt.ordered:
            _log.info(
                "execution %s was stopped (%r)",
                execution_id,
                error,
                extra={"execution_id": execution_id},
            )
            return TaskStopped(execution_id)
        return TaskRaised(execution_id, describe_exception(error))
    if os.getpid() != process:
        end_forked_child(None)
    if interrupt.seen or (interrupt.ordered and interrupt.is_withheld):
        return TaskStopped(execution_id)
    encoded = _encode_result(server, result, max_message_bytes - _RESERVED_BYTES)
    if isinstance(encoded, ExecutionErrorInfo):
        return TaskRaised(execution_id, encoded)
    return TaskReturned(execution_id, encoded)


def describe_exception(error: BaseException) -> ExecutionErrorInfo:
    """Return an exception as a record keeps it, its traceback without this package's frames."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    return ExecutionErrorInfo(
        kind=ErrorKind.EXCEPTION,
        type=type(error).__qualname__,
        message=_shorten(_describe(error)),
        traceback=_shorten(_format_traceback(error, frames)),
    )


def describe_invalid_request(frame: bytes, error: ValidationError) -> ExecutionErrorInfo:
    """Return what is wrong with the task or the config of a request that no server has parsed."""
    # Not above: a task needs neither.
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
        with EndForkedChildren():
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
    """Return the text of an exception; behind its type where the text alone says too little."""
    name = type(error).__qualname__
    try:
        text = str(error)
        if isinstance(error, BaseExceptionGroup):
            parts = [f"{type(p).__qualname__}: {p}" for p in error.exceptions[:_MAX_PARTS]]
            text = "; ".join([text, *parts])
    except BaseException as failure:  # noqa: BLE001 - so may its exceptions
        return f"{name} (no text: its __str__ raised {type(failure).__qualname__})"
    if isinstance(error, SystemExit):
        return f"{name}: {text or 0} (the task called sys.exit)"
    if not text.strip():
        return f"{name} (no text)"
    return f"{name}: {text}" if isinstance(error, KeyError) else text


def _format_traceback(error: BaseException, frames: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as failure:  # noqa: BLE001 - it reads attributes of the application's
        where = "".join(traceback.format_tb(frames))
        reason = type(failure).__qualname__
        return f"{where}{type(error).__qualname__} (not formatted: {reason} was raised)\n"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except BaseException as failure:  # noqa: BLE001 - an application's objects may raise anything
        return f"<{type(value).__qualname__}: its __repr__ raised {type(failure).__qualname__}>"


def _shorten(text: str, limit: int = _MAX_CHARACTERS) -> str:
    """Return ``text`` without lone surrogates, which UTF-8 cannot write, and not too long."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    half = (limit - _MAX_NOTE) // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters left out)\n{text[-half:]}"
