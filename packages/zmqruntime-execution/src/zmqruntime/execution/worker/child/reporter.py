"""Progress reports, from any thread or process of a task."""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, SupportsFloat, SupportsIndex

from pydantic_core import to_json

from zmqruntime.execution.worker.child.link_client import LinkClient, LinkClosed
from zmqruntime.execution.worker.child.outbox import ProgressOutbox
from zmqruntime.execution.worker.child.serialization import encode_value
from zmqruntime.execution.worker.protocol import REPORTS
from zmqruntime.execution.worker.sockets import LinkAddress
from zmqruntime.messages import JsonObject

__all__ = ["ProgressReporter", "ReportLink", "ServerReportLink", "encode_progress"]

# Limit of a report, which is sent to every subscriber, and with every status.
_MAX_BYTES = 32 * 1024
# Smaller integers need no check of their number of digits.
_SHORT_INTEGER = 2**53

_Send = Callable[[bytes], None]


class ReportLink(Protocol):
    """Connects another process to the collector of a task's progress. Picklable."""

    def open(self) -> Callable[[bytes], None]:
        """Connect, and return a function that sends one encoded report. Called once per process."""


class ProgressReporter:
    """Reports progress of one execution. Picklable, for the processes that a task starts.

    Args:
        link: connects at the first report in another process.
        send: sends a report in the task's own process; thread-safe.
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
    """Connects to the server whose worker runs the task."""

    execution_id: str
    address: LinkAddress
    token: bytes

    def open(self) -> Callable[[bytes], None]:
        """Connect to the server's `LinkServer`."""
        from multiprocessing.util import Finalize  # Not above: few tasks start processes.

        try:
            link = LinkClient(self.address, self.token + REPORTS)
        except LinkClosed:
            return lambda body: None  # The server has exited; its worker kills this process.
        outbox, lock = ProgressOutbox(link, self.execution_id), threading.Lock()

        def send(body: bytes) -> None:
            with lock:
                outbox.send(body)

        # Called at the end of the reporter or of this process, also of a multiprocessing child,
        # which runs no atexit functions.
        Finalize(send, outbox.close, exitpriority=0)
        return send


def encode_progress(
    completed: SupportsFloat | None = None,
    total: SupportsFloat | None = None,
    phase: str | None = None,
    message: str | None = None,
    data: JsonObject | None = None,
) -> bytes:
    """Return the application's fields of a progress event, as a JSON object.

    Raises:
        TypeError: a field has the wrong type.
        ValueError: a number is not finite, or the object is longer than 32 KiB.
        DecodeError: a part of ``data`` has no JSON form (see `to_json_value`), or a number has too
            many digits; the error has the path and the type.
    """
    done, whole = _to_number("completed", completed), _to_number("total", total)
    fields: dict[str, object] = {
        "phase": None if phase is None else _to_text("phase", phase),
        "completed": done,
        "total": whole,
        "percent": _compute_percent(done, whole),
        "message": None if message is None else _to_text("message", message),
    }
    if data is not None:
        if not isinstance(data, Mapping):
            raise TypeError(f"progress data must be a dict, not {type(data).__name__}")
        fields["data"] = data
    # Without data and long integers, all fields are JSON values.
    is_plain = data is None and _is_short(done) and _is_short(whole)
    encoded = to_json(fields) if is_plain else encode_value(fields, "progress")
    if len(encoded) > _MAX_BYTES:
        raise ValueError(
            f"progress has {len(encoded):,} bytes of JSON, more than {_MAX_BYTES:,}: write what is "
            "large to a file and report its path"
        )
    return encoded


def _is_short(number: int | float | None) -> bool:
    return number is None or -_SHORT_INTEGER < number < _SHORT_INTEGER


def _compute_percent(completed: int | float | None, total: int | float | None) -> float | None:
    if completed is None or not total:
        return None
    try:
        return min(100.0, max(0.0, 100.0 * completed / total))
    except OverflowError:
        return None  # Beyond the range of a float; the numbers themselves are sent.


def _to_text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"progress {name} must be a str, not {type(value).__name__}")
    # A file name may contain lone surrogates, which should not fail a task.
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _to_number(name: str, value: SupportsFloat | None) -> int | float | None:
    """Return the JSON number of any kind of number, such as numpy's."""
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
