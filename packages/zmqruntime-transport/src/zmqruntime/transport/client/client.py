"""`ZMQClient`: attaches to a server, or launches one, and asks it things from any thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache
from typing import Literal, Self

from zmqruntime.messages import (
    ErrorReply,
    Outgoing,
    PingRequest,
    PongReply,
    PreparedRequest,
    Reply,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
    explaining,
    prepare,
)
from zmqruntime.transport.client.connection import Connection
from zmqruntime.transport.client.exchange import RequestLimits
from zmqruntime.transport.client.mismatch import MismatchPolicy, ServerGuard
from zmqruntime.transport.client.subscriber import Subscriber
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import NotConnected, TransportError
from zmqruntime.transport.process.launcher import ServerLauncher
from zmqruntime.transport.process.resolve import resolve_endpoint
from zmqruntime.transport.validation import check_number, check_word

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
            on_mismatch = check_word("on_mismatch", on_mismatch, MismatchPolicy)
        self._guard = ServerGuard(self._endpoint, launcher, on_mismatch)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._opening: tuple[Connection, int] | None = None
        """What `connect` is opening, and in which thread."""
        self._disconnects = 0
        self._finalizer: weakref.finalize[..., ZMQClient]

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

        Returns immediately when the client is connected.

        Args:
            timeout: seconds for all of it; None for the configuration's ``connect_timeout``.
            wait_ready: whether to wait until a running server is ready; False to inspect it, or to
                stop it.

        Raises:
            ConnectionFailed: no server listens and there is no launcher, the peer is not a server,
                or the host has no address.
            LaunchFailed: the launched server ended, or was not ready in time; names the reason.
            ServerMismatch: the server that is running is not the one that the launcher would
                start; see ``on_mismatch``.
            RequestTimeout: a server is running and was not ready in time.
            EndpointError: the directory of the socket files is not private to this user.
            NotConnected: `disconnect` was called meanwhile, or the client was connected in another
                process, of which this one is a fork.
            TooManyOpenFiles: the process is close to its limit of open files.
        """
        seconds = self._config.connect_timeout if timeout is None else timeout
        deadline = Deadline.after(seconds)
        if (connection := self._connection) is None:
            disconnects = self._disconnects
            with self._lock:
                if disconnects != self._disconnects:
                    raise NotConnected(f"the client of {self._endpoint} was disconnected")
                if (connection := self._connection) is None:
                    connection = self._open(deadline, wait_ready=wait_ready)
        connection.check_process()
        return connection.pong

    def _open(self, deadline: Deadline, *, wait_ready: bool) -> Connection:
        connection = Connection(
            self._endpoint,
            self._config,
            self._launcher,
            self._guard,
            owns_server=not self._persistent,
        )
        try:
            self._opening = connection, threading.get_ident()
            connection.establish(deadline, wait_ready=wait_ready)
            # Collected without it, the context would wait for its sockets forever.
            self._finalizer = weakref.finalize(self, connection.abandon)
            self._finalizer.atexit = False
            self._connection = connection
            if connection.closed.is_set:
                raise connection.closed.make_error()
        except BaseException:  # An interrupt, too, even after the last statement.
            self._connection = None
            if (finalizer := getattr(self, "_finalizer", None)) is not None:
                finalizer.detach()
            connection.discard()
            raise
        finally:
            self._opening = None
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
        """Close everything that this client opened, and stop a server that it owns.

        Calls under way in other threads raise `NotConnected`, `connect` included. In a fork of the
        process that connected, nothing is closed and no server stopped: they belong to that
        process.

        Raises:
            RuntimeError: called from a subscriber's callback; nothing was closed.
        """
        connection = self._connection or self._interrupt_connect()
        if connection is None:
            return
        if not connection.is_here:
            # Closing its sockets would reach the peers of the process that opened them. The lock
            # may be held by a thread that does not exist here.
            self._connection, self._lock = None, threading.Lock()
            self._finalizer.detach()
            return
        connection.check_thread()
        self._disconnects += 1
        connection.closed.set()
        with self._lock:
            if self._connection is not connection:
                return  # Another thread was faster.
            try:
                self._before_close()
            finally:
                # Kept until it is closed: after an interrupt, the next call continues with it.
                connection.close()
                self._connection = None
                self._finalizer.detach()

    def _interrupt_connect(self) -> Connection | None:
        """Interrupt a `connect` of another thread; return its connection, which that thread closes.

        Unless it was established meanwhile: then it is to be closed here.
        """
        if (opening := self._opening) is None:
            return None
        connection, thread = opening
        if not connection.is_here:
            return None
        self._disconnects += 1
        connection.interrupt()
        # The same thread is in a signal handler, or in the launcher: its `connect` raises next.
        return connection if thread != threading.get_ident() else None

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
        with explaining("shutdown request"):
            request = ShutdownRequest.model_validate({"mode": mode}, strict=False)
        reply = self.request(request, timeout)
        if not isinstance(reply, ShutdownAckReply):
            raise _refusal(reply, "shutdown")

    def pause(self, seconds: float) -> None:
        """Wait before a retry, unless `disconnect` is called.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was, before or meanwhile.
        """
        self._connected().closed.pause(seconds)

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
        with self._connected().open_exchange(self._limit(timeout, hold)) as exchange:
            return exchange.request(request)

    def exchange(
        self, requests: Sequence[Outgoing], timeout: float | None = None, *, hold: float = 0.0
    ) -> list[Reply]:
        """Send requests one behind the other, without waiting between them.

        The server takes them in this order. Arguments and errors are those of `request`; those
        before one that is too large may have been sent.

        Returns:
            The replies, in the order of the requests.
        """
        with self._connected().open_exchange(self._limit(timeout, hold)) as exchange:
            return exchange.request_all(requests)

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
        check_number("window", window, least=1, whole=True)
        limits = self._limit(timeout, hold)
        return self._run_pipeline(self._connected(), requests, limits, window)

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

    def _run_pipeline(
        self,
        connection: Connection,
        requests: Iterable[Outgoing | None],
        limits: RequestLimits,
        window: int,
    ) -> Generator[tuple[Outgoing, Reply], None, None]:
        # The generator refers to the client, which would be closed when it is collected.
        with connection.open_exchange(limits, renews=True) as exchange:
            for sent, reply in exchange.pipeline(requests, window):
                yield sent.request, reply

    def _limit(self, timeout: float | None, hold: float) -> RequestLimits:
        return RequestLimits(self._config.request_timeout if timeout is None else timeout, hold)

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
    with explaining("ping request"):
        return prepare(PingRequest(limit=limit))


def _refusal(reply: Reply, what: str) -> TransportError:
    reason = reply.message if isinstance(reply, ErrorReply) else f"it said {reply.type}"
    return TransportError(f"the server refused a {what} request: {reason}")
