"""One run of a server, from its start to its stop: a session, its thread and its log file."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqruntime.messages import ShutdownMode

if TYPE_CHECKING:
    from zmqruntime.transport.process.identity import ProcessIdentity
    from zmqruntime.transport.process.logfile import LogFile
    from zmqruntime.transport.server.session import ServerSession

__all__ = ["ServerRun"]

_log = logging.getLogger("zmqruntime.server")

# How often the size of a log file is checked that also takes what the application prints: no
# system notifies portably of a file that grows.
_LOG_CHECK_SECONDS = 5.0


class ServerRun:
    """Runs an open session in a thread of its own, which it starts.

    Args:
        session: the session; its thread closes it.
        log_file: closed when the thread has ended, by `wait`.
    """

    def __init__(self, session: ServerSession, log_file: LogFile | None) -> None:
        self.session = session
        self._pid = os.getpid()
        self._log_file = log_file
        self._finish_callbacks: list[Callable[[], None]] = []
        if log_file is not None and log_file.takes_output:
            self._schedule_log_check(log_file)
        self._thread = threading.Thread(
            target=self._serve, name=f"zmqruntime-server-{session.endpoint.port}", daemon=True
        )
        self._thread.start()

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was started in this process; False in a fork of that process."""
        return self._pid == os.getpid()

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller runs in the server's thread."""
        return threading.current_thread() is self._thread

    def call_when_finished(self, callback: Callable[[], None]) -> None:
        """Call back when the session has finished: once or twice, in either thread."""
        self._finish_callbacks.append(callback)
        if self.session.finished.is_set():
            callback()

    def request_stop(self, *, abort: bool = False) -> None:
        """Stop the session, or abort it. For any thread, and for signal handlers."""
        session = self.session
        session.loop.post(session.abort if abort else lambda: session.shut_down(ShutdownMode.NOW))

    def stop_with(self, owner: ProcessIdentity) -> None:
        """Stop the session when the process ``owner`` has ended, also if it ended before."""

        def watch_owner() -> None:
            owner.wait()
            _log.info("the owner (process %d) has ended", owner.pid)
            self.request_stop()

        threading.Thread(target=watch_owner, name="zmqruntime-owner", daemon=True).start()

    def wait(self, timeout: float) -> None:
        """Wait for the end of the session, and abort it after ``timeout`` seconds. Repeatable."""
        if not self.session.finished.wait(timeout):
            self.request_stop(abort=True)
        self._thread.join()
        if self._log_file is not None:
            self._log_file.close()

    def _schedule_log_check(self, log_file: LogFile) -> None:
        def check() -> None:
            log_file.rotate_if_long()
            self._schedule_log_check(log_file)

        self.session.loop.call_at(time.monotonic() + _LOG_CHECK_SECONDS, check)

    def _serve(self) -> None:
        self.session.run()
        for callback in self._finish_callbacks:
            callback()
