"""Connects the window with the client, and never blocks the window's thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from typing import Protocol

from scan_viewer.scanner import ScanResult, ScanTask
from scan_viewer.view import Phase, ScanView
from zmqruntime.execution import (
    ExecutionCancelled,
    ExecutionClient,
    ProgressCallback,
    RequestRejected,
)
from zmqruntime.messages import Event, ZMQRuntimeError
from zmqruntime.transport import TransportError

__all__ = ["MakeClient", "ScanViewModel"]


_logger = logging.getLogger(__name__)


class MakeClient(Protocol):
    """Makes the client of the scanner's server."""

    def __call__(self, *, progress_callback: ProgressCallback) -> ExecutionClient: ...


class ScanViewModel:
    """Starts and cancels scans, and shows their progress.

    Args:
        make_client: makes the client of the scanner's server.
        show: called with each new view, in order, in some thread; it must not wait. In a window
            it passes the view to the toolkit's thread.
    """

    def __init__(self, make_client: MakeClient, show: Callable[[ScanView], None]) -> None:
        self._client = make_client(progress_callback=self._on_event)
        self._show = show
        self._lock = threading.RLock()
        self._view = ScanView()
        self._execution_id: str | None = None
        """The scan that is shown, from its submission to its end."""
        # A scan blocks a thread, so cancels need another one.
        self._scans = ThreadPoolExecutor(1, "scan")
        self._cancels = ThreadPoolExecutor(1, "cancel")

    @property
    def view(self) -> ScanView:
        return self._view

    def scan(self, task: ScanTask) -> None:
        """Start a scan, unless one is active."""
        with self._lock:
            if not self._view.can_scan:
                return
            self._execution_id = uuid.uuid4().hex
            self._change(methodcaller("begun", task))
            self._scans.submit(self._run, task, self._execution_id)

    def cancel(self) -> None:
        """Cancel the active scan, if there is one."""
        with self._lock:
            if not self._view.can_cancel:
                return
            self._change(ScanView.stopping)
            if self._execution_id is not None:
                self._cancels.submit(self._request_cancel, self._execution_id)

    def close(self) -> None:
        """Disconnect. A running scan goes on, unless the client owns the server."""
        try:
            self._client.disconnect()
        finally:
            self._scans.shutdown()
            self._cancels.shutdown()

    # -- in the background ----------------------------------------------------------------------

    def _run(self, task: ScanTask, execution_id: str) -> None:
        try:
            self._client.connect()
            handle = self._client.submit_execution(task, execution_id=execution_id)
            # A cancel before the submission had no effect.
            if self._view.phase is Phase.STOPPING:
                self._request_cancel(execution_id)
            result = ScanResult.model_validate(handle.result())
        except ExecutionCancelled:
            self._end(ScanView.cancelled)
        except TransportError as error:
            self._client.disconnect()  # The next scan connects again.
            self._end(methodcaller("server_lost", str(error)))
        except ZMQRuntimeError as error:  # The task failed or was rejected.
            self._end(methodcaller("failed", str(error)))
        except Exception as error:  # Otherwise the window would stay busy.
            _logger.exception("unexpected error in scan %s", execution_id)
            self._end(methodcaller("failed", f"unexpected error, see the log: {error}"))
        else:
            self._end(methodcaller("completed", result))

    def _request_cancel(self, execution_id: str) -> None:
        # `_run` handles a scan that is unknown or has ended, and a lost server.
        with contextlib.suppress(RequestRejected, TransportError):
            self._client.cancel_execution(execution_id)

    def _on_event(self, event: Event) -> None:
        with self._lock:
            if event.execution_id == self._execution_id:
                self._change(methodcaller("after", event))

    def _end(self, change: Callable[[ScanView], ScanView]) -> None:
        with self._lock:
            self._execution_id = None  # Later events are ignored.
            self._change(change)

    def _change(self, change: Callable[[ScanView], ScanView]) -> None:
        with self._lock:
            self._view = change(self._view)
            self._show(self._view)
