"""`ZMQClient`: attaches to a server, or launches one, and asks it things from any thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache
from typing import Literal, Self

from zmqruntime.messages import (
    ErrorReply,
    PingRequest,
    PongReply,
    Reply,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
)
from zmqruntime.messages.lowlevel import Outgoing, PreparedRequest, decode_errors, prepare
from zmqruntime.transport.client.connection import Connection
from zmqruntime.transport.client.mismatch import MismatchPolicy, ServerGuard
from zmqruntime.transport.client.subscriber import Subscriber
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import NotConnected, TransportError
from zmqruntime.transport.process.launcher import ServerLauncher
from zmqruntime.transport.process.resolve import resolve_endpoint
from zmqruntime.transport.validation import check_number, parse_choice

__all__ = ["ZMQClient"]


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
        on_mismatch: with a launcher, what to do about a server that is there and is not the one
            that the launcher would start: ``"refuse"``, ``"warn"``, or ``"restart"`` it when it
            is idle. None: refuse a server of another class or from another source file, and
            warn of another version, of other code and of other arguments.

    Raises:
        EndpointError: the port is out of range, the host is none, or the socket path is too long.
        TypeError: an argument is of another kind.
        ValueError: the transport mode is none.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | Literal["ipc", "tcp"] | None = None,
        config: ZMQConfig | None = None,
        launcher: ServerLauncher | None = None,
        persistent: bool = True,
        on_mismatch: MismatchPolicy | Literal["refuse", "warn", "restart"] | None = None,
    ) -> None:
        self._config = ZMQConfig() if config is None else config
        self._endpoint = resolve_endpoint(port, host, transport_mode, self._config)
        if launcher is not None and not callable(getattr(launcher, "launch", None)):
            raise TypeError(f"launcher has to have a method launch(): {launcher!r} has none")
        self._launcher = launcher
        self._persistent = persistent
        if on_mismatch is not None:
            on_mismatch = parse_choice("on_mismatch", on_mismatch, MismatchPolicy)
        self._guard = ServerGuard(self._endpoint, launcher, on_mismatch)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._leftover: weakref.finalize[..., ZMQClient]

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
        """Whether `connect` succeeded in this process and `disconnect` was not called since."""
        return self._connection is not None and self._connection.is_here

    def connect(self, timeout: float | None = None, *, wait_ready: bool = True) -> PongReply:
        """Attach to the server, or launch it, and wait until it is ready.

        Nothing happens when the client is connected already.

        Args:
            timeout: seconds for all of it; None for the configuration's ``connect_timeout``.
            wait_ready: whether to wait for a server that is there and not ready: not so to
                look at it, or to end it.

        Raises:
            ConnectionFailed: nobody listens and there is no launcher, it is no server, or the
                host has no address.
            LaunchFailed: the launched server ended, or did not get ready; says why.
            ServerMismatch: a server is there that is not the one that the launcher would start;
                see ``on_mismatch``.
            RequestTimeout: a server is there but did not get ready in time.
            EndpointError: the directory of the socket files is not this user's alone.
            NotConnected: it was connected in another process, of which this one is a fork.
            TooManyOpenFiles: this process has nearly as many files open as it may.
        """
        seconds = self._config.connect_timeout if timeout is None else timeout
        deadline = Deadline.after(seconds)
        if (connection := self._connection) is None:
            with self._lock:
                if (connection := self._connection) is None:
                    connection = self._open(deadline, wait_ready=wait_ready)
        connection.check_process()
        return connection.pong

    def _open(self, deadline: Deadline, *, wait_ready: bool) -> Connection:
        connection = Connection(self._endpoint, self._config, owns_server=not self._persistent)
        try:
            connection.establish(self._launcher, self._guard, deadline, wait_ready=wait_ready)
            # Collected as they are, its context would wait for sockets for ever.
            self._leftover = weakref.finalize(self, connection.abandon)
            self._leftover.atexit = False
            self._connection = connection
        except BaseException:  # An interrupt, too, also behind the last line.
            self._connection = None
            if (leftover := getattr(self, "_leftover", None)) is not None:
                leftover.detach()
            connection.discard()
            raise
        return connection

    @property
    def pong(self) -> PongReply:
        """What the server said of itself when it was attached to, the last time.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        return self._connected().pong

    @property
    def may_return(self) -> bool:
        """Whether it makes sense to wait for a server that was lost, with `reconnect`.

        Not when its process, on this machine, has ended and has kept nothing for another one.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        return self._connected().may_return

    def reconnect(self, timeout: float | None = None) -> PongReply:
        """After `ServerLost`: wait until a server is there again, and go on with that one.

        A server that this client had launched, that crashed and that keeps its work on disk, is
        launched again. Any other is waited for.

        Args:
            timeout: seconds; None for the configuration's ``reconnect_timeout``.

        Raises:
            ServerLost: none is there in time.
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        seconds = self._config.reconnect_timeout if timeout is None else timeout
        return self._connected().reestablish(Deadline.after(seconds))

    def disconnect(self) -> None:
        """Close everything this client opened, and end a server that it owns.

        Calls under way in other threads end with `NotConnected`. In a fork of the process that
        connected, nothing is closed and no server ended: they are that process's.

        Raises:
            RuntimeError: it was called from a subscriber's callback; nothing was closed.
        """
        if (connection := self._connection) is None:
            return
        if not connection.is_here:
            # To close its sockets would be heard of by who opened them, and to wait for them would
            # be in vain. The lock may be held by a thread that was left behind.
            self._connection, self._lock = None, threading.Lock()
            self._leftover.detach()
            return
        connection.check_thread()
        with self._lock:
            if self._connection is not connection:
                return  # Another thread was faster.
            try:
                self._before_close()
            finally:
                # It stays until it is closed: after an interrupt, the next call goes on with it.
                connection.close()
                self._connection = None
                self._leftover.detach()

    def ping(self, timeout: float | None = None, *, limit: int = 0) -> PongReply:
        """Ask the server how it is.

        Args:
            timeout: seconds; None for the configuration's ``request_timeout``.
            limit: how many running and how many queued executions to list; the counts tell how
                many there are.

        Raises:
            DecodeError: the limit is none; further, what `request` raises.
        """
        make = _ping if type(limit) is int else _ping.__wrapped__  # Other values may have no hash.
        reply = self.request(make(limit), timeout)
        if not isinstance(reply, PongReply):
            raise _refusal(reply, "ping")
        return reply

    def shutdown_server(
        self,
        mode: ShutdownMode | Literal["drain", "now"] = ShutdownMode.DRAIN,
        timeout: float | None = None,
    ) -> None:
        """Ask the server to end: when the work at hand is done, or at once.

        What an execution server has queued stays in its journal in either mode, for the next
        one. Without a journal it is done first, or dropped where the server is to end at once.

        Returns when the server has agreed, which is before it has ended.

        Raises:
            DecodeError: the mode is none; further, what `request` raises.
        """
        with decode_errors("shutdown request"):
            request = ShutdownRequest.model_validate({"mode": mode}, strict=False)
        reply = self.request(request, timeout)
        if not isinstance(reply, ShutdownAckReply):
            raise _refusal(reply, "shutdown")

    def wait_for_server_end(self, timeout: float | None = None) -> bool:
        """Wait until the server has ended; for one on this machine, until its process is gone.

        Args:
            timeout: seconds; None for no limit.

        Returns:
            Whether it has.
        """
        return self._connected().wait_for_end(Deadline.after(timeout))

    def request(
        self, request: Outgoing, timeout: float | None = None, *, hold: float = 0.0
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
            TooManyOpenFiles: so many threads wait that no file is left for one more connection.
        """
        seconds = self._config.request_timeout if timeout is None else timeout
        return self._connected().request(request, Deadline.after(seconds + hold), hold)

    def exchange(
        self, requests: Sequence[Outgoing], timeout: float | None = None, *, hold: float = 0.0
    ) -> list[Reply]:
        """Send requests one behind the other, without waiting between them.

        The server takes them in this order. Arguments and errors are those of `request`; those
        before one that is too large may have been sent.

        Returns:
            The replies, in the order of the requests.
        """
        seconds = self._config.request_timeout if timeout is None else timeout
        return self._connected().exchange(requests, Deadline.after(seconds + hold), hold)

    def pipeline(
        self,
        requests: Iterable[Outgoing | None],
        timeout: float | None = None,
        *,
        hold: float = 0.0,
        window: int = 64,
    ) -> Generator[tuple[Outgoing, Reply], None, None]:
        """Yield each request with its reply, as that comes, with many under way at once.

        A reply that the server holds keeps no other one: they come in any order. An iterator that
        is closed early leaves behind what the server was asked, without its replies.

        Args:
            requests: what to ask, in this order. Each goes out as soon as it is taken, and a
                further one is taken when there is room for it; while that blocks, no reply is
                yielded. None instead of one: ask again after the next reply, or take it for the
                end when none is due. Each may go out more than once.
            timeout: how many seconds may pass without any reply, beside ``hold``; None for the
                configuration's ``request_timeout``.
            hold: how long each request asks the server to hold its reply.
            window: how many may be under way.

        Raises:
            ValueError: the window has no room for any; further, what `request` raises.
        """
        check_number("window", window, ge=1, whole=True)
        seconds = self._config.request_timeout if timeout is None else timeout
        return self._while_kept(self._connected().pipeline(requests, seconds, hold, window))

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Open a data connection; `disconnect` closes it, if its owner has not.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        return self._connected().subscribe(prefixes, on_messages, on_connection, on_caught_up)

    def _before_close(self) -> None:
        """Take leave of the server, while there still is a connection. To be extended."""

    def _while_kept(
        self, replies: Generator[tuple[Outgoing, Reply], None, None]
    ) -> Generator[tuple[Outgoing, Reply], None, None]:
        """Yield what ``replies`` does, and be there until then: a client that is not is closed."""
        yield from replies

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is None:
            raise NotConnected(
                f"the client of {self._endpoint} is not connected: call connect() first"
            )
        connection.check_process()
        return connection


@lru_cache(maxsize=8, typed=True)
def _ping(limit: int) -> PreparedRequest:
    """Return the ping that goes out again and again."""
    with decode_errors("ping request"):
        return prepare(PingRequest(limit=limit))


def _refusal(reply: Reply, what: str) -> TransportError:
    reason = reply.message if isinstance(reply, ErrorReply) else f"it said {reply.type}"
    return TransportError(f"the server refused a {what} request: {reason}")
