"""`ZMQClient`: attaches to a server, or launches one, and asks it things from any thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Self

import zmq

from zmqruntime.messages import (
    ErrorReply,
    PingRequest,
    PongReply,
    Reply,
    Request,
    ShutdownMode,
    ShutdownRequest,
)
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.control import ControlClient
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, NotConnected, ServerLost, TransportError
from zmqruntime.transport.launcher import LaunchedServer, ServerLauncher
from zmqruntime.transport.process import ProcessIdentity, describe_exit
from zmqruntime.transport.resolve import resolve_endpoint
from zmqruntime.transport.startup import attach_or_launch
from zmqruntime.transport.subscriber import Subscriber

__all__ = ["ZMQClient"]

_STOP_OWNED_SECONDS = 10.0


class ZMQClient:
    """A client of the server on one port. Every method may be called from any thread.

    Args:
        port: the server's data port; None for the configuration's default.
        host: the server's TCP address (giving one means TCP); None for this machine.
        transport_mode: IPC where the platform has it, unless told otherwise.
        config: the settings that the server uses.
        launcher: starts a server when none is there; None: attach or fail.
        persistent: whether a server launched by this client outlives it. One that does not
            ends with `disconnect`, or with this process, also when that is killed.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | None = None,
        config: ZMQConfig | None = None,
        launcher: ServerLauncher | None = None,
        persistent: bool = True,
    ) -> None:
        self._config = config or ZMQConfig()
        self._endpoint = resolve_endpoint(port, host, transport_mode, self._config)
        self._launcher = launcher
        self._persistent = persistent
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is looked for."""
        return self._endpoint

    @property
    def config(self) -> ZMQConfig:
        """The settings that it shares with the server."""
        return self._config

    @property
    def connected(self) -> bool:
        """Whether `connect` succeeded and `disconnect` was not called since."""
        return self._connection is not None

    def connect(self, timeout: float | None = None) -> PongReply:
        """Attach to the server, or launch it, and wait until it is ready.

        Nothing happens when the client is connected already.

        Args:
            timeout: seconds for all of it; None for the configuration's ``connect_timeout``.

        Raises:
            ConnectionFailed: nobody listens and there is no launcher, or it is no server.
            LaunchFailed: the launched server ended, or did not get ready; says why.
            RequestTimeout: a server is there but did not get ready in time.
        """
        seconds = self._config.connect_timeout if timeout is None else timeout
        deadline = Deadline.after(seconds)
        with self._lock:
            if self._connection is None:
                self._connection = _Connection(
                    self._endpoint, self._config, owns_server=not self._persistent
                ).establish(self._launcher, deadline)
            return self._connection.pong

    def disconnect(self) -> None:
        """Close everything this client opened, and end a server that it owns.

        Calls under way in other threads end with `NotConnected`.
        """
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            self._before_close()
            connection.close()

    def ping(self, timeout: float | None = None, *, limit: int = 100) -> PongReply:
        """Ask the server how it is.

        Args:
            timeout: seconds; None for the configuration's ``request_timeout``.
            limit: how many running and how many queued executions to list.
        """
        reply = self.request(PingRequest(limit=limit), timeout)
        if isinstance(reply, PongReply):
            return reply
        reason = reply.message if isinstance(reply, ErrorReply) else f"it said {reply.type}"
        raise ConnectionFailed(f"the ping was refused: {reason}")

    def shutdown_server(
        self, mode: ShutdownMode = ShutdownMode.DRAIN, timeout: float | None = None
    ) -> None:
        """Ask the server to end: after the work it has accepted, or at once.

        Returns when the server has agreed, which is before it has ended.
        """
        self.request(ShutdownRequest(mode=mode), timeout)

    def request(
        self, request: Request, timeout: float | None = None, *, hold: float = 0.0
    ) -> Reply:
        """Send any request of the protocol and return its reply, an error reply included.

        Args:
            request: what to ask; it may go out more than once.
            timeout: seconds for all tries together, beside ``hold``; None for the
                configuration's ``request_timeout``.
            hold: how long the request asks the server to hold its reply.

        Raises:
            RequestTimeout: no reply in time.
            ServerLost: the server is gone.
            NotConnected: `connect` was not called, or `disconnect` was.
            MessageTooLarge: the server would not take it; nothing was sent.
        """
        seconds = self._config.request_timeout if timeout is None else timeout
        return self._connected().request(request, Deadline.after(seconds + hold), hold)

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_message: Callable[[bytes, bytes], None],
        on_connection: Callable[[bool], None],
    ) -> Subscriber:
        """Open a data connection; its owner closes it before `disconnect`."""
        return self._connected().subscribe(prefixes, on_message, on_connection)

    def _before_close(self) -> None:
        """Take leave of the server, while there still is a connection. To be extended."""

    def _connected(self) -> _Connection:
        connection = self._connection
        if connection is None:
            raise NotConnected(
                f"the client of {self._endpoint} is not connected: call connect() first"
            )
        return connection


class _Connection:
    """What `connect` opens and `disconnect` closes, and whether its server still lives."""

    def __init__(self, endpoint: Endpoint, config: ZMQConfig, *, owns_server: bool) -> None:
        self.pong: PongReply
        self._endpoint = endpoint
        self._config = config
        self._owns_server = owns_server
        self._server: LaunchedServer | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._control = ControlClient(self._context, endpoint, config)

    def establish(self, launcher: ServerLauncher | None, deadline: Deadline) -> Self:
        try:
            self.pong, self._server = attach_or_launch(
                self._control,
                self._endpoint,
                self._config,
                launcher,
                persistent=not self._owns_server,
                deadline=deadline,
            )
        except BaseException:
            self._control.close()
            self._context.term()
            raise
        self._control.max_message_bytes = self.pong.max_message_bytes
        return self

    def request(self, request: Request, deadline: Deadline, hold: float) -> Reply:
        try:
            return self._control.request(
                request, deadline, hold=hold, on_refused=self._raise_if_lost
            )
        except ConnectionFailed as error:
            raise ServerLost(
                f"{error}. The server was there before", exit_code=self._exit_code()
            ) from error

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_message: Callable[[bytes, bytes], None],
        on_connection: Callable[[bool], None],
    ) -> Subscriber:
        return Subscriber(
            self._context, self._endpoint, self._config, prefixes, on_message, on_connection
        )

    def close(self) -> None:
        try:
            if self._owns_server and self._server is not None:
                self._end_server(self._server)
        finally:
            self._control.close()
            self._context.term()

    def _end_server(self, server: LaunchedServer) -> None:
        deadline = Deadline.after(_STOP_OWNED_SECONDS)
        with contextlib.suppress(TransportError):  # It may be gone already.
            self.request(ShutdownRequest(mode=ShutdownMode.NOW), deadline, hold=0.0)
        if server.wait(deadline.remaining) is None:
            server.kill()

    def _raise_if_lost(self) -> None:
        process = ProcessIdentity(self.pong.process.pid, self.pong.process.create_time)
        if not self._endpoint.is_local or process.is_running():
            return
        # A process counts as ended a moment before its parent can read how.
        code = self._server.wait(1.0) if self._server is not None else None
        how = f" with {describe_exit(code)}" if code is not None else ""
        raise ServerLost(
            f"the server on {self._endpoint} (process {process.pid}) has ended{how}",
            exit_code=code,
        )

    def _exit_code(self) -> int | None:
        return self._server.exit_code() if self._server is not None else None
