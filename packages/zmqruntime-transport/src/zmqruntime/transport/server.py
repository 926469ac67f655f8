"""`ZMQServer`: what an application derives from, starts and stops."""

from __future__ import annotations

import atexit
import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from zmq.utils.win32 import allow_interrupt

from zmqruntime.messages import JsonObject, ShutdownMode
from zmqruntime.transport._version import __version__
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.resolve import resolve_endpoint
from zmqruntime.transport.session import ServerSession

__all__ = ["ZMQServer"]

_log = logging.getLogger("zmqruntime.server")


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
        log_file_path: where log records of ``zmqruntime`` are also written, appended.

    Raises:
        EndpointError: the port is out of range or the socket path is too long.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | None = None,
        config: ZMQConfig | None = None,
        log_file_path: Path | str | None = None,
    ) -> None:
        self._config = config or ZMQConfig()
        self._endpoint = resolve_endpoint(port, host, transport_mode, self._config)
        self._log_file_path = None if log_file_path is None else str(log_file_path)
        self._session: ServerSession | None = None
        self._thread: threading.Thread | None = None
        self._log_handler: logging.Handler | None = None

    def __getstate__(self) -> dict[str, Any]:
        # What a worker process gets is a server that was never started.
        return self.__dict__ | {"_session": None, "_thread": None, "_log_handler": None}

    def __enter__(self) -> Self:
        if self._session is None:
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
    def running(self) -> bool:
        """Whether it serves now."""
        return self._session is not None and not self._session.finished.is_set()

    def describe(self) -> JsonObject:
        """Return what a pong tells as ``details``. To be overridden; called for every ping."""
        return {}

    def start(self) -> None:
        """Bind the sockets and serve in a thread of the server's own.

        Raises:
            AddressInUse: something else holds a port or path; it is left alone.
            EndpointError: an address or its directory cannot be used.
            RuntimeError: it runs already.
        """
        if self._session is not None:
            raise RuntimeError(f"this server was started already, on {self._endpoint}")
        session = self._make_session()
        session.open()
        self._open_log()
        self._session = session
        self._thread = threading.Thread(
            target=session.run, name=f"zmqruntime-server-{self.port}", daemon=True
        )
        self._thread.start()
        atexit.register(self.stop)
        _log.info("%s serves on %s", type(self).__name__, self._endpoint)

    def serve_forever(self) -> None:
        """Serve until a shutdown request, SIGTERM or Ctrl-C; a second one ends it at once.

        Raises:
            Exception: whatever ended the server, when it was not asked to end.
        """
        if self._session is None:
            self.start()
        assert self._session is not None
        with self._signals():
            self._session.finished.wait()
        failure = self._session.failure
        self.stop()
        if failure is not None:
            raise failure

    def stop(self, timeout: float = 10.0) -> None:
        """End the server and wait for it; nothing to do when it does not run.

        What runs is interrupted. After ``timeout`` seconds it is ended by force.
        """
        session, thread = self._session, self._thread
        if session is None or thread is None:
            return
        session.loop.post(lambda: session.shut_down(ShutdownMode.NOW))
        if not session.finished.wait(timeout):
            session.loop.post(session.abort)
        thread.join()
        self._session = self._thread = None
        atexit.unregister(self.stop)
        self._close_log()

    def _make_session(self) -> ServerSession:
        return ServerSession(
            type(self).__name__,
            __version__,
            self._endpoint,
            self._config,
            log_file_path=self._log_file_path,
            describe=self.describe,
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into a shutdown; the second one into an abort."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        session = self._session
        assert session is not None
        asked = False

        def end() -> None:
            nonlocal asked
            if asked:
                session.loop.post(session.abort)
            else:
                session.loop.post(lambda: session.shut_down(ShutdownMode.NOW))
            asked = True

        def on_signal(signum: int, _: FrameType | None) -> None:
            end()

        before = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            # Python's handlers do not run on Windows while the main thread waits.
            with allow_interrupt(end):
                yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _open_log(self) -> None:
        if self._log_file_path is None:
            return
        handler = logging.FileHandler(self._log_file_path, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger("zmqruntime").addHandler(handler)
        self._log_handler = handler

    def _close_log(self) -> None:
        if self._log_handler is not None:
            logging.getLogger("zmqruntime").removeHandler(self._log_handler)
            self._log_handler.close()
            self._log_handler = None
