"""Progress, from wherever the task runs: its thread, its other threads, its own processes."""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, SupportsFloat, SupportsIndex

from pydantic_core import to_json

from zmqruntime.execution.worker.child.link_client import LinkClosed, WorkerLink
from zmqruntime.execution.worker.child.outbox import ProgressOutbox
from zmqruntime.execution.worker.child.serialization import encode_value
from zmqruntime.execution.worker.protocol import REPORTS
from zmqruntime.execution.worker.sockets import LinkAddress
from zmqruntime.messages import JsonObject

__all__ = ["ProgressReporter", "ReportLink", "ServerReportLink", "encode_progress"]

# Of one report: it goes to every subscriber, and into every look at the execution.
_MAX_BYTES = 32 * 1024
# Below it a number has few digits.
_SHORT = 2**53

_Send = Callable[[bytes], None]


class ReportLink(Protocol):
    """The way from another process to whoever collects the task's progress. Picklable."""

    def open(self) -> Callable[[bytes], None]:
        """Connect, and return what sends one encoded report. Called once in each process."""


class ProgressReporter:
    """Reports progress of one execution. Small and picklable: hand it to a process of yours.

    Args:
        link: how it connects by itself when it is first used in another process.
        send: what it uses in the task's own process, from any thread.
    """

    def __init__(self, link: ReportLink, send: Callable[[bytes], None] | None = None) -> None:
        self._link = link
        self._send = send
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ProgressReporter], tuple[ReportLink]]:
        return ProgressReporter, (self._link,)

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
        send = self._send
        if send is None or self._pid != os.getpid():
            send = self._connect()
        send(body)

    def _connect(self) -> _Send:
        with self._lock:
            if self._send is None or self._pid != os.getpid():
                self._send, self._pid = self._link.open(), os.getpid()
            return self._send


class ServerReportLink(NamedTuple):
    """The way to the server whose worker runs the task."""

    execution_id: str
    address: LinkAddress
    token: bytes

    def open(self) -> Callable[[bytes], None]:
        """Connect to the server's own link with its workers."""
        from multiprocessing.util import Finalize  # Not above: few tasks have processes.

        try:
            link = WorkerLink(self.address, self.token + REPORTS)
        except LinkClosed:
            return lambda body: None  # The server is gone, and this process ends with its worker.
        outbox, lock = ProgressOutbox(link, self.execution_id), threading.Lock()

        def send(body: bytes) -> None:
            with lock:
                outbox.send(body)

        # With the reporter, or with this process: a child of multiprocessing has no other exit.
        Finalize(send, outbox.close, exitpriority=0)
        return send


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
        ValueError: a number is not finite, or all of it is longer than 32 KiB.
        DecodeError: a part of ``data`` has no JSON form (see `to_json_value`), or a number is too
            long; the error has the path and the type.
    """
    done, whole = _number("completed", completed), _number("total", total)
    fields: dict[str, object] = {
        "phase": None if phase is None else _text("phase", phase),
        "completed": done,
        "total": whole,
        "percent": _percent(done, whole),
        "message": None if message is None else _text("message", message),
    }
    if data is not None:
        if not isinstance(data, Mapping):
            raise TypeError(f"progress data must be a dict, not {type(data).__name__}")
        fields["data"] = data
    # What is left of it may still be no JSON: other parts have been seen to.
    is_plain = data is None and _is_short(done) and _is_short(whole)
    encoded = to_json(fields) if is_plain else encode_value(fields, "progress")
    if len(encoded) > _MAX_BYTES:
        raise ValueError(
            f"progress is {len(encoded):,} bytes of JSON and may be {_MAX_BYTES:,}: write what is "
            "large to a file and report its path"
        )
    return encoded


def _is_short(number: int | float | None) -> bool:
    return number is None or -_SHORT < number < _SHORT


def _percent(completed: int | float | None, total: int | float | None) -> float | None:
    if completed is None or not total:
        return None
    try:
        return min(100.0, max(0.0, 100.0 * completed / total))
    except OverflowError:
        return None  # Numbers beyond what a float holds; they go out as they are.


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"progress {name} must be a str, not {type(value).__name__}")
    # A file's name may hold what UTF-8 cannot write; that is no reason to fail a task.
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


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
