"""`ZMQServer`: the base class of servers, with their start and stop."""

from __future__ import annotations

import atexit
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from zmqruntime.messages import JsonObject
from zmqruntime.transport._version import __version__
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.file_limit import raise_file_limit
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.inherited_state import fill_standard_descriptors
from zmqruntime.transport.process.logfile import LogFile
from zmqruntime.transport.process.resolve import resolve_endpoint
from zmqruntime.transport.process.signals import call_on_stop_signals
from zmqruntime.transport.server.server_run import ServerRun
from zmqruntime.transport.validation import check_type

if TYPE_CHECKING:
    from zmqruntime.messages import ApplicationInfo
    from zmqruntime.transport.server.session import ServerSession

__all__ = ["ZMQServer"]

_log = logging.getLogger("zmqruntime.server")

# The open files of a server at its start. libzmq aborts the process if its threads get none.
_SERVER_FILES = 64


class ZMQServer:
    """A server on one port: replies to pings, registers progress clients, and shuts down.

    The constructor opens nothing, so a server can be pickled; `start` binds its sockets. Use it as
    a context manager, or call `serve_forever` in the main thread of a program.

    Args:
        port: the data port; None: the configuration's default. The control port is this plus
            ``control_port_offset``.
        host: the TCP address to bind to, which selects TCP; None: loopback.
        transport_mode: ``"ipc"`` or ``"tcp"``; None: IPC where the platform has it and there is
            no ``host``.
        config: the settings that its clients share.
        log_file_path: a file for the log records of ``zmqruntime``, readable by its owner only;
            rotated at 2 MiB, with five older files.

    Raises:
        EndpointError: the port is out of range, the host is invalid, or the socket path too long.
        TypeError: an argument is of another type.
        ValueError: the transport mode is invalid.
    """

    application_version: str = ""
    """The application's version, for pongs; set by a class or a constructor."""
    launch_digest: str | None = None
    """The digest of the launcher's arguments; set by the program that runs a launched server."""

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
        self._run: ServerRun | None = None
        # Whether `serve_forever`, which handles signals until the end, has called `start`.
        self._waits_for_end = False

    def __getstate__(self) -> dict[str, Any]:
        # A worker process gets a server that was never started.
        return self.__dict__ | {"_run": None, "_waits_for_end": False}

    def __enter__(self) -> Self:
        if self._run is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> Endpoint:
        """The addresses of the server, running or not."""
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
        """Whether the server runs, in this process."""
        run = self._run
        return run is not None and run.is_of_this_process and not run.session.finished.is_set()

    def describe(self) -> JsonObject:
        """Return the ``details`` of a pong: a seam. Called for every ping."""
        return {}

    def describe_application(self) -> ApplicationInfo | None:
        """Return the ``application`` of every pong: a seam. Called once, by `start`.

        With None, clients do not compare this server with the one that they would launch.

        Raises:
            TypeError: ``application_version`` is no string.
        """
        from zmqruntime.transport.application import describe_application

        check_type("application_version", self.application_version, str)
        return describe_application(type(self), self.application_version, self.launch_digest)

    def make_session(self) -> ServerSession:
        """Return the session of one run: a seam for servers with further kinds of requests.

        Called once by each `start`, before a socket is bound. The server opens, runs and closes
        the session; an override returns a new one for each call.
        """
        # Not above: a worker process imports this module, and opens no ZeroMQ socket.
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

    def start(self) -> None:
        """Bind the sockets and serve in a thread of the server's own.

        Raises:
            AddressInUse: another process holds a port or path.
            EndpointError: an address, its directory or the log file cannot be used.
            TooManyOpenFiles: the process is at its limit of open files.
            RuntimeError: it was started and not stopped; or a worker process starts it while it
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
        # Not above: a worker process imports this module, and no ZeroMQ.
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
        self._run = ServerRun(session, log_file)
        atexit.register(self.stop)
        _log.info("%s serves on %s", type(self).__name__, self._endpoint)
        if not self._endpoint.is_local:
            _log.warning(
                "%s accepts every peer on the network: the channel is neither encrypted nor "
                "authenticated. Keep it on loopback, or behind an SSH tunnel",
                self._endpoint,
            )

    def wait_until_settled(self) -> None:
        """Wait until the session is ready, and raise the error that ended it before.

        For the `start` of a derived class. Returns immediately if `serve_forever` has called
        `start`, as that waits for the end itself.
        """
        if self._waits_for_end:
            return
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
        """Serve until a shutdown request, SIGTERM or Ctrl-C; a second signal aborts the server.

        Args:
            owner: a process; the server stops when it has ended.

        Raises:
            Exception: the error that ended the server without a request to stop.
        """
        # Not in `start`, which an application may call in a process of its own.
        raise_file_limit()
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            if self._run is not None:
                self._run.request_stop(abort=signals > 1)

        with call_on_stop_signals(on_signal) as signal_wait:
            if self._run is None:
                self._waits_for_end = True
                try:
                    self.start()
                finally:
                    self._waits_for_end = False
            run = self._run
            assert run is not None
            if signals:  # A signal arrived before the run existed.
                run.request_stop()
            if owner is not None:
                run.stop_with(owner)
            run.call_when_finished(signal_wait.wake)
            signal_wait.wait(run.session.finished)
            self.stop()
        if run.session.failure is not None:
            raise run.session.failure

    def stop(self, timeout: float = 10.0) -> None:
        """Stop the server and wait for its end; does nothing when it does not run.

        Running tasks are interrupted, and killed after ``timeout`` seconds. A call in the server's
        own thread, as from `describe`, does not wait.
        """
        run = self._run
        if run is None:
            return
        if not run.is_of_this_process:  # In a fork: sockets, locks and files are the parent's.
            self._run = None
            return
        run.request_stop()
        if run.is_current_thread:
            return
        run.wait(timeout)
        self._run = None
        atexit.unregister(self.stop)


def _imports_main_script() -> bool:
    """Whether a worker, or a process of `multiprocessing`, is about to import the main script."""
    # Loaded in such a process only; its import takes a while.
    loaded = sys.modules.get("multiprocessing.process")
    return loaded is not None and getattr(loaded.current_process(), "_inheriting", False)


def _open_log(path: str) -> LogFile:
    try:
        return LogFile(path)
    except OSError as error:
        kind = UnsafePath if isinstance(error, UnsafePath) else EndpointError
        raise kind(f"the log file {path} cannot be written: {error.strerror or error}") from None
