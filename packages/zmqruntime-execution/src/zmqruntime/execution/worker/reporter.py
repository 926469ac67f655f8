"""Progress, from wherever the task runs: its thread, its other threads, its own processes."""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable
from typing import Any, SupportsFloat, SupportsIndex

import zmq
from pydantic_core import to_json

from zmqruntime.execution.worker.wire import PROGRESS, REPORTS
from zmqruntime.messages import JsonObject, encode_json

__all__ = ["ProgressReporter", "encode_progress"]

_LINGER_MS = 2000


class ProgressReporter:
    """Reports progress of one execution. Small and picklable: hand it to a process of yours.

    In the process and thread of the task it uses ``send``; anywhere else it connects to the
    server by itself when it is first used.
    """

    def __init__(
        self,
        execution_id: str,
        address: str,
        token: bytes,
        send: Callable[[bytes], None] | None = None,
    ) -> None:
        self._execution_id = execution_id
        self._address = address
        self._token = token
        self._send = send
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ProgressReporter], tuple[str, str, bytes]]:
        return ProgressReporter, (self._execution_id, self._address, self._token)

    def report(
        self,
        completed: SupportsFloat | None = None,
        total: SupportsFloat | None = None,
        phase: str | None = None,
        message: str | None = None,
        data: JsonObject | None = None,
    ) -> None:
        """Report progress; see `ExecutionContext.report_progress`."""
        body = encode_progress(completed, total, phase, message, data)
        if self._send is None or self._pid != os.getpid():
            self._connect()
        assert self._send is not None
        self._send(body)

    def _connect(self) -> None:
        # A context does not survive a fork, so each process has one of its own.
        context: zmq.Context[Any] = zmq.Context()
        link = context.socket(zmq.DEALER)
        link.linger = _LINGER_MS
        link.routing_id = self._token + REPORTS + os.urandom(8)
        link.connect(self._address)
        lock, execution_id = threading.Lock(), self._execution_id.encode()

        def send(body: bytes) -> None:
            with lock:
                link.send_multipart((PROGRESS, execution_id, body))

        self._send, self._pid = send, os.getpid()


def encode_progress(
    completed: SupportsFloat | None = None,
    total: SupportsFloat | None = None,
    phase: str | None = None,
    message: str | None = None,
    data: JsonObject | None = None,
) -> bytes:
    """Return the part of a progress event that is the application's, as a JSON object.

    Raises:
        TypeError: a field has the wrong type.
        ValueError: a number is not finite.
        DecodeError: ``data`` is not JSON; the error names the part.
    """
    done, whole = _number("completed", completed), _number("total", total)
    fields = {
        "phase": _text("phase", phase),
        "completed": done,
        "total": whole,
        "percent": _percent(done, whole),
        "message": _text("message", message),
    }
    body = to_json(fields)
    if data is None:
        return body
    if not isinstance(data, dict):
        raise TypeError(f"progress data must be a dict, not {type(data).__name__}")
    return body[:-1] + b',"data":' + encode_json(data, "data") + b"}"


def _percent(completed: int | float | None, total: int | float | None) -> float | None:
    if completed is None or not total:
        return None
    return min(100.0, max(0.0, 100.0 * completed / total))


def _text(name: str, value: str | None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"progress {name} must be a str, not {type(value).__name__}")
    return value


def _number(name: str, value: SupportsFloat | None) -> int | float | None:
    """Take any kind of number, such as numpy's, as the JSON number that it is."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, SupportsIndex):
        return operator.index(value)
    if not isinstance(value, SupportsFloat):
        raise TypeError(f"progress {name} must be a number, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"progress {name} must be finite, not {number}")
    return number
