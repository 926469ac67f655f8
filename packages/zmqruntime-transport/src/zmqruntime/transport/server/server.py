"""`ZMQServer`: what an application derives from, starts and stops."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from zmqruntime.messages import JsonObject, ShutdownMode
from zmqruntime.transport._version import __version__
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.file_limit import raise_file_limit
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.inherited_state import fill_standard_descriptors
from zmqruntime.transport.process.logfile import LogFile
from zmqruntime.transport.process.resolve import resolve_endpoint
from zmqruntime.transport.process.signals import ending_on_signals
from zmqruntime.transport.validation import check_type

if TYPE_CHECKING:
    from zmqruntime.messages import ApplicationInfo
    from zmqruntime.transport.server.session import ServerSession

__all__ = ["ZMQServer"]

_log = logging.getLogger("zmqruntime.server")

# How often to see whether what an application prints made the log file too long: no system
# notifies portably of a file that grows.
_LOG_CHECK_SECONDS = 5.0
# Of a server that has just started; libzmq ends the process where it finds none for its threads.
_SERVER_FILES = 64


class ZMQServer:
    """A server on one port: it answers ping, registers progress clients, and shuts down.

    Constructing one opens nothing, so that it can be pickled; `start` binds. Use it as a
    context manager, or call `serve_forever` from a program's main thread.

    Args:
        port: the data port; None for the configuration's default. The control port is this
            plus ``control_port_offset``.
        host: the TCP address to bind to (giving one means TCP); None for loopback.
        transport_mode: IPC where the platform has it, unless told otherwise.
        config: settings that its clients have to share.
        log_file_path: where log records of ``zmqruntime`` are also written, appended, for its owner
            alone; rotated at 2 MiB, five older ones are kept.

    Raises:
        EndpointError: the port is out of range, the host is none, or the socket path is too long.
        TypeError: an argument is of another kind.
        ValueError: the transport mode is none.
    """

    application_version: str = ""
    """The application's own, told in pongs; a class or a constructor sets it."""

    launch_digest: str | None = None
    """Of what a launcher gave to this server; set by what runs a launched one."""

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | Literal["ipc", "tcp"] | None = None,
        config: ZMQConfig | None = None,
        log_file_path: Path | str | None = None,
    ) -> None:
        self._config = ZMQConfig() if config is None else config
        self._endpoint = resolve_endpoint(port, host, transport_mode, self._config)
        check_type("log_file_path", log_file_path, str, Path, optional=True)
        self.log_file_path = None if log_file_path is None else str(log_file_path)
        self._run: _Run | None = None
        # Whether `start` is called by `serve_forever`, which handles signals until the end.
        self._waits_for_end = False

    def __getstate__(self) -> dict[str, Any]:
        # What a worker process gets is a server that was never started.
        return self.__dict__ | {"_run": None, "_waits_for_end": False}

    def __enter__(self) -> Self:
        if self._run is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is, or will be."""
        return self._endpoint

    @property
    def port(self) -> int:
        """The data port."""
        return self._endpoint.port

    @property
    def config(self) -> ZMQConfig:
        """The settings that it shares with its clients."""
        return self._config

    @property
    def server_session(self) -> ServerSession | None:
        """The session of the current run; None before `start` and after `stop`.

        It belongs to the server's own thread: from another one, use only its ``loop.post``.
        """
        return None if self._run is None else self._run.session

    @property
    def running(self) -> bool:
        """Whether it serves now."""
        run = self._run
        return run is not None and run.is_here and not run.session.finished.is_set()

    def describe(self) -> JsonObject:
        """Return what a pong tells as ``details``. To be overridden; called for every ping."""
        return {}

    def describe_application(self) -> ApplicationInfo | None:
        """Return what a pong tells as ``application``. Called once, at the start.

        May be overridden. None: a client that compares servers takes this one for any.

        Raises:
            TypeError: ``application_version`` is no string.
        """
        from zmqruntime.transport.application import describe_application

        check_type("application_version", self.application_version, str)
        return describe_application(type(self), self.application_version, self.launch_digest)

    def start(self) -> None:
        """Bind the sockets and serve in a thread of the server's own.

        Raises:
            AddressInUse: something else holds a port or path; it is left alone.
            EndpointError: an address or its directory cannot be used, or the log file.
            TooManyOpenFiles: this process has nearly as many files open as it may.
            RuntimeError: it was started and not stopped, or a worker process tries to, while it
                imports the main script.
        """
        if _imports_main_script():
            raise RuntimeError(
                "the script that starts a server must do so under "
                '`if __name__ == "__main__":`, because its worker processes import it, too'
            )
        if self._run is not None:
            raise RuntimeError(f"this server was started already, on {self._endpoint}")
        fill_standard_descriptors()
        # Not above: a worker imports this module, and no ZeroMQ.
        from zmqruntime.transport.process.open_files import require_files

        require_files(_SERVER_FILES, f"a server on {self._endpoint}")
        log_file = None if self.log_file_path is None else _open_log(self.log_file_path)
        try:
            session = self.make_session()
            session.open()
        except BaseException:
            if log_file is not None:
                log_file.close()
            raise
        self._run = _Run(session, log_file)
        atexit.register(self.stop)
        _log.info("%s serves on %s", type(self).__name__, self._endpoint)
        if not self._endpoint.is_local:
            _log.warning(
                "%s accepts anybody who reaches it over the network: the channel is neither "
                "encrypted nor authenticated. Keep it on loopback, or behind an SSH tunnel",
                self._endpoint,
            )

    def _wait_until_settled(self) -> None:
        """Return when the server can do what it is for; raise what has ended it before."""
        run = self._run
        assert run is not None
        try:
            run.session.settled.wait()
        except BaseException:
            self.stop()
            raise
        if run.session.failure is not None:
            self.stop()
            raise run.session.failure

    def serve_forever(self, *, owner: ProcessIdentity | None = None) -> None:
        """Serve until a shutdown request, SIGTERM or Ctrl-C; a second one ends it at once.

        Args:
            owner: a process with which this server ends, however that one ends.

        Raises:
            Exception: whatever ended the server, when it was not asked to end.
        """
        # Here and not in `start`: this process is the server's own, not an application's.
        raise_file_limit()
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            if self._run is not None:
                self._run.ask_to_end(at_once=signals > 1)

        with ending_on_signals(on_signal) as signal_wait:
            if self._run is None:
                self._waits_for_end = True
                try:
                    self.start()
                finally:
                    self._waits_for_end = False
            run = self._run
            assert run is not None
            if signals:  # It came while nobody was there to be told.
                run.ask_to_end()
            if owner is not None:
                run.end_with(owner)
            run.when_finished(signal_wait.wake)
            signal_wait.wait(run.session.finished)
            self.stop()
        if run.session.failure is not None:
            raise run.session.failure

    def stop(self, timeout: float = 10.0) -> None:
        """End the server and wait for it; nothing to do when it does not run.

        What runs is interrupted. After ``timeout`` seconds it is ended by force. In the
        server's own thread, in `describe` for one, this only begins to end it.
        """
        run = self._run
        if run is None:
            return
        if not run.is_here:  # In a fork, the sockets, locks and files are those of the parent.
            self._run = None
            return
        run.ask_to_end()
        if run.runs_here:
            return
        run.wait(timeout)
        self._run = None
        atexit.unregister(self.stop)

    def make_session(self) -> ServerSession:
        """Return the session of one run: a seam for a server with further kinds of requests.

        Called once by each `start`, in the thread of the caller, before anything is bound. The
        session is opened and run by the server; an override returns a new one for each call.
        """
        # Not above: a worker, which is waited for, imports this module and opens no ZeroMQ socket.
        from zmqruntime.transport.server.session import ServerSession

        return ServerSession(
            type(self).__name__,
            __version__,
            self._endpoint,
            self._config,
            log_file_path=self.log_file_path,
            describe=self.describe,
            application=self.describe_application(),
        )


def _imports_main_script() -> bool:
    """Whether this is a process of `multiprocessing`, or a worker, that has not begun yet."""
    # Nobody but who does that has loaded it, and it takes a while.
    loaded = sys.modules.get("multiprocessing.process")
    return loaded is not None and getattr(loaded.current_process(), "_inheriting", False)


def _open_log(path: str) -> LogFile:
    try:
        return LogFile(path)
    except OSError as error:
        kind = UnsafePath if isinstance(error, UnsafePath) else EndpointError
        raise kind(f"the log file {path} cannot be written: {error.strerror or error}") from None


class _Run:
    """A server from its start to its stop: a session, the thread it lives in, a log file."""

    def __init__(self, session: ServerSession, log_file: LogFile | None) -> None:
        self.session = session
        self._pid = os.getpid()
        self._log_file = log_file
        self._to_wake: list[Callable[[], None]] = []
        if log_file is not None and log_file.takes_output:
            self._check_later(log_file)
        self._thread = threading.Thread(
            target=self._serve, name=f"zmqruntime-server-{session.endpoint.port}", daemon=True
        )
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether it was started in this process, and not in one of which this is a fork."""
        return self._pid == os.getpid()

    @property
    def runs_here(self) -> bool:
        """Whether this is the server's own thread."""
        return threading.current_thread() is self._thread

    def when_finished(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the session has finished: once or twice, in one thread or another."""
        self._to_wake.append(wake)
        if self.session.finished.is_set():
            wake()

    def ask_to_end(self, *, at_once: bool = False) -> None:
        """Let the session end. For any thread, and for signal handlers."""
        session = self.session
        session.loop.post(session.abort if at_once else lambda: session.shut_down(ShutdownMode.NOW))

    def end_with(self, owner: ProcessIdentity) -> None:
        """Ask the session to end as soon as ``owner`` has ended, or if it has ended already."""

        def watch() -> None:
            owner.wait()
            _log.info("the owner (process %d) has ended", owner.pid)
            self.ask_to_end()

        threading.Thread(target=watch, name="zmqruntime-owner", daemon=True).start()

    def wait(self, timeout: float) -> None:
        """Wait for the end, which comes at once after ``timeout`` seconds. Any number of times."""
        if not self.session.finished.wait(timeout):
            self.ask_to_end(at_once=True)
        self._thread.join()
        if self._log_file is not None:
            self._log_file.close()

    def _check_later(self, log_file: LogFile) -> None:
        def check() -> None:
            log_file.rotate_if_long()
            self._check_later(log_file)

        self.session.loop.call_at(time.monotonic() + _LOG_CHECK_SECONDS, check)

    def _serve(self) -> None:
        self.session.run()
        for wake in self._to_wake:
            wake()
