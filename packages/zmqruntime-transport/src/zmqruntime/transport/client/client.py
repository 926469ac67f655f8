"""`ZMQClient`: attaches to a server, or launches one, and sends it requests from any thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache, partial
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
from zmqruntime.transport.client.connection_slot import ConnectionSlot
from zmqruntime.transport.client.exchange import RequestLimits
from zmqruntime.transport.client.mismatch import MismatchPolicy, ServerGuard
from zmqruntime.transport.client.subscriber import Subscriber
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import TransportError
from zmqruntime.transport.process.launcher import ServerLauncher
from zmqruntime.transport.process.resolve import resolve_endpoint
from zmqruntime.transport.validation import check_number, parse_choice

__all__ = ["ZMQClient"]


class ZMQClient:
    """A client of the server on one port. Every method may be called from any thread.

    Args:
        port: the server's data port; None for the configuration's default.
        host: the server's TCP address, which implies TCP; None for this machine.
        transport_mode: ``"ipc"`` or ``"tcp"``; None for IPC where the platform has it.
        config: the settings that the server uses.
        launcher: starts a server when none is running; None: attach or fail.
        persistent: whether a server launched by this client outlives it. Otherwise it ends with
            `disconnect`, or with this process, even when that is killed.
        on_mismatch: with a launcher, what to do about a running server that is not the one that
            the launcher would start: ``"refuse"``, ``"warn"``, or ``"restart"`` it when it is
            idle. None: refuse a server of another class or from another source file, and warn of
            another version, other code and other arguments.

    Raises:
        EndpointError: the port is out of range, the host is invalid, or the socket path is too
            long.
        TypeError: an argument has the wrong type.
        ValueError: the transport mode is invalid.
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
        if on_mismatch is not None:
            on_mismatch = parse_choice("on_mismatch", on_mismatch, MismatchPolicy)
        make_connection = partial(
            Connection,
            self._endpoint,
            self._config,
            launcher,
            ServerGuard(self._endpoint, launcher, on_mismatch),
            owns_server=not persistent,
        )
        self._slot = ConnectionSlot(self._endpoint, make_connection)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    @property
    def endpoint(self) -> Endpoint:
        """The address at which the client expects the server."""
        return self._endpoint

    @property
    def config(self) -> ZMQConfig:
        """The settings that it shares with the server."""
        return self._config

    @property
    def connected(self) -> bool:
        """Whether `connect` succeeded in this process and `disconnect` was not called since."""
        return self._slot.is_connected

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
            ServerMismatch: the running server is not the one that the launcher would start; see
                ``on_mismatch``.
            RequestTimeout: a server is running and was not ready in time.
            EndpointError: the directory of the socket files is not private to this user.
            NotConnected: `disconnect` was called meanwhile, or the client was connected in another
                process, of which this one is a fork.
            TooManyOpenFiles: the process is close to its limit of open files.
        """
        seconds = self._config.connect_timeout if timeout is None else timeout
        return self._slot.open(self, Deadline.after(seconds), wait_ready=wait_ready).pong

    @property
    def pong(self) -> PongReply:
        """The server's reply when the client last attached to it.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        return self._connected().pong

    @property
    def may_return(self) -> bool:
        """Whether a lost server can come back, so that `reconnect` makes sense.

        False when its process, on this machine, has ended and kept nothing for a successor.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        return self._connected().may_return

    def reconnect(self, timeout: float | None = None) -> PongReply:
        """After `ServerLost`: wait until a server is running again, and use that one.

        A server that this client launched, that crashed and that keeps its work on disk, is
        launched again. Any other is waited for.

        Args:
            timeout: seconds; None for the configuration's ``reconnect_timeout``.

        Raises:
            ServerLost: no server is running in time.
            NotConnected: `connect` was not called, or `disconnect` was, before or meanwhile.
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
        self._slot.close(self._before_close)

    def ping(self, timeout: float | None = None, *, limit: int = 0) -> PongReply:
        """Return the server's state.

        Args:
            timeout: seconds; None for the configuration's ``request_timeout``.
            limit: how many running and how many queued executions to list; the counts include
                those that are not listed.

        Raises:
            DecodeError: the limit is invalid; further, what `request` raises.
        """
        make = _ping if type(limit) is int else _ping.__wrapped__  # Other values may have no hash.
        reply = self.request(make(limit), timeout)
        if not isinstance(reply, PongReply):
            raise _make_refusal(reply, "ping")
        return reply

    def shutdown_server(
        self,
        mode: ShutdownMode | Literal["drain", "now"] = ShutdownMode.DRAIN,
        timeout: float | None = None,
    ) -> None:
        """Stop the server: when its running work is done, or now.

        What an execution server has queued stays in its journal in either mode, for the next
        server. Without a journal it is run first in drain mode, and dropped in the other.

        Returns when the server has acknowledged the request, before it has ended.

        Raises:
            DecodeError: the mode is invalid; further, what `request` raises.
        """
        with decode_errors("shutdown request"):
            request = ShutdownRequest.model_validate({"mode": mode}, strict=False)
        reply = self.request(request, timeout)
        if not isinstance(reply, ShutdownAckReply):
            raise _make_refusal(reply, "shutdown")

    def pause(self, seconds: float) -> None:
        """Wait before a retry, unless `disconnect` is called.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was, before or meanwhile.
        """
        self._connected().closed.pause(seconds)

    def wait_for_server_end(self, timeout: float | None = None) -> bool:
        """Wait until the server has ended; on this machine, until its process has.

        Args:
            timeout: seconds; None for no limit.

        Returns:
            Whether it ended in time.
        """
        return self._connected().wait_for_end(Deadline.after(timeout))

    def request(
        self, request: Outgoing, timeout: float | None = None, *, hold: float = 0.0
    ) -> Reply:
        """Send any request of the protocol and return its reply, an error reply included.

        Args:
            request: the request; a retry sends it again.
            timeout: seconds for all attempts together, in addition to ``hold``; None for the
                configuration's ``request_timeout``.
            hold: how long the server may hold its reply, in seconds.

        Raises:
            RequestTimeout: no reply in time.
            ServerLost: the server is gone.
            NotConnected: `connect` was not called, or `disconnect` was.
            MessageTooLarge: longer than the server accepts; nothing was sent.
            TooManyOpenFiles: so many threads wait that no file is left for another connection.
        """
        with self._connected().open_exchange(self._limit(timeout, hold)) as exchange:
            return exchange.request(request)

    def exchange(
        self, requests: Sequence[Outgoing], timeout: float | None = None, *, hold: float = 0.0
    ) -> list[Reply]:
        """Send requests one after the other, without a round trip between them.

        The server handles them in this order. Arguments and errors are those of `request`; the
        requests before one that is too large may have been sent.

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
        """Yield each request with its reply as it arrives, with many requests pending together.

        A held reply does not delay the others: they come in any order. When the iterator is closed
        early, the pending requests are still executed, and their replies dropped.

        Args:
            requests: the source. Each request is sent as soon as it is taken, and the next is
                taken when the window has room; while the source blocks, no reply is yielded. None
                instead of a request: take the next after the next reply, or end when no reply is
                pending. A retry sends a request again.
            timeout: how many seconds may pass without any reply, in addition to ``hold``; None for
                the configuration's ``request_timeout``.
            hold: how long the server may hold each reply, in seconds.
            window: how many requests may be pending.

        Raises:
            ValueError: the window is less than 1; further, what `request` raises.
        """
        check_number("window", window, ge=1, whole=True)
        limits = self._limit(timeout, hold)
        return self._run_pipeline(self._connected(), requests, limits, window)

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Open a data connection, which `disconnect` closes as well.

        Raises:
            NotConnected: `connect` was not called, or `disconnect` was.
        """
        return self._connected().subscribe(prefixes, on_messages, on_connection, on_caught_up)

    def _before_close(self) -> None:
        """Send the last requests before the connection is closed. May be overridden."""

    def _run_pipeline(
        self,
        connection: Connection,
        requests: Iterable[Outgoing | None],
        limits: RequestLimits,
        window: int,
    ) -> Generator[tuple[Outgoing, Reply], None, None]:
        # A method, so that the generator keeps the client alive: a collected one is closed.
        with connection.open_exchange(limits, renews=True) as exchange:
            for sent, reply in exchange.pipeline(requests, window):
                yield sent.request, reply

    def _limit(self, timeout: float | None, hold: float) -> RequestLimits:
        return RequestLimits(self._config.request_timeout if timeout is None else timeout, hold)

    def _connected(self) -> Connection:
        return self._slot.get()


@lru_cache(maxsize=8, typed=True)
def _ping(limit: int) -> PreparedRequest:
    """Return a ping request, prepared once for each limit."""
    with decode_errors("ping request"):
        return prepare(PingRequest(limit=limit))


def _make_refusal(reply: Reply, what: str) -> TransportError:
    reason = reply.message if isinstance(reply, ErrorReply) else f"unexpected reply {reply.type}"
    return TransportError(f"the server refused a {what} request: {reason}")
