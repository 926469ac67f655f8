"""One run of a task, from the request to what became of it, whatever it does."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Protocol

from zmqruntime.execution.core.events import TaskRaised, TaskReturned, TaskStopped
from zmqruntime.execution.worker.context import ExecutionContext
from zmqruntime.execution.worker.interrupt import Interrupt
from zmqruntime.messages import (
    DecodeError,
    ErrorKind,
    ExecuteRequest,
    ExecutionErrorInfo,
    JsonValue,
    encode_json,
)

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["describe_invalid_request", "run_task"]

_log = logging.getLogger("zmqruntime.worker")

# What a snapshot adds around a result: ids, times, labels, the latest progress.
_RESERVED_BYTES = 64 * 1024
# Of an error's message, and of its traceback: every subscriber gets them.
_MAX_CHARACTERS = 16_000


class _Task(Protocol):
    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue: ...


def run_task(
    server: _Task,
    request: ExecuteRequest,
    context: ExecutionContext,
    interrupt: Interrupt,
    max_message_bytes: int,
) -> TaskReturned | TaskRaised | TaskStopped:
    """Run ``execute_task`` and return what became of it. Raises nothing that the task raised.

    A task that was told to stop counts as stopped however it ends; one that returns before it
    was told has completed, and its result stands.

    Args:
        server: the application's side of it.
        request: what to do.
        context: what the task is given.
        interrupt: how the task is told to stop; the one that ``context`` has.
        max_message_bytes: how long a message may be, and so, about, the result.
    """
    execution_id = context.execution_id
    try:
        with interrupt.armed(execution_id):
            result = server.execute_task(request, context)
    except BaseException as error:  # noqa: BLE001 - a task may raise anything; all is told
        interrupt.disarm(execution_id)
        if interrupt.seen:
            _log.info(
                "execution %s was stopped (%r)",
                execution_id,
                error,
                extra={"execution_id": execution_id},
            )
            return TaskStopped(execution_id)
        return TaskRaised(execution_id, describe_exception(error))
    if interrupt.seen:
        return TaskStopped(execution_id)
    encoded = _encode_result(result, max_message_bytes - _RESERVED_BYTES)
    if isinstance(encoded, ExecutionErrorInfo):
        return TaskRaised(execution_id, encoded)
    return TaskReturned(execution_id, encoded)


def describe_exception(error: BaseException) -> ExecutionErrorInfo:
    """Return an exception as a record keeps it, its traceback without this package's frames."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    return ExecutionErrorInfo(
        kind=ErrorKind.EXCEPTION,
        type=type(error).__qualname__,
        message=_writable(_words_of(error)) or type(error).__qualname__,
        traceback=_writable("".join(traceback.format_exception(type(error), error, frames))),
    )


def describe_invalid_request(frame: bytes, error: ValidationError) -> ExecutionErrorInfo:
    """Return what is wrong with the task or the config of a request that no server has parsed."""
    from zmqruntime.messages import explaining, find_body_fault  # Not above: a task needs neither.

    fault = find_body_fault(frame)
    if fault is None:
        try:
            with explaining("execute request"):
                raise error
        except DecodeError as explained:
            fault = explained
    return ExecutionErrorInfo(
        kind=ErrorKind.EXCEPTION, type=type(fault).__name__, message=_writable(str(fault))
    )


def _encode_result(result: object, limit: int) -> bytes | ExecutionErrorInfo:
    try:
        encoded = encode_json(result, "result")
    except Exception as error:  # noqa: BLE001 - what an application returns may do anything
        return ExecutionErrorInfo(
            kind=ErrorKind.UNSERIALIZABLE_RESULT, message=_writable(_words_of(error))
        )
    if len(encoded) > limit:
        return ExecutionErrorInfo(
            kind=ErrorKind.RESULT_TOO_LARGE,
            message=f"the result is {len(encoded):,} bytes of JSON and a message carries "
            f"{limit:,}: write it to a file and return its path",
        )
    return encoded


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - an application's exceptions may do anything
        return f"(what it says cannot be told: {type(failure).__qualname__})"


def _writable(text: str) -> str:
    """Return ``text`` without lone surrogates, which UTF-8 cannot write, and not too long."""
    if len(text) > _MAX_CHARACTERS:
        half = _MAX_CHARACTERS // 2
        text = f"{text[:half]}\n... ({len(text) - 2 * half:,} characters left out)\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
